import sys
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from cpsite.audit.models import AuditEvent, AuditEventQuerySet, Kind

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _events():
    now = timezone.now()
    for days in (0, 10, 89, 91, 200):
        AuditEvent.objects.create(kind=Kind.STORED, occurred_at=now - timedelta(days=days))


def test_deletes_what_is_older_and_says_how_much(capsys):
    call_command("prune_audit", "--older-than", "90d")
    assert AuditEvent.objects.count() == 3
    assert "Deleted 2 events" in capsys.readouterr().out


def test_batches_go_on_until_nothing_is_left(capsys):
    call_command("prune_audit", "--older-than", "1h", "--batch-size", "1")
    assert AuditEvent.objects.count() == 1


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
