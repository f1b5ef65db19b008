"""Since when messages wait, by the audit log."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cpsite.audit import oldest_waiting as module
from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.oldest_waiting import OldestUnknown, oldest_waiting

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def message(accepted, *later):
    """A message accepted so many seconds ago; `later` are further events, with their ages."""
    message_id = uuid.uuid4()
    for kind, age in ((Kind.ACCEPTED, accepted), *later):
        AuditEvent.objects.create(
            kind=kind, message_id=message_id, occurred_at=ago(age), accepted_at=ago(accepted)
        )
    return message_id


def stored(accepted, age):
    return message(accepted, (Kind.STORED, age))


def test_an_empty_log_and_one_where_all_is_stored_know_of_no_message():
    assert oldest_waiting(NOW) is None
    stored(10, 9)
    assert oldest_waiting(NOW) is None


def test_it_is_the_first_after_those_that_are_stored():
    stored(700, 699)
    stored(650, 640)
    message(600)
    message(500, (Kind.FAILED, 499))
    message(1)
    assert oldest_waiting(NOW) == ago(600)


def test_without_an_uploader_ever_it_is_the_first_message():
    message(86_400)
    message(1)
    assert oldest_waiting(NOW) == ago(86_400)


def test_what_was_passed_over_is_the_uploaders_to_report():
    """It is retried, or it is a dead letter, or its event was lost with a killed process."""
    message(600, (Kind.FAILED, 590))
    stored(500, 499)
    assert oldest_waiting(NOW) is None
    message(30)
    assert oldest_waiting(NOW) == ago(30)


def test_stored_again_is_not_waiting_again():
    """A redriven message is stored last, and was accepted long before others that are stored."""
    for age in range(300, 200, -1):
        stored(age, age - 1)
    message(20)
    for age in range(10, 0, -1):
        stored(50_000 + age, age)
    assert oldest_waiting(NOW) == ago(20)


def test_after_many_redriven_ones_it_looks_at_what_came_since(monkeypatch):
    monkeypatch.setattr(module, "STORED_EVENTS", 3)
    monkeypatch.setattr(module, "CHUNK", 4)
    for age in range(300, 290, -1):
        stored(age, age - 1)
    message(20)
    for age in range(4, 0, -1):
        stored(50_000 + age, age)
    assert oldest_waiting(NOW) == ago(20)


def test_it_gives_up_after_so_many_and_says_so(monkeypatch):
    monkeypatch.setattr(module, "STORED_EVENTS", 1)
    monkeypatch.setattr(module, "CHUNK", 2)
    monkeypatch.setattr(module, "SCAN_LIMIT", 6)
    for age in range(300, 294, -1):
        stored(age, age - 1)
    message(20)
    stored(50_000, 1)
    with pytest.raises(OldestUnknown):
        oldest_waiting(NOW)


def test_what_sqs_has_deleted_does_not_wait():
    message(14 * 86_400 + 1)
    assert oldest_waiting(NOW) is None
    message(14 * 86_400)
    assert oldest_waiting(NOW) == ago(14 * 86_400)


def test_a_message_from_the_future_hides_what_waits_only_until_it_was_stored():
    AuditEvent.objects.create(
        kind=Kind.STORED, message_id=uuid.uuid4(), occurred_at=ago(100), accepted_at=ago(-9_999)
    )
    message(50)
    assert oldest_waiting(NOW) == ago(50)


def test_a_stored_event_without_the_time_of_acceptance_says_nothing():
    AuditEvent.objects.create(kind=Kind.STORED, message_id=uuid.uuid4(), occurred_at=ago(10))
    message(50)
    assert oldest_waiting(NOW) == ago(50)


def test_it_asks_three_short_questions_while_nothing_is_stored():
    stored(100_000, 99_999)
    for age in range(600, 500, -1):
        message(age)
    with CaptureQueriesContext(connection) as asked:
        assert oldest_waiting(NOW) == ago(600)
    assert len(asked) == 3
