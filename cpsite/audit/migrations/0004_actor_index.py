"""An index on who has redriven or read. PostgreSQL builds it while both services write."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class AddIndexBesideWriters(AddIndexConcurrently):
    """AddIndexConcurrently on PostgreSQL, and AddIndex on SQLite, which knows no such thing."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        concurrently = schema_editor.connection.vendor == "postgresql"
        operation = super() if concurrently else super(AddIndexConcurrently, self)
        operation.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        concurrently = schema_editor.connection.vendor == "postgresql"
        operation = super() if concurrently else super(AddIndexConcurrently, self)
        operation.database_backwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("audit", "0003_actors")]

    operations = [
        AddIndexBesideWriters(
            "auditevent",
            models.Index(
                condition=models.Q(("actor__isnull", False)),
                fields=["actor", "occurred_at", "id"],
                name="audit_actor_time",
            ),
        ),
    ]
