"""Indexes on requests, addresses and SQS's ids. PostgreSQL builds them while both services write."""

from importlib import import_module

from django.db import migrations, models

AddIndexBesideWriters = import_module(
    "cpsite.audit.migrations.0004_actor_index"
).AddIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("audit", "0007_requests")]

    operations = [
        AddIndexBesideWriters(
            "auditevent",
            models.Index(
                condition=models.Q(("request_id__isnull", False)),
                fields=["request_id", "occurred_at", "id"],
                name="audit_request_time",
            ),
        ),
        AddIndexBesideWriters(
            "auditevent",
            models.Index(
                condition=models.Q(("sqs_message_id__isnull", False)),
                fields=["sqs_message_id", "occurred_at", "id"],
                name="audit_sqs_time",
            ),
        ),
        AddIndexBesideWriters(
            "auditevent",
            models.Index(
                condition=models.Q(("source_ip__isnull", False)),
                fields=["source_ip", "occurred_at", "id"],
                name="audit_address_time",
            ),
        ),
    ]
