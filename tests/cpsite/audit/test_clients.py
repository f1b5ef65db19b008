"""The clients in figures: which of them is broken."""

import re
import uuid
from datetime import timedelta
from html import unescape

import pytest
from django.core.cache import cache
from django.utils import timezone

from cpsite.audit import clients, unstored
from cpsite.audit.admin import clients_page
from cpsite.audit.models import AuditEvent, Kind
from tests.cpsite.audit.test_roles import member

pytestmark = pytest.mark.django_db
CLIENTS = "/admin/audit/auditevent/clients/"


def make(kind, *ages, client="alice", **about):
    now = timezone.now()
    AuditEvent.objects.bulk_create(
        AuditEvent(kind=kind, client=client, occurred_at=now - timedelta(seconds=age), **about)
        for age in ages
    )


def accepted(*ages, client="alice"):
    for age in ages:
        make(Kind.ACCEPTED, age, client=client, message_id=uuid.uuid4())


def read(*names, limit=100):
    return clients.read_clients(names, timezone.now(), limit=limit)


def test_each_kind_and_reason_is_counted_for_an_hour_and_a_day():
    make(Kind.ACCEPTED, 5, 3_700, 90_000)
    make(Kind.REFUSED, 7, 8, reason="malformed_json")
    make(Kind.REFUSED, 4_000, reason="contract_required")
    make(Kind.STORED, 6, client="bob")
    make(Kind.READ, 1, client="bob", actor="operator")
    alice, bob, nobody = read("alice", "bob", "nobody")
    assert alice.hour.kinds == {"accepted": 1, "refused": 2, "stored": 0, "failed": 0}
    assert alice.day.kinds == {"accepted": 2, "refused": 3, "stored": 0, "failed": 0}
    assert alice.hour.reasons == {("refused", "malformed_json"): 2}
    assert alice.day.reasons[("refused", "contract_required")] == 1
    assert bob.day.kinds == {"accepted": 0, "refused": 0, "stored": 1, "failed": 0}
    assert not sum(nobody.day.kinds.values())
    newest = AuditEvent.objects.filter(client="alice").first()
    assert alice.last_seen == newest.occurred_at
    assert bob.last_seen is None  # it was the uploader
    assert not any(each.is_bounded for each in (alice, bob, nobody))


def test_reading_stops_at_a_bound_and_says_so(admin_client, monkeypatch):
    make(Kind.REFUSED, *range(4_000, 4_010), reason="malformed_json")
    make(Kind.ACCEPTED, *range(1, 4))
    (alice,) = read("alice", limit=5)
    assert alice.is_bounded
    assert (alice.hour.kinds["accepted"], alice.day.kinds["refused"]) == (3, 2)
    monkeypatch.setattr(clients_page, "EVENTS_OF_MANY", 5)
    page = admin_client.get(CLIENTS).content.decode()
    assert 'aria-label="2+ refused in the last 24 hours"' in page
    assert 'aria-label="3 accepted in the last hour"' in page  # it was read to its beginning
    assert 'aria-label="3+ accepted in the last 24 hours"' in page


def test_without_a_valid_token_it_is_the_address(admin_client):
    unknown = {"client": "", "reason": "token_unknown"}
    make(Kind.REFUSED, 5, 6, source_ip="203.0.113.7", **unknown)
    make(Kind.REFUSED, 7, source_ip="2001:db8::1", client="", reason="token_missing")
    make(Kind.FAILED, 5, client="", reason="undecodable")
    worst, other = clients.read_addresses(timezone.now(), limit=100)
    assert (worst.name, worst.day.kinds["refused"]) == ("203.0.113.7", 2)
    assert other.day.reasons == {("refused", "token_missing"): 1}
    page = admin_client.get(CLIENTS).content.decode()
    assert page.index("203.0.113.7") < page.index("2001:db8::1")
    assert "No client has sent anything yet." in page


def test_of_who_is_without_a_client_no_more_is_said_than_is_known(admin_client):
    make(Kind.REFUSED, 5, client="", source_ip="203.0.113.7", reason="unsupported_media_type")
    page = " ".join(admin_client.get(CLIENTS).content.decode().split())
    assert "No client known</h2>" in page
    assert "the token is missing, unknown, or was not read." in page
    assert "valid token" not in page


def shown_by(admin_client, url):
    """Return the number of events that the list shows at an address."""
    answer = admin_client.get(unescape(url))
    assert answer.status_code == 200
    return answer.context["cl"].result_count


def links(page, text):
    return re.findall(rf'href="([^"]*)"[^>]*>{text}</a>', page)


