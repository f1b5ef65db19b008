"""The audit table by day on PostgreSQL, while both services write (docs/adr/0027).

The table so far becomes the partition of what is earlier than the day after tomorrow. It can be
interrupted anywhere and run again. SQLite keeps its table as it is.

Backwards it does nothing: the version before works with the partitioned table as well.
"""

from datetime import UTC, datetime, timedelta

from django.db import connection, migrations

from cpsite.audit import partitions
from cpsite.audit.partitions import EARLIER, NEXT, TABLE, briefly, run

SEQUENCE = f"{TABLE}_id_seq"
#: Indexes of the table that stay as they were.
KEPT = {
    "audit_kind_time": "btree (kind, occurred_at, id)",
    "audit_client_time": "btree (client, occurred_at, id)",
    "audit_actor_time": "btree (actor, occurred_at, id) WHERE actor IS NOT NULL",
    "audit_contract_time": "btree (contract, occurred_at, id) WHERE contract IS NOT NULL",
    "audit_request_time": "btree (request_id, occurred_at, id) WHERE request_id IS NOT NULL",
    "audit_sqs_time": "btree (sqs_message_id, occurred_at, id) WHERE sqs_message_id IS NOT NULL",
    "audit_address_time": "btree (source_ip, occurred_at, id) WHERE source_ip IS NOT NULL",
}
#: Those that are new, or are smaller than they were.
NEW = {
    "audit_time": "btree (occurred_at, id)",
    "audit_id": "brin (id)",
    "audit_message_time": "btree (message_id) WHERE message_id IS NOT NULL",
    # What is rare of a client: it has thousands of accepted and stored messages for each of these.
    "audit_client_kind": "btree (client, kind, occurred_at, id) "
    "WHERE kind <> ALL (ARRAY['accepted', 'stored']::varchar[])",
    "audit_reason_time": "btree (reason, occurred_at, id) WHERE reason <> ''",
}
#: An event that is written again with the same id and time, because the answer to a COMMIT was
#: lost, is there once. A unique index needs the time, by which the table is partitioned.
UNIQUE = {"audit_time"}


def split_by_day(apps, schema_editor):
    if connection.vendor != "postgresql":
        return
    with partitions.alone():
        if not partitions.read_partitions():
            for name, columns in NEW.items():
                own = _own_name(name, "new")
                partitions.build_index(TABLE, own, columns, is_unique=name in UNIQUE)
            in_two_days = partitions.midnight(datetime.now(UTC)) + timedelta(days=2)
            end = partitions.close(TABLE, at=in_two_days)
            briefly(lambda: _split(end))
        _drop_indexes_of_before()
    partitions.ensure_ahead()


def _split(end):
    """Put a partitioned table in the place of the table, which becomes a part of it."""
    run(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
    if not _rows(f"SELECT FROM {TABLE} LIMIT 1"):  # a new installation: days from today on
        end = partitions.midnight(datetime.now(UTC))
    grants = [*_grants(TABLE), *_grants(SEQUENCE)]
    (following,) = _rows(f"SELECT last_value + is_called::int FROM {SEQUENCE}")[0]
    run(f"ALTER TABLE {TABLE} ALTER COLUMN id DROP IDENTITY")  # its sequence goes as well
    run(f"ALTER TABLE {TABLE} RENAME TO {EARLIER}")
    for name in (*KEPT, *NEW):
        run(f"ALTER INDEX IF EXISTS {name} RENAME TO {_own_name(name, 'old')}")
    run(f"CREATE SEQUENCE {SEQUENCE} START {following}")
    run(
        f"CREATE TABLE {TABLE} (LIKE {NEXT} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) "
        "PARTITION BY RANGE (occurred_at)"
    )
    run(f"ALTER TABLE {TABLE} ALTER COLUMN id SET DEFAULT nextval('{SEQUENCE}')")
    run(f"ALTER SEQUENCE {SEQUENCE} OWNED BY {TABLE}.id")
    for statement in grants:
        run(statement)
    for name, columns in (KEPT | NEW).items():
        unique = "UNIQUE" if name in UNIQUE else ""
        run(f"CREATE {unique} INDEX {name} ON {TABLE} USING {columns}")
    partitions.attach_closed(EARLIER, None, end)
    partitions.attach_next(end)


def _drop_indexes_of_before():
    """Drop the indexes that only the table of before has, but for its primary key."""
    names = _rows(
        "SELECT indexrelid::regclass FROM pg_index WHERE indrelid = %s::regclass "
        "AND NOT indisprimary AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = indexrelid)",
        EARLIER,
    )
    for (name,) in names:
        run(f"DROP INDEX CONCURRENTLY {name}")


def _grants(relation):
    """Return what grants others again what they may do with a table or a sequence."""
    rows = _rows(
        "SELECT relkind, privilege_type, is_grantable, "
        "CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END "
        "FROM pg_class, aclexplode(relacl) WHERE oid = %s::regclass AND grantee <> relowner",
        relation,
    )
    return [
        f"GRANT {privilege} ON {'SEQUENCE' if kind == 'S' else 'TABLE'} {relation} TO {grantee}"
        f"{' WITH GRANT OPTION' if is_grantable else ''}"
        for kind, privilege, is_grantable, grantee in rows
    ]


def _own_name(name, age):
    return f"{name}_earlier_{age}"


def _rows(query, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(query, parameters or None)
        return cursor.fetchall()


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("audit", "0008_request_indexes")]

    operations = [migrations.RunPython(split_by_day, migrations.RunPython.noop)]
