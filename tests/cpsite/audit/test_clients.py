"""The clients in figures: which of them is broken."""

import uuid
from datetime import timedelta

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
    assert "1, the oldest for 2 min" in page
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
    assert "1, the oldest for 2 min" in page
    assert "All its events" in page
    assert admin_client.get(f"{CLIENTS}nobody/").status_code == 404
    assert admin_client.get(f"{CLIENTS}%2e%2e/").status_code == 404


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
