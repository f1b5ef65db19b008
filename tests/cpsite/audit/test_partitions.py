"""The days of the audit table on PostgreSQL: each event has one, and old ones go as a whole."""

import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg
import pytest
from django.core.management import call_command
from django.db import OperationalError, connection

from cpsite.audit import partitions
from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.partitions import DAY, DAYS_AHEAD, EARLIER, LATER
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no partitions"),
]
TODAY = partitions.midnight(datetime.now(UTC))


@pytest.fixture(autouse=True)
def _fresh_statistics(db):
    # A transaction that is taken back leaves its own: they know of rows that are gone.
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE audit_auditevent")


@pytest.fixture(autouse=True)
def _many_events_a_day(monkeypatch):
    monkeypatch.setattr(partitions, "FEW_A_DAY", 0)


def write(*moments):
    for moment in moments:
        AuditEvent.objects.create(kind=Kind.STORED, occurred_at=moment)


def places():
    """Return how many events each partition holds, but for the empty ones."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass, COUNT(*) FROM audit_auditevent GROUP BY 1")
        return dict(cursor.fetchall())


def name_of(day):
    return f"audit_auditevent_{day:%Y%m%d}"


def assert_without_a_gap():
    found = partitions.read_partitions()
    assert (found[0].name, found[0].start) == (EARLIER, None)
    assert (found[-1].name, found[-1].end) == (LATER, None)
    for one, following in pairwise(found):
        assert one.end == following.start


def test_a_new_installation_has_days_from_today_on():
    assert_without_a_gap()
    names = [each.name for each in partitions.read_partitions()]
    assert names == [EARLIER, *(name_of(TODAY + n * DAY) for n in range(DAYS_AHEAD)), LATER]


def test_no_time_is_refused():
    write(datetime(1970, 1, 1, tzinfo=UTC), TODAY - DAY, TODAY, TODAY + DAY * 1.5)
    write(datetime(2999, 1, 1, tzinfo=UTC))
    assert places() == {EARLIER: 2, name_of(TODAY): 1, name_of(TODAY + DAY): 1, LATER: 1}


def test_days_are_made_before_they_are_needed():
    assert partitions.ensure_ahead(TODAY) == 0
    assert partitions.ensure_ahead(TODAY + 4 * DAY) == 0
    assert partitions.ensure_ahead(TODAY + 5 * DAY) == 5
    assert partitions.ensure_ahead(TODAY + 5 * DAY) == 0
    assert_without_a_gap()
    write(TODAY + 11 * DAY, TODAY + 12 * DAY)
    assert places() == {name_of(TODAY + 11 * DAY): 1, LATER: 1}


def test_what_came_while_nobody_made_days_becomes_a_partition():
    write(*(TODAY + n * DAY for n in range(7, 30)))
    partitions.ensure_ahead(TODAY + 30 * DAY)
    assert_without_a_gap()
    assert places() == {name_of(TODAY + 7 * DAY): 23}
    assert partitions.read_partitions()[-1].start == TODAY + 37 * DAY


def test_a_clock_that_is_ahead_is_in_nobodys_way():
    write(TODAY + 6.5 * DAY, TODAY + 7.5 * DAY, TODAY + 8.5 * DAY, datetime(2999, 1, 1, tzinfo=UTC))
    partitions.ensure_ahead(TODAY + 5 * DAY)
    assert_without_a_gap()
    assert places() == {**{name_of(TODAY + n * DAY): 1 for n in (6, 7, 8)}, LATER: 1}


def test_new_partitions_have_all_indexes_and_take_an_event_once():
    partitions.ensure_ahead(TODAY + 5 * DAY)
    write(*(TODAY + n * DAY for n in range(40)))
    partitions.ensure_ahead(TODAY + 40 * DAY)
    for _ in range(2):  # as after a COMMIT whose answer was lost
        AuditEvent.objects.bulk_create(AuditEvent.objects.all(), ignore_conflicts=True)
    assert AuditEvent.objects.count() == 40
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indrelid::regclass, COUNT(*) FROM pg_index WHERE indisvalid AND indrelid IN "
            "(SELECT relid FROM pg_partition_tree('audit_auditevent')) AND NOT indisprimary "
            "GROUP BY 1"
        )
        numbers = dict(cursor.fetchall())
    assert len(numbers) == len(partitions.read_partitions()) + 1
    assert len(set(numbers.values())) == 1


def test_a_close_that_was_interrupted_goes_on(monkeypatch):
    write(TODAY + 8 * DAY, TODAY + 90 * DAY)
    partitions.close(LATER, at=TODAY + 9 * DAY)
    assert AuditEvent.objects.count() == 1  # the other one waits outside
    partitions.ensure_ahead(TODAY + 20 * DAY)
    assert_without_a_gap()
    assert places() == {name_of(TODAY + 7 * DAY): 1, LATER: 1}


def test_an_event_that_comes_in_between_is_not_lost(monkeypatch):
    """One of a clock that is ahead is written after LATER was found empty."""
    write(TODAY + 8 * DAY)
    looks = iter([False])
    look = partitions._has_events
    monkeypatch.setattr(
        partitions, "_has_events", lambda *some, **more: next(looks, look(*some, **more))
    )
    partitions.ensure_ahead(TODAY + 5 * DAY)
    assert_without_a_gap()
    assert sum(places().values()) == 1


def test_partitions_are_dropped_when_all_of_them_is_old():
    write(*(TODAY + n * DAY for n in range(-2, 3)))
    assert partitions.expired(TODAY - DAY) == []
    old = partitions.expired(TODAY + 1.5 * DAY)
    assert [each.name for each in old] == [EARLIER, name_of(TODAY)]
    assert [partitions.count_events(each) for each in old] == [2, 1]
    for each in old:
        partitions.drop(each)
    assert_without_a_gap()
    assert places() == {name_of(TODAY + DAY): 1, name_of(TODAY + 2 * DAY): 1}
    write(TODAY - 5 * DAY, TODAY)
    assert places()[EARLIER] == 2


def test_where_days_have_few_events_partitions_are_of_a_week(monkeypatch):
    monkeypatch.setattr(partitions, "FEW_A_DAY", 2)
    write(TODAY + 4 * DAY)
    assert partitions.ensure_ahead(TODAY + 5 * DAY) == 1
    assert_without_a_gap()
    assert partitions.read_partitions()[-1].start == TODAY + 14 * DAY
    write(*(TODAY + n * DAY for n in (7, 10, 13, 14)))
    assert places() == {name_of(TODAY + 4 * DAY): 1, name_of(TODAY + 7 * DAY): 3, LATER: 1}


def test_they_are_of_a_day_again_when_there_are_more(monkeypatch):
    monkeypatch.setattr(partitions, "FEW_A_DAY", 2)
    partitions.ensure_ahead(TODAY + 5 * DAY)
    write(*(TODAY + n * DAY for n in range(7, 14) for _ in range(2)))
    assert partitions.ensure_ahead(TODAY + 14 * DAY) == DAYS_AHEAD
    assert_without_a_gap()


def test_rows_are_deleted_where_partitions_are_longer_than_a_day(monkeypatch):
    assert partitions.end_of_rows(TODAY - DAY) == TODAY - DAY
    assert partitions.end_of_rows(TODAY) is None
    assert partitions.end_of_rows(TODAY + 1.5 * DAY) is None
    monkeypatch.setattr(partitions, "FEW_A_DAY", 2)
    partitions.ensure_ahead(TODAY + 5 * DAY)
    assert partitions.end_of_rows(TODAY + 7 * DAY) is None
    assert partitions.end_of_rows(TODAY + 8 * DAY) == TODAY + 8 * DAY


def test_statistics_say_how_many_events_there_are():
    write(TODAY, TODAY)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {name_of(TODAY)}")
    write(TODAY)
    (day,) = [each for each in partitions.read_partitions() if each.name == name_of(TODAY)]
    assert partitions.count_events(day) == 2


@pytest.fixture
def committed(transactional_db):
    """For what is not rolled back: leave the days of a new installation."""
    yield
    for each in partitions.read_partitions():
        partitions.run(f"DROP TABLE {each.name}")
    days = [TODAY + n * DAY for n in range(DAYS_AHEAD)]
    parts = {
        EARLIER: partitions.bounds(None, TODAY),
        **{name_of(day): partitions.bounds(day, day + DAY) for day in days},
        LATER: partitions.bounds(days[-1] + DAY, None),
    }
    for name, bounds in parts.items():
        partitions.run(f"CREATE TABLE {name} PARTITION OF audit_auditevent {bounds}")


@pytest.fixture
def other(committed):
    """Return another session."""
    given = connection.get_connection_params()
    names = ("dbname", "user", "host", "port", "password")
    with psycopg.connect(**{name: given[name] for name in names if name in given}) as session:
        yield session


@pytest.mark.django_db(transaction=True)
def test_one_session_at_a_time_changes_them(other):
    other.execute("SELECT pg_advisory_lock(%s)", [partitions._ADVISORY_KEY])
    assert partitions.ensure_ahead(TODAY) == 0  # nothing to change
    with pytest.raises(partitions.BusyError):
        partitions.ensure_ahead(TODAY + 5 * DAY)
    other.execute("SELECT pg_advisory_unlock(%s)", [partitions._ADVISORY_KEY])
    assert partitions.ensure_ahead(TODAY + 5 * DAY) == 5


@pytest.mark.django_db(transaction=True)
def test_an_index_of_all_waits_for_who_changes_them(other, monkeypatch):
    """`migrate` would end with an error, because a service makes days at that moment."""
    other.autocommit = True  # an index that is built beside others waits for their transactions
    other.execute("SELECT pg_advisory_lock(%s)", [partitions._ADVISORY_KEY])

    def end_it(_seconds):
        other.execute("SELECT pg_advisory_unlock(%s)", [partitions._ADVISORY_KEY])

    monkeypatch.setattr("cpsite.audit.partitions.time.sleep", end_it)
    partitions.build_index_of_all("audit_of_test", "btree (attempts)")
    found = partitions._rows("SELECT relkind FROM pg_class WHERE relname = 'audit_of_test'")
    assert found == [("I",)]
    partitions.run("DROP INDEX audit_of_test")


@pytest.mark.django_db(transaction=True)
def test_a_change_that_would_have_to_wait_lets_others_go_on(other, monkeypatch):
    monkeypatch.setattr(partitions, "LOCK_SECONDS", 0.05)
    other.execute("SELECT FROM audit_auditevent")  # in a transaction that stays open

    def end_it(_seconds):
        AuditEvent.objects.create(kind=Kind.STORED)
        other.rollback()

    monkeypatch.setattr("cpsite.audit.partitions.time.sleep", end_it)
    later = partitions.read_partitions()[-1].start
    assert partitions.ensure_ahead(later) == DAYS_AHEAD
    assert AuditEvent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_it_does_not_try_for_ever(other, monkeypatch):
    monkeypatch.setattr(partitions, "LOCK_SECONDS", 0.01)
    monkeypatch.setattr(partitions, "PAUSE", 0)
    other.execute("SELECT FROM audit_auditevent")
    later = partitions.read_partitions()[-1].start
    with pytest.raises(OperationalError):
        partitions.ensure_ahead(later, tries=2)
    other.rollback()
    assert_without_a_gap()


@pytest.mark.usefixtures("committed")
@pytest.mark.django_db(transaction=True)
def test_events_are_written_while_days_change():
    """A writer loses nothing while days are made, LATER is closed and old days are dropped."""
    end, written, errors = threading.Event(), [], []
    start = partitions.read_partitions()[-1].start
    now = [start]

    def write_on():
        try:
            while not end.is_set():
                moment = now[0] + timedelta(hours=len(written) % 24)
                AuditEvent.objects.create(kind=Kind.STORED, occurred_at=moment)
                written.append(moment)
        except Exception as exc:
            errors.append(exc)
        finally:
            connection.close()

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        for days in range(0, 40, 5):
            now[0] = start + days * DAY
            number = len(written)
            wait_for(lambda number=number: errors or len(written) > number, "an event")
            partitions.ensure_ahead(now[0])
            for old in partitions.expired(TODAY + 2 * DAY):
                partitions.drop(old)
    finally:
        end.set()
        writer.join()
    assert (errors, AuditEvent.objects.count()) == ([], len(written))
    assert_without_a_gap()


def test_a_migration_is_no_failure_while_a_service_makes_days(monkeypatch):
    def busy():
        raise partitions.BusyError

    monkeypatch.setattr(partitions, "ensure_ahead", busy)
    call_command("migrate", verbosity=0)
