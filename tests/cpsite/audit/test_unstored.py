"""Accepted messages that are not stored: found in bounded scans, each of which says its end."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from cpsite.audit import unstored
from cpsite.audit.history import Status
from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.unstored import find_waiting

pytestmark = pytest.mark.django_db
PAGE = "/admin/audit/auditevent/waiting/"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def message(age, *later, now=NOW):
    """A message accepted `age` seconds ago, with further events of these kinds."""
    message_id = uuid.uuid4()
    for number, kind in enumerate((Kind.ACCEPTED, *later)):
        AuditEvent.objects.create(
            kind=kind,
            message_id=message_id,
            client="alice",
            reason="aws_SlowDown" if kind == Kind.FAILED else "",
            occurred_at=now - timedelta(seconds=age - number / 10),
        )
    return message_id


def ids(found):
    return [history.message_id for history in found.messages]


def test_what_is_not_stored_is_found_newest_first():
    older = message(7_200, Kind.FAILED)
    newer = message(3_600)
    message(5_000, Kind.STORED)
    message(4_000, Kind.FAILED, Kind.STORED)
    found = find_waiting(NOW)
    assert ids(found) == [newer, older]
    assert [each.status for each in found.messages] == [Status.QUEUED, Status.FAILED]
    assert (found.looked_at, found.next_place) == (4, None)


def test_neither_the_youngest_nor_those_of_yesterday_are_looked_at():
    message(59)
    message(86_401)
    on_the_edge = message(60)
    assert ids(find_waiting(NOW)) == [on_the_edge]
    assert ids(find_waiting(NOW, grace=timedelta(minutes=5))) == []


def test_a_stored_event_before_the_window_counts():
    """A stored event counts at any time, because the clocks of two hosts differ."""
    message_id = message(3_600)
    AuditEvent.objects.create(
        kind=Kind.STORED, message_id=message_id, occurred_at=NOW - timedelta(days=2)
    )
    assert ids(find_waiting(NOW)) == []


def all_scans(**options):
    """Scan until nothing is left; return what each scan found."""
    found = [find_waiting(NOW, **options)]
    while found[-1].next_place:
        found.append(find_waiting(NOW, place=found[-1].next_place, **options))
        assert len(found) < 20
    return found


def test_a_scan_is_bounded_and_the_next_continues_it(monkeypatch):
    monkeypatch.setattr(unstored, "SCAN_LIMIT", 3)
    monkeypatch.setattr(unstored, "_CHUNK", 2)
    expected = []
    for age in range(100, 108):
        if age % 3:
            message(age, Kind.STORED)
        else:
            expected.append(message(age))
    looks = all_scans()
    assert [look.looked_at for look in looks] == [3, 3, 2]
    assert [message_id for look in looks for message_id in ids(look)] == expected


def test_a_full_page_ends_a_scan_and_loses_none(monkeypatch):
    monkeypatch.setattr(unstored, "FOUND_LIMIT", 2)
    monkeypatch.setattr(unstored, "_CHUNK", 3)
    expected = [message(age) for age in range(100, 107)]
    looks = all_scans()
    assert [len(look.messages) for look in looks] == [2, 2, 2, 1]
    assert [message_id for look in looks for message_id in ids(look)] == expected


def test_messages_of_the_same_microsecond_are_each_seen_once(monkeypatch):
    monkeypatch.setattr(unstored, "SCAN_LIMIT", 2)
    expected = {message(100) for _ in range(5)}
    seen = [message_id for look in all_scans() for message_id in ids(look)]
    assert len(seen) == 5
    assert set(seen) == expected


def test_a_scan_takes_few_statements(django_assert_max_num_queries):
    AuditEvent.objects.bulk_create(
        AuditEvent(
            kind=kind, message_id=uuid.UUID(int=number), occurred_at=NOW - timedelta(hours=1)
        )
        for number in range(2_000)
        for kind in (Kind.ACCEPTED, Kind.STORED)
    )
    with django_assert_max_num_queries(6):
        assert find_waiting(NOW).looked_at == 2_000


def test_the_page_lists_them_with_their_ways(admin_client):
    message_id = message(7_200, Kind.FAILED, now=timezone.now())
    page = " ".join(admin_client.get(PAGE).content.decode().split())
    assert f"/message/{message_id}/" in page
    assert "2.0 h" in page
    assert "aws_SlowDown" in page
    assert "all of the last 24 hours, except those of the last 1 minute." in page
    assert "may already be in S3" in page


@pytest.mark.parametrize(("older", "count"), [("60", 2), ("300", 1), ("3600", 0), ("bogus", 2)])
def test_the_page_takes_a_time(admin_client, older, count):
    message(120, now=timezone.now())
    message(600, now=timezone.now())
    answer = admin_client.get(PAGE, {"older": older})
    assert len(answer.context["rows"]) == count


def test_the_page_goes_on_where_it_ended(admin_client, monkeypatch):
    monkeypatch.setattr(unstored, "FOUND_LIMIT", 1)
    first, second = message(600, now=timezone.now()), message(700, now=timezone.now())
    answer = admin_client.get(PAGE)
    assert str(first) in answer.content.decode()
    answer = admin_client.get(PAGE, {"after": answer.context["next"]})
    assert str(second) in answer.content.decode()
    assert str(first) not in answer.content.decode()


@pytest.mark.parametrize("after", ["x", "1e400-1", "nan-1", "1.5", "1-x", "99999999999999-1"])
def test_no_place_in_the_log_is_not_found(admin_client, after):
    assert admin_client.get(PAGE, {"after": after}).status_code == 404


def test_an_empty_page_says_what_it_means(admin_client):
    assert "Nothing was accepted." in admin_client.get(PAGE).content.decode()
    message(120, Kind.STORED, now=timezone.now())
    assert "All of them are stored." in admin_client.get(PAGE).content.decode()
