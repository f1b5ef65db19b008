"""An index on the contracts but the default one. PostgreSQL builds it while both services write."""

from importlib import import_module

from django.db import migrations, models

AddIndexBesideWriters = import_module(
    "cpsite.audit.migrations.0004_actor_index"
).AddIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("audit", "0005_contracts")]

    operations = [
        AddIndexBesideWriters(
            "auditevent",
            models.Index(
                condition=models.Q(("contract__isnull", False)),
                fields=["contract", "occurred_at", "id"],
                name="audit_contract_time",
            ),
        ),
    ]
