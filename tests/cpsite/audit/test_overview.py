"""The figures above the list: correct, bounded and cached."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from itertools import count

import pytest
from django.core.cache import cache
from django.utils import timezone

from cpsite.audit.admin import overview
from cpsite.audit.admin.overview import read_overview
from cpsite.audit.admin.sparkline import sparkline
from cpsite.audit.models import AuditEvent, Kind

pytestmark = pytest.mark.django_db
LIST = "/admin/audit/auditevent/"


def make(kind, *ages, reason=""):
    """Events of so many seconds ago."""
    now = timezone.now()
    AuditEvent.objects.bulk_create(
        AuditEvent(kind=kind, reason=reason, occurred_at=now - timedelta(seconds=age))
        for age in ages
    )


def of(kind):
    (found,) = [each for each in read_overview().kinds if each.kind == kind]
    return found


def test_each_kind_is_counted_for_an_hour_and_a_day():
    make(Kind.REFUSED, 5, 3_500, 3_700, 86_000, 86_500)
    make(Kind.STORED, 10)
    assert str(of(Kind.REFUSED).last_hour) == "2"
    assert str(of(Kind.REFUSED).day) == "4"
    assert [hour.number for hour in of(Kind.REFUSED).hours] == [1, *[0] * 21, 1, 2]
    assert str(of(Kind.STORED).day) == "1"
    assert str(of(Kind.FAILED).day) == "0"


def test_counting_stops_at_a_bound_and_says_so(monkeypatch):
    monkeypatch.setattr(overview, "COUNT_LIMIT", 3)
    make(Kind.REFUSED, *range(5, 9), 4_000, reason="token_unknown")
    make(Kind.STORED, *range(5, 8))
    assert str(of(Kind.REFUSED).last_hour) == "3+"
    assert str(of(Kind.REFUSED).day) == "4+"
    assert str(of(Kind.STORED).last_hour) == "3"
    assert [str(number) for _, number in read_overview().reasons] == ["3+"]


def test_reasons_are_those_of_the_day_most_first():
    make(Kind.REFUSED, 5, reason="malformed_json")
    make(Kind.REFUSED, 5, 6, reason="token_unknown")
    make(Kind.REFUSED, 90_000, reason="body_too_large")
    reasons = [(reason, str(number)) for reason, number in read_overview().reasons]
    assert reasons == [("token_unknown", "2"), ("malformed_json", "1")]


def test_figures_are_asked_for_once_in_a_while(monkeypatch):
    numbers = count()
    monkeypatch.setattr(overview, "_read", lambda now: next(numbers))
    assert [read_overview(), read_overview()] == [0, 0]
    cache.clear()
    assert read_overview() == 1


def test_all_is_counted_in_one_statement(django_assert_num_queries):
    make(Kind.REFUSED, 5)
    # The reasons: none further than the empty one. The figures. What waits: nothing accepted.
    with django_assert_num_queries(3):
        read_overview()


def test_the_list_shows_them_with_links_and_a_table(admin_client):
    make(Kind.REFUSED, 5, 3_700, reason="token_unknown")
    page = admin_client.get(LIST).content.decode()
    assert 'href="?kind__exact=refused&amp;since=1h"' in page
    assert 'aria-label="2 refused in the last 24 hours"' in page
    assert f'href="{LIST}?reason=token_unknown&amp;since=24h"' in page
    assert '<title id="chart-refused">refused, hour by hour</title>' in page
    assert "24 hours, the last one ending now; at most 1 in an hour, 1 in the last." in page
    assert page.count("<tr><th scope") == 1 + 24


def test_what_is_accepted_and_not_stored_is_shown(admin_client):
    page = admin_client.get(LIST).content.decode()
    assert "every message accepted more than a minute ago is stored" in page
    cache.clear()
    AuditEvent.objects.create(
        kind=Kind.ACCEPTED,
        message_id="6b1f1d5e-0000-4000-8000-000000000001",
        occurred_at=timezone.now() - timedelta(seconds=90),
    )
    page = " ".join(admin_client.get(LIST).content.decode().split())
    assert "<strong>1 message</strong>" in page


def test_who_filters_or_searches_sees_what_is_found_first(admin_client):
    assert "The last 24 hours</h2>" in admin_client.get(LIST).content.decode()
    assert "The last 24 hours</h2>" not in admin_client.get(f"{LIST}?q=x").content.decode()


def test_hours_are_shown_by_their_start():
    make(Kind.FAILED, 5)
    at = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
    (latest, counts), *_, (oldest, _) = overview._read(at).hours
    assert (latest, oldest) == (at - timedelta(hours=1), at - timedelta(hours=24))
    assert len(counts) == len(Kind)


def test_a_figure_of_an_hour_leads_to_its_events(admin_client):
    make(Kind.FAILED, 1, 2, 3, 1.5 * 3_600, 2.5 * 3_600)
    page = admin_client.get("/admin/").content.decode()
    links = re.findall(r'<a href="([^"]+)" aria-label="(\d+) failed from', page)
    assert [int(number) for _, number in links] == [3, 1, 1]
    for link, number in links:
        events = admin_client.get(unescape(link)).context["cl"].result_list
        assert len(events) == int(number)


def test_a_chart_shows_one_beside_many_and_none_as_nothing():
    drawn = sparkline("refused", [0, 1, 10_000])
    assert drawn.count("<rect") == 2
    assert 'height="2"' in drawn
    assert 'height="32"' in drawn
    assert "<rect" not in sparkline("refused", [0, 0])
