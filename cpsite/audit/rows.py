"""Writes audit events into their table: by COPY on PostgreSQL, by executemany on SQLite.

Values arrive in the table as the model's fields would have written them.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from django.db import connection, models, transaction

from cpsite.audit.event import Event
from cpsite.audit.models import AuditEvent
from cpsite.database import release_connection

_MODEL: Final = AuditEvent._meta  # noqa: SLF001 - Django documents it
_TABLE: Final = _MODEL.db_table
_COLUMNS: Final = ", ".join(Event._fields)
_PLACES: Final = ", ".join(["%s"] * len(Event._fields))
_COPY: Final = f"COPY {_TABLE} ({_COLUMNS}, id) FROM STDIN"
_INSERT: Final = f"INSERT INTO {_TABLE} ({_COLUMNS}) VALUES ({_PLACES})"  # noqa: S608
#: It names no constraint: the table's key depends on whether it is partitioned.
_INSERT_MISSING: Final = (
    f"INSERT INTO {_TABLE} ({_COLUMNS}, id) VALUES ({_PLACES}, %s) ON CONFLICT DO NOTHING"  # noqa: S608
)
#: The name is looked up each time, because a migration may replace the sequence, and once a
#: statement (OFFSET 0), because it takes longer than an id.
_TAKE_IDS: Final = (
    "SELECT nextval(sequence.name) FROM (SELECT pg_get_serial_sequence(%s, 'id')::regclass AS name "
    "OFFSET 0) AS sequence, generate_series(1, %s)"
)

_KIND: Final = Event._fields.index("kind")
_MESSAGE_ID: Final = Event._fields.index("message_id")
_SOURCE_IP: Final = Event._fields.index("source_ip")
_NUMBERS: Final = tuple(
    place
    for place, name in enumerate(Event._fields)
    if isinstance(_MODEL.get_field(name), models.IntegerField)
)
_ADDRESS: Final = _MODEL.get_field("source_ip")


def insert(events: Sequence[Event], ids: list[int]) -> None:
    """Insert events in one transaction. Raises Django's database errors, or ValueError.

    `ids` is empty at first. On PostgreSQL it gets the ids of the events, before they are written.
    With ids, an earlier call has failed: its COMMIT may have had no good answer, and was done all
    the same or was not. So these rows are inserted unless they are there: nothing is written twice,
    because PostgreSQL gives no id twice.
    """
    release_connection()  # as Django does between requests: a connection that failed is closed
    if connection.vendor == "sqlite":
        _insert(events)  # without an answer there was no COMMIT
    elif ids:
        _insert_missing(events, ids)
    else:
        ids += _take_ids(len(events))
        _copy(events, ids)


def _insert(events: Sequence[Event]) -> None:
    when = connection.ops.adapt_datetimefield_value
    rows = [
        [when(value) if isinstance(value, datetime) else value for value in row]
        for row in _rows(events)
    ]
    try:
        with transaction.atomic(savepoint=False), connection.cursor() as cursor:
            cursor.executemany(_INSERT, rows)
    except OverflowError as exc:
        raise ValueError("a number is too large for the database") from exc


def _take_ids(number: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_IDS, [_TABLE, number])
        return [taken for (taken,) in cursor.fetchall()]


def _copy(events: Sequence[Event], ids: Iterable[int]) -> None:
    """Write by COPY, a transaction of its own: BEGIN and COMMIT would be two more round trips."""
    rows = _rows(events)
    with (
        connection.wrap_database_errors,  # Django does so for its cursors' own methods alone
        connection.cursor() as cursor,
        cursor.copy(_COPY) as copy,
    ):
        for row, number in zip(rows, ids, strict=False):
            row.append(number)
            copy.write_row(row)


def _insert_missing(events: Sequence[Event], ids: Iterable[int]) -> None:
    rows = [[*row, number] for row, number in zip(_rows(events), ids, strict=False)]
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.executemany(_INSERT_MISSING, rows)


def _rows(events: Iterable[Event]) -> list[list[Any]]:
    try:
        return [_row(event) for event in events]
    except (AttributeError, TypeError, OverflowError) as exc:
        raise ValueError("a value is of another type than its column") from exc


def _row(event: Event) -> list[Any]:
    """Return the values as both databases take them, but for times, which SQLite takes as text."""
    row: list[Any] = list(event)
    row[_KIND] = event.kind.value
    if event.message_id is not None:
        row[_MESSAGE_ID] = event.message_id.hex
    if event.source_ip is not None and (":" in event.source_ip or not event.source_ip):
        row[_SOURCE_IP] = _ADDRESS.get_prep_value(event.source_ip) or None
    for place in _NUMBERS:
        if row[place] is not None:
            row[place] = int(row[place])
    return row
