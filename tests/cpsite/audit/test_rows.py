"""Plain rows are stored as the model's fields would have stored them, on both databases."""

import math
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import NOT_PROVIDED
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cpsite.audit import rows
from cpsite.audit.event import Event, now
from cpsite.audit.models import AuditEvent, Kind

COLUMNS = {field.name: field for field in AuditEvent._meta.concrete_fields if field.name != "id"}


def test_an_event_has_the_columns_of_the_table():
    assert Event._fields == tuple(COLUMNS)
    assert [field.column for field in COLUMNS.values()] == list(COLUMNS)


def test_what_an_event_leaves_out_is_what_the_model_would_write():
    for name, value in Event._field_defaults.items():
        field = COLUMNS[name]
        default = field.get_default()
        assert value == default, name
        assert field.default in {NOT_PROVIDED, default}


def _texts(name):
    field = COLUMNS[name]
    # Not NUL, which PostgreSQL refuses, nor what UTF-8 cannot encode.
    texts = st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
        max_size=min(field.max_length, 40),
    )
    hostile = st.sampled_from(
        ["\\N", "\\", "\\.", "\t", "\n", "\r\n", "a\\tb", "NULL", "'", "{}", "%s"]
    )
    filled = texts | hostile.filter(lambda text: len(text) <= field.max_length)
    return st.none() | filled if field.null else filled


MOMENTS = st.datetimes(
    min_value=datetime.fromisoformat("0001-01-03"),
    max_value=datetime.fromisoformat("9999-12-28"),
    timezones=st.sampled_from(
        [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=11))]
    ),
)
NUMBERS = st.none() | st.integers(0, 2**31 - 1)
ADDRESSES = (
    st.none()
    | st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(str)
    | st.ip_addresses(v=6).map(lambda address: address.exploded.upper())
    | st.sampled_from(["", "::FFFF:10.0.0.1", "0:0:0:0:0:0:0:1", "fe80:0::1"])
)
EVENTS = st.builds(
    Event,
    occurred_at=MOMENTS,
    kind=st.sampled_from(Kind),
    message_id=st.none() | st.uuids(),
    source_ip=ADDRESSES,
    accepted_at=st.none() | MOMENTS,
    attempts=NUMBERS,
    duration_ms=NUMBERS,
    row_count=NUMBERS,
    **{
        name: _texts(name)
        for name, field in COLUMNS.items()
        if field.get_internal_type() == "CharField" and name != "kind"
    },
)


def _stored():
    """Return all rows as the database holds them, but for the ids, in the order of the ids."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM audit_auditevent ORDER BY id")
        return cursor.fetchall()


@pytest.mark.django_db
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EVENTS, min_size=1, max_size=5))
@example([Event(now(), Kind.READ, source_ip="2001:DB8:0:0::1", reason="\\N")])
def test_rows_are_what_the_model_writes(events):
    with _undone():
        AuditEvent.objects.bulk_create([AuditEvent(**event._asdict()) for event in events])
        expected = _stored()
    for retried in (False, True):
        with _undone():
            ids = [2**40 + place for place in range(len(events))] if retried else []
            rows.insert(events, ids)
            assert _stored() == expected


@contextmanager
def _undone():
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "changes",
    [
        {"duration_ms": "not a number"},
        {"duration_ms": []},
        {"attempts": math.inf},
        {"attempts": -1},
        {"row_count": 2**70},
        {"client": None},
        {"client": "\ud800"},
        {"message_id": "not a UUID"},
        {"source_ip": object()},
        {"kind": "accepted"},
        {"accepted_at": object()},
        {"occurred_at": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_no_column_can_hold_is_refused_and_the_next_row_is_written(changes):
    good, bad = (
        Event(now(), Kind.ACCEPTED),
        Event(**{"occurred_at": now(), "kind": Kind.READ} | changes),
    )
    for events in ([good, bad, good], [bad]):
        with pytest.raises((DatabaseError, ValueError)):
            rows.insert(events, [])
    assert not _stored()
    rows.insert([good], [])
    assert len(_stored()) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "changes",
    [{"client": "a\0b"}, {"reason": "r" * 65}, {"duration_ms": 2**31}, {"source_ip": "somewhere"}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_postgresql_refuses_is_refused_before_anything_is_written(changes):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite holds any text and number")
    good, bad = Event(now(), Kind.ACCEPTED), Event(now(), Kind.ACCEPTED, **changes)
    for ids in ([], [1, 2, 3]):
        with pytest.raises(DatabaseError):
            rows.insert([good, bad, good], ids)
    assert not _stored()
    rows.insert([good], [])
    assert len(_stored()) == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_ids_are_written_once():
    if connection.vendor == "sqlite":
        pytest.skip("SQLite gives ids itself")
    events = [Event(now(), Kind.STORED, message_id=uuid.uuid4()) for _ in range(3)]
    ids: list[int] = []
    rows.insert(events, ids)
    assert len(set(ids)) == 3
    rows.insert(events, ids)
    rows.insert(events[:1], ids)
    assert [event.pk for event in AuditEvent.objects.order_by("id")] == sorted(ids)
    with pytest.raises(IntegrityError):
        rows._copy(events, ids)


@pytest.mark.django_db
def test_the_same_ids_are_written_once_where_the_key_has_the_time_as_well():
    """As in a table that is partitioned by time."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite gives ids itself")
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE audit_auditevent DROP CONSTRAINT IF EXISTS audit_auditevent_pkey"
        )
        cursor.execute("CREATE UNIQUE INDEX ON audit_auditevent (id, occurred_at)")
    events = [Event(now(), Kind.STORED, message_id=uuid.uuid4()) for _ in range(3)]
    ids: list[int] = []
    rows.insert(events, ids)
    rows.insert(events, ids)
    assert len(_stored()) == 3


@pytest.mark.django_db(transaction=True)
def test_ids_are_those_that_the_model_would_go_on_with():
    rows.insert([Event(now(), Kind.STORED)] * 3, [])
    AuditEvent(kind=Kind.STORED).save()
    ids = list(AuditEvent.objects.order_by("id").values_list("id", flat=True))
    assert [later - earlier for earlier, later in pairwise(ids)] == [1, 1, 1]
