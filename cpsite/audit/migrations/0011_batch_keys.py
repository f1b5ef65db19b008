"""An index on the keys of batches, built while both services write.

On PostgreSQL it has batches alone, whose key stands in many rows and takes room once; a message's
own object is found by the message's id. SQLite cannot tell them apart.
"""

from django.db import migrations, models

from cpsite.audit import partitions

NAME = "audit_object_key"
BATCHES = "btree (object_key) WHERE object_key::text LIKE '%.ndjson.gz'"


class AddIndexOfBatches(migrations.AddIndex):
    # What to do depends on the days that are there, so sqlmigrate must not try it.
    reduces_to_sql = False

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            partitions.build_index_of_all(NAME, BATCHES)
        else:
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("audit", "0010_pruned")]

    operations = [
        AddIndexOfBatches("auditevent", models.Index(fields=["object_key"], name=NAME)),
    ]
