"""The list's filter by time."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from cpsite.audit.admin.events import AuditEventAdmin
from cpsite.audit.models import AuditEvent, Kind

pytestmark = pytest.mark.django_db
LIST = "/admin/audit/auditevent/"


@pytest.fixture
def ages():
    """Events, and how many minutes ago each was."""
    found = (1, 30, 120, 2_000, 20_000)
    now = timezone.now()
    AuditEvent.objects.bulk_create(
        AuditEvent(kind=Kind.STORED, attempts=age, occurred_at=now - timedelta(minutes=age))
        for age in found
    )
    return found


@pytest.mark.parametrize(
    ("since", "count"), [("15m", 1), ("1h", 2), ("24h", 3), ("7d", 4), ("", 5)]
)
def test_the_last_minutes_hours_and_days(admin_client, ages, since, count):
    answer = admin_client.get(LIST, {"since": since})
    assert [event.attempts for event in answer.context["cl"].result_list] == list(ages[:count])


def test_today_begins_at_midnight_utc(admin_client):
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    AuditEvent.objects.create(kind=Kind.STORED, occurred_at=midnight, attempts=1)
    AuditEvent.objects.create(
        kind=Kind.STORED, occurred_at=midnight - timedelta(microseconds=1), attempts=2
    )
    answer = admin_client.get(LIST, {"since": "today"})
    assert [event.attempts for event in answer.context["cl"].result_list] == [1]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"from": "2026-11-24T12:00"}, [2, 1]),
        ({"until": "2026-11-24T12:00"}, [0]),
        ({"from": "2026-11-24T11:59:59", "until": "2026-11-24T12:00:01"}, [1]),
        ({"from": "2026-11-24T14:00:00+02:00"}, [2, 1]),
    ],
)
def test_from_and_until_are_utc_unless_they_say_otherwise(admin_client, query, expected):
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    for number, moment in enumerate((noon - timedelta(hours=1), noon, noon + timedelta(hours=1))):
        AuditEvent.objects.create(kind=Kind.STORED, attempts=number, occurred_at=moment)
    answer = admin_client.get(LIST, query)
    assert [event.attempts for event in answer.context["cl"].result_list] == expected


@pytest.mark.parametrize("query", [{"since": "5y"}, {"from": "yesterday"}, {"until": "<b>"}])
def test_an_invalid_time_is_reported_and_hides_nothing(admin_client, ages, query):
    answer = admin_client.get(LIST, query, follow=True)
    assert len(answer.context["cl"].result_list) == len(ages)
    page = answer.content.decode()
    assert "All audit events are shown" in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"source_ip": "10.9.0.1"}, "This list has no such filter."),
        ({"message_id": "4484b4e5"}, "A filter has a value that it does not take."),
        ({"p": "9999"}, "This list has no such page."),
        ({"q": "\0"}, "A filter holds a NUL."),
        ({"since": "5y"}, "There is no time filter “5y”."),
    ],
)
def test_a_filter_that_is_none_is_said_to_be_none(admin_client, ages, monkeypatch, query, why):
    monkeypatch.setattr(AuditEventAdmin, "list_per_page", 2)
    answer = admin_client.get(LIST, query, follow=True)
    assert answer.context["cl"].result_count == len(ages)
    (message,) = answer.context["messages"]
    assert str(message) == f"{why} All audit events are shown."


def test_other_filters_stay_and_a_time_replaces_a_time(admin_client, ages):
    answer = admin_client.get(LIST, {"kind__exact": "stored", "since": "1h", "q": "x"})
    (spec,) = [each for each in answer.context["cl"].filter_specs if "time" in each.title]
    assert spec.others == {"kind__exact": "stored", "q": "x"}
    chosen = {choice["display"]: choice for choice in spec.choices(answer.context["cl"])}
    assert chosen["Last hour"]["selected"]
    assert not chosen["Any time"]["selected"]
    assert chosen["Today"]["query_string"] == "?kind__exact=stored&q=x&since=today"
