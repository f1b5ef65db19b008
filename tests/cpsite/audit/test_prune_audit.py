import sys
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from cpsite.audit import partitions
from cpsite.audit.access import actor_of_shell
from cpsite.audit.models import AuditEvent, AuditEventQuerySet, Kind

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _events():
    now = timezone.now()
    for days in (0, 10, 89, 91, 200):
        AuditEvent.objects.create(kind=Kind.STORED, occurred_at=now - timedelta(days=days))


def left():
    return AuditEvent.objects.exclude(kind=Kind.PRUNED).count()


def test_deletes_what_is_older_and_says_how_much(capsys):
    call_command("prune_audit", "--older-than", "90d")
    assert left() == 3
    assert "Deleted 2 events" in capsys.readouterr().out


@pytest.mark.parametrize(("age", "number"), [("90d", 3), ("1h", 1)])
def test_batches_go_on_until_nothing_is_left(age, number):
    call_command("prune_audit", "--older-than", age, "--batch-size", "1")
    assert left() == number


def test_a_batch_takes_the_oldest_and_no_more():
    now = timezone.now()
    for _ in range(3):  # at one time
        AuditEvent.objects.create(kind=Kind.STORED, occurred_at=now - timedelta(days=300))
    assert AuditEvent.objects.prune_batch(before=now - timedelta(days=90), limit=2) == 2
    assert left() == 6
    assert AuditEvent.objects.prune_batch(before=now - timedelta(days=90), limit=2) == 2
    assert AuditEvent.objects.prune_batch(before=now - timedelta(days=90), limit=2) == 1
    assert AuditEvent.objects.prune_batch(before=now - timedelta(days=90), limit=2) == 0


def test_it_leaves_an_event_of_who_has_deleted_how_many():
    call_command("prune_audit", "--older-than", "90d")
    event = AuditEvent.objects.get(kind=Kind.PRUNED)
    assert (event.actor, event.row_count) == (actor_of_shell(), 2)


def test_what_deletes_nothing_leaves_no_event(capsys):
    call_command("prune_audit", "--older-than", "90d", "--dry-run")
    call_command("prune_audit", "--older-than", "900d")
    assert "Deleted 0 events" in capsys.readouterr().out
    assert not AuditEvent.objects.filter(kind=Kind.PRUNED).exists()


needs_partitions = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite has no partitions"
)


@pytest.fixture
def days_later(monkeypatch):
    """Let some days have passed. Returns midnight of the first of them, when they began."""
    monkeypatch.setattr(partitions, "FEW_A_DAY", 0)
    first = partitions.midnight(datetime.now(UTC))
    now = first + timedelta(days=5, hours=12)
    monkeypatch.setattr(timezone, "now", lambda: now)
    for days in range(6):
        AuditEvent.objects.create(kind=Kind.STORED, occurred_at=first + timedelta(days=days))
    with connection.cursor() as cursor:
        # A transaction that was taken back has left its own statistics, of rows that are gone.
        cursor.execute("ANALYZE audit_auditevent")
    return first


@needs_partitions
def test_whole_days_are_dropped_and_the_one_at_the_edge_stays(days_later, capsys):
    call_command("prune_audit", "--older-than", "2d")  # in the middle of the fourth day
    stayed = AuditEvent.objects.exclude(kind=Kind.PRUNED).values_list("occurred_at", flat=True)
    assert list(stayed) == [days_later + timedelta(days=days) for days in (5, 4, 3)]
    said = capsys.readouterr()
    assert f"audit_auditevent_{days_later:%Y%m%d} dropped, with about 2 events" in said.err
    assert "Deleted 8 events" in said.out
    assert AuditEvent.objects.get(kind=Kind.PRUNED).row_count == 8
    # There are days for what comes: the one for now was the last but one.
    assert partitions.read_partitions()[-1].start == days_later + timedelta(days=12)


@needs_partitions
def test_a_dry_run_names_the_days(days_later, capsys):
    call_command("prune_audit", "--older-than", "2d", "--dry-run")
    said = capsys.readouterr().out
    assert f"audit_auditevent_{days_later:%Y%m%d} would be dropped, with about 2 events." in said
    assert "audit_auditevent_earlier would be dropped, with about 4 events." in said
    assert "8 events are from before" in said
    assert left() == 11


def test_while_others_change_the_days_it_says_so(monkeypatch):
    def busy():
        raise partitions.BusyError

    monkeypatch.setattr(partitions, "alone", busy)
    with pytest.raises(CommandError, match="Run it again"):
        call_command("prune_audit", "--older-than", "90d")
    assert left() == 5


@needs_partitions
def test_an_interrupt_leaves_an_event_of_what_has_gone(days_later, monkeypatch):
    drop = partitions.drop

    def interrupt(partition):
        if partition.name != partitions.EARLIER:
            raise KeyboardInterrupt
        drop(partition)

    monkeypatch.setattr(partitions, "drop", interrupt)
    with pytest.raises(SystemExit):
        call_command("prune_audit", "--older-than", "2d")
    assert AuditEvent.objects.get(kind=Kind.PRUNED).row_count == 4


def test_a_dry_run_deletes_nothing(capsys):
    call_command("prune_audit", "--older-than", "90d", "--dry-run")
    assert AuditEvent.objects.count() == 5
    assert "2 events" in capsys.readouterr().out


@pytest.mark.parametrize("age", ["90", "90w", "-1d", "", "d", "999999d"])
def test_a_bad_age_is_a_usage_error(age):
    with pytest.raises(CommandError, match="age"):
        call_command("prune_audit", f"--older-than={age}")
    assert AuditEvent.objects.count() == 5


def test_long_work_shows_progress(capsys):
    now = timezone.now()
    AuditEvent.objects.bulk_create(
        AuditEvent(kind=Kind.STORED, occurred_at=now - timedelta(days=100)) for _ in range(25)
    )
    call_command("prune_audit", "--older-than", "90d", "--batch-size", "1")
    assert "20 deleted so far" in capsys.readouterr().err


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    call_command("prune_audit", "--older-than", "90d", "--batch-size", "1")
    shown = capsys.readouterr()
    assert "0/2" in shown.err
    assert "so far" not in shown.err
    assert "Deleted 2 events" in shown.out


def test_an_interrupt_ends_it_with_the_usual_status(monkeypatch, capsys):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(AuditEventQuerySet, "prune_batch", interrupt)
    with pytest.raises(SystemExit) as caught:
        call_command("prune_audit", "--older-than", "90d")
    assert caught.value.code == 130
    assert "run again" in capsys.readouterr().err