def test_a_reason_links_to_the_events_of_its_figure(admin_client):
    broken = {"reason": "contract_required", "source_ip": "203.0.113.7"}
    make(Kind.REFUSED, 5, 6, 4_000, 90_000, client="bob", **broken)
    make(Kind.FAILED, 7, client="bob", reason="contract_required")
    make(Kind.REFUSED, 5, **broken)
    make(Kind.REFUSED, 5, 4_000, 90_000, client="", **broken)
    make(Kind.REFUSED, 5, client="", source_ip="203.0.113.8", reason="contract_required")
    page = admin_client.get(CLIENTS).content.decode()
    figures = [
        (unescape(url), int(number))
        for url, number in re.findall(
            r'href="([^"]*)">contract_required</a> <span class="audit-count">(\d+)', page
        )
    ]
    assert sorted(number for _, number in figures) == [1, 1, 2, 4]
    for url, number in figures:
        assert shown_by(admin_client, url) == number, url
    of_bob = admin_client.get(f"{CLIENTS}bob/").content.decode()
    all_of_bob, refused, *_ = links(of_bob, "contract_required")
    assert (shown_by(admin_client, all_of_bob), shown_by(admin_client, refused)) == (4, 3)


def test_figures_of_an_address_link_to_its_events_without_a_client(admin_client):
    unknown = {"client": "", "reason": "token_unknown"}
    make(Kind.REFUSED, 5, 4_000, 90_000, source_ip="2001:db8::1", **unknown)
    make(Kind.REFUSED, 5, source_ip="2001:db8::1", reason="contract_required")
    page = admin_client.get(CLIENTS).content.decode()
    (hour,) = re.findall(r'href="([^"]*)" aria-label="1 from 2001:db8::1 in the last hour"', page)
    (day,) = re.findall(r'href="([^"]*)" aria-label="2 from 2001:db8::1 in the last 24', page)
    assert (shown_by(admin_client, hour), shown_by(admin_client, day)) == (1, 2)


def test_the_last_request_of_a_silent_client_is_shown_whenever_it_was(admin_client):
    make(Kind.REFUSED, 112_320, client="quiet", reason="malformed_json")
    make(Kind.REFUSED, 150_000, client="quiet", reason="malformed_json")
    make(Kind.STORED, 5, 100_000, client="quiet")  # it was the uploader
    for path in (CLIENTS, f"{CLIENTS}quiet/"):
        page = admin_client.get(path).content.decode()
        request = page[page.index("Last request</d" if "quiet/" in path else 'label="Last req') :]
        assert "1.3 days ago" in request[:300]
        cache.clear()


def test_of_a_silent_client_the_newest_events_alone_are_read():
    now = timezone.now()
    make(Kind.REFUSED, 200_000, reason="malformed_json")
    make(Kind.STORED, 100_000, 100_001, 100_002, accepted_at=now - timedelta(hours=40))
    (alice,) = read("alice")
    clients.find_last_requests([alice], limit=3)
    assert alice.last_seen == now - timedelta(hours=40)  # the uploader's events name it
    bob = clients.Activity("bob")
    clients.find_last_requests([bob], limit=3)
    assert bob.last_seen is None


def test_only_silent_clients_are_asked_for(django_assert_num_queries):
    accepted(5)
    accepted(100_000, client="quiet")
    seen, quiet = read("alice", "quiet")
    before = seen.last_seen
    with django_assert_num_queries(0):
        clients.find_last_requests([seen], limit=10)
    with django_assert_num_queries(1):
        clients.find_last_requests([seen, quiet], limit=10)
    assert seen.last_seen == before
    newest = AuditEvent.objects.filter(client="quiet").first()
    assert quiet.last_seen == newest.occurred_at


def test_without_accepted_events_no_last_request_is_claimed(admin_client, settings):
    settings.AUDIT_EVENTS = "failures"
    make(Kind.REFUSED, 108_000, client="quiet", reason="malformed_json")
    assert "days ago" not in admin_client.get(CLIENTS).content.decode()


def test_what_is_not_stored_is_counted_with_the_oldest(monkeypatch):
    accepted(90, 4_000)
    accepted(30, client="bob")  # it may be on its way
    stored = uuid.uuid4()
    make(Kind.ACCEPTED, 200, client="carol", message_id=stored)
    make(Kind.STORED, 199, client="carol", message_id=stored)
    found = unstored.count_unstored(timezone.now())
    assert found.is_all
    (alice,) = found.clients.values()
    assert alice.number == 2
    assert alice.oldest == AuditEvent.objects.order_by("occurred_at").first().occurred_at
    monkeypatch.setattr(unstored, "SCAN_LIMIT", 1)
    found = unstored.count_unstored(timezone.now(), client="alice")
    assert (found.clients["alice"].number, found.is_all) == (1, False)


def test_the_table_says_which_client_is_broken(admin_client):
    accepted(90, client="alice")
    make(Kind.REFUSED, 5, 6, client="bob", reason="contract_required")
    page = " ".join(admin_client.get(CLIENTS).content.decode().split())
    assert f'href="{CLIENTS}alice/"' in page
    assert 'aria-label="2 refused in the last hour"' in page
    assert "client=bob&amp;kind__exact=refused&amp;since=1h" in page
    assert f'href="{CLIENTS}alice/#waiting-title">1, the oldest for 2 min</a>' in page
    assert "contract_required</a>" in page


