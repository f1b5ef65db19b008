"""Who makes the days of the audit table when no command does: one process of a service."""

import os
import threading

import pytest
from django.db import OperationalError

from cpsite.audit import partitions
from cpsite.web import audit_days
from cpsite.web.audit_days import AuditDays
from cpsite.web.queue_watch import FirstProcess
from tests.logged import lines_of
from tests.waiting import wait_for


@pytest.fixture
def calls(monkeypatch):
    """Return what was asked for so far; no day is ever made."""
    found = []

    def ensure_ahead(*, tries):
        found.append(tries)
        return 0

    monkeypatch.setattr(partitions, "ensure_ahead", ensure_ahead)
    return found


@pytest.fixture
def days(tmp_path):
    """Return a function that makes what a process of the service would have."""
    return lambda: AuditDays(FirstProcess(tmp_path / "lock"))


def failing_with(error):
    def fail(*, tries):
        raise error

    return fail


def test_only_the_first_process_looks_until_it_ends(days, calls):
    first, second = days(), days()
    first.look()
    second.look()
    assert len(calls) == 1
    os.close(first._first._descriptor)  # as the end of its process does
    second.look()
    assert len(calls) == 2


def test_days_that_were_made_are_logged(days, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(partitions, "ensure_ahead", lambda tries: 5)
    days().look()
    assert lines_of(caplog) == [("INFO", "audit_days_made", {"days": 5})]


def test_nothing_to_make_and_another_session_are_no_news(days, calls, monkeypatch, caplog):
    caplog.set_level("INFO")
    days().look()
    monkeypatch.setattr(partitions, "ensure_ahead", failing_with(partitions.BusyError))
    days().look()
    assert lines_of(caplog) == []


def test_without_the_database_a_line_says_so(days, monkeypatch, caplog):
    monkeypatch.setattr(partitions, "ensure_ahead", failing_with(OperationalError("secret-host")))
    days().look()
    assert lines_of(caplog) == [("WARNING", "audit_days_not_made", {"error": "OperationalError"})]
    assert "secret-host" not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_it_looks_at_once_and_then_from_time_to_time(tmp_path, calls, monkeypatch):
    monkeypatch.setattr(audit_days, "INTERVAL", 0.01)
    started = audit_days.start(tmp_path)
    assert (started._thread.name, started._thread.daemon) == ("audit-days", True)
    wait_for(lambda: len(calls) > 2, "three looks")
    started.stop()
    assert not started._thread.is_alive()


@pytest.mark.django_db(transaction=True)
def test_an_unexpected_error_does_not_end_it(tmp_path, monkeypatch, caplog):
    twice = threading.Semaphore(0)

    def fail(*, tries):
        twice.release()
        raise LookupError

    monkeypatch.setattr(partitions, "ensure_ahead", fail)
    monkeypatch.setattr(audit_days, "INTERVAL", 0.01)
    started = audit_days.start(tmp_path)
    assert twice.acquire(timeout=60)
    assert twice.acquire(timeout=60)
    started.stop()
    assert "audit_days_failed_unexpectedly" in caplog.text


@pytest.mark.django_db
def test_every_database_can_be_asked():
    assert partitions.ensure_ahead() == 0