def test_further_clients_are_on_further_pages(admin_client, monkeypatch):
    for number in range(5):
        make(Kind.STORED, 5, client=f"client-{number}")
    for module in ("cpsite.audit.admin.filters", "cpsite.audit.admin.clients_page"):
        monkeypatch.setattr(f"{module}.LIMIT", 3)
    page = admin_client.get(CLIENTS).content.decode()
    assert "client-2</a>" in page
    assert "client-3" not in page
    page = admin_client.get(f"{CLIENTS}?after=client-2").content.decode()
    assert "client-3</a>" in page
    assert "Further clients" not in page
    assert admin_client.get(f"{CLIENTS}?after=%00x").status_code == 200


def test_a_clients_page_says_all_about_it(admin_client):
    accepted(90)
    make(Kind.REFUSED, 5, 8_000, reason="contract_required", fields_at_fault="data.field4")
    page = " ".join(admin_client.get(f"{CLIENTS}alice/").content.decode().split())
    assert "data.field4" in page
    assert "at most 1 in an hour, 1 in the last" in page
    assert 'href="#waiting-title">1, the oldest for 2 min</a>' in page
    assert 'id="waiting-title"' in page
    assert 'href="/admin/audit/auditevent/waiting/"' in page
    assert "All its events" in page
    assert admin_client.get(f"{CLIENTS}nobody/").status_code == 404
    assert admin_client.get(f"{CLIENTS}%2e%2e/").status_code == 404


def test_the_course_of_a_clients_refusals_is_shown_with_its_figures(admin_client):
    make(Kind.REFUSED, 5, 6, 8_000, reason="contract_required")
    make(Kind.REFUSED, 8_001, reason="malformed_json")
    make(Kind.FAILED, 7, reason="denied")
    make(Kind.REFUSED, 90_000, reason="contract_blank")
    page = " ".join(admin_client.get(f"{CLIENTS}alice/").content.decode().split())
    assert "24 h ago<span>at most 2 an hour</span>now" in page
    for reason, most in (("contract_required", 2), ("malformed_json", 1)):
        assert f'id="chart-{reason}"' in page
        assert f"at most {most} in an hour" in page
    assert 'id="chart-denied"' not in page
    assert 'id="chart-contract_blank"' not in page
    assert "contract_required 1, malformed_json 1" in page
    hours = re.findall(r'href="([^"]*)" aria-label="(\d+) refused from \d\d:\d\d on"', page)
    assert [int(number) for _, number in hours] == [2, 0, 2, *[0] * 21]
    for url, number in hours[:4]:
        assert shown_by(admin_client, url) == int(number)


def test_of_many_reasons_the_most_frequent_are_shown_first(admin_client):
    for number in range(1, 8):
        make(Kind.REFUSED, *range(number), reason=f"reason_{number}")
    page = admin_client.get(f"{CLIENTS}alice/").content.decode()
    folded = page.index("<summary>2 more</summary>")
    order = [page.index(f'id="chart-reason_{number}"') for number in range(7, 0, -1)]
    assert order == sorted(order)
    assert order[4] < folded < order[5]


def test_hours_that_were_not_read_have_no_figure():
    now = timezone.now()
    make(Kind.REFUSED, 5, 5_000, 9_000, 9_001, 13_000, reason="malformed_json")
    found = clients.read_refusals("alice", now, limit=3)
    assert found.hours[-3:] == [1, 1, 1]
    numbers = [row["number"] for row in clients_page._hours("alice", found, ["malformed_json"])]
    assert numbers == ["1", "1", "1+", *[""] * 21]
    assert clients.read_refusals("alice", now, limit=6).read_since is None


def test_a_clock_that_is_ahead_is_of_the_last_hour():
    make(Kind.REFUSED, -8_000, reason="malformed_json")
    assert clients.read_refusals("alice", timezone.now(), limit=3).hours[-1] == 1


def test_figures_are_cached_for_a_moment(admin_client, django_assert_max_num_queries):
    make(Kind.STORED, 5)
    admin_client.get(CLIENTS)
    with django_assert_max_num_queries(4):
        admin_client.get(CLIENTS)
    cache.clear()


@pytest.mark.parametrize("path", [CLIENTS, f"{CLIENTS}alice/"])
@pytest.mark.parametrize(("groups", "status"), [([], 403), (["Viewers"], 200)])
def test_only_who_may_see_the_log_sees_them(client, path, groups, status):
    make(Kind.STORED, 5)
    assert client.get(path).status_code == 302
    client.force_login(member(*groups))
    assert client.get(path).status_code == status
