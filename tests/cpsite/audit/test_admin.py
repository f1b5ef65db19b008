import csv
import io
import re
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils import timezone

from cpsite.audit.admin import display, filters, pagination
from cpsite.audit.models import AuditEvent, Kind

pytestmark = pytest.mark.django_db
LIST = "/admin/audit/auditevent/"
MESSAGE_ID = uuid.UUID("6b1f1d5e-0000-4000-8000-000000000001")
MESSAGE = f"{LIST}message/{MESSAGE_ID}/"


@pytest.fixture
def events():
    message_id = MESSAGE_ID
    now = timezone.now()
    return AuditEvent.objects.bulk_create(
        [
            AuditEvent(kind=Kind.ACCEPTED, message_id=message_id, client="alice", occurred_at=now),
            AuditEvent(
                kind=Kind.STORED,
                message_id=message_id,
                client="alice",
                object_key="messages/2026/11/23/a.json",
                attempts=2,
                occurred_at=now + timedelta(seconds=1),
            ),
            AuditEvent(
                kind=Kind.REFUSED,
                reason="token_unknown",
                source_ip="192.0.2.1",
                occurred_at=now + timedelta(seconds=2),
            ),
            AuditEvent(
                kind=Kind.REFUSED,
                reason="contract_required",
                client="bob",
                occurred_at=now + timedelta(seconds=3),
            ),
        ]
    )


def _rows(answer):
    return [event.pk for event in answer.context["cl"].result_list]


def test_the_list_shows_the_newest_first(admin_client, events):
    answer = admin_client.get(LIST)
    assert _rows(answer) == [event.pk for event in reversed(events)]
    assert b"token_unknown" in answer.content


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("kind__exact=refused", [3, 2]),
        ("client=alice", [1, 0]),
        ("reason=token_unknown", [2]),
        ("message_id=6b1f1d5e-0000-4000-8000-000000000001", [1, 0]),
        ("q=bob", [3]),
        ("q=token_unknown", [2]),
        ("q=%20%20", [3, 2, 1, 0]),
        ("q=nothing-like-it", []),
        ("q=00000000-0000-4000-8000-000000000000", []),
        ("kind__exact=refused&client=bob", [3]),
    ],
)
def test_filters_and_search(admin_client, events, query, expected):
    answer = admin_client.get(f"{LIST}?{query}")
    assert _rows(answer) == [events[index].pk for index in expected]


def test_filters_offer_what_occurs(admin_client, events):
    answer = admin_client.get(LIST)
    offered = {
        spec.title: [value for value, _ in getattr(spec, "lookup_choices", [])]
        for spec in answer.context["cl"].filter_specs
    }
    assert offered["client"] == ["alice", "bob"]
    assert offered["reason"] == ["contract_required", "token_unknown"]


def test_filters_offer_a_bounded_number_of_values(monkeypatch, admin_client, events):
    monkeypatch.setattr(filters, "LIMIT", 1)
    answer = admin_client.get(LIST)
    (spec,) = [s for s in answer.context["cl"].filter_specs if s.title == "client"]
    assert spec.lookup_choices == [("alice", "alice")]


@pytest.mark.parametrize("term", [str(MESSAGE_ID), MESSAGE_ID.hex, f"%20{MESSAGE_ID}%20"])
def test_a_search_for_a_message_leads_to_its_page(admin_client, events, term):
    answer = admin_client.get(f"{LIST}?q={term}")
    assert answer.status_code == 302
    assert answer["Location"] == MESSAGE


def test_an_event_leads_to_its_message_and_object(admin_client, events, bucket):
    page = admin_client.get(f"{LIST}{events[0].pk}/change/").content.decode()
    assert f'href="{MESSAGE}"' in page
    page = admin_client.get(f"{LIST}{events[1].pk}/change/").content.decode()
    assert reverse("admin:audit_auditevent_object", args=[events[1].pk]) in page


def test_the_list_leads_to_the_message(admin_client, events):
    assert f'href="{MESSAGE}"' in admin_client.get(LIST).content.decode()


@pytest.mark.parametrize("kind", list(Kind))
def test_kinds_are_shown_as_words(admin_client, kind):
    AuditEvent.objects.create(kind=kind)
    page = admin_client.get(LIST).content.decode()
    assert f'<span aria-hidden="true">{display._SIGNS[kind]}</span> {kind.value}</span>' in page


def test_times_are_shown_to_the_millisecond(admin_client):
    moment = datetime(2026, 11, 23, 1, 2, 3, 45_678, tzinfo=UTC)
    AuditEvent.objects.create(kind=Kind.STORED, occurred_at=moment)
    assert "2026-11-23 01:02:03.045" in admin_client.get(LIST).content.decode()


def test_no_counts_for_each_filter_are_offered(admin_client, events):
    assert "Show counts" not in admin_client.get(LIST).content.decode()
    assert not admin_client.get(f"{LIST}?_facets=True").context["cl"].add_facets


def test_an_event_shows_a_dash_for_what_it_does_not_have(admin_client):
    event = AuditEvent.objects.create(kind=Kind.READ, reason="events_exported")
    page = admin_client.get(f"{LIST}{event.pk}/change/").content.decode()
    assert "None" not in re.sub("<[^>]*>", "", page)


def test_an_event_without_message_says_so(admin_client, events):
    page = admin_client.get(f"{LIST}{events[2].pk}/change/").content.decode()
    assert "belongs to no message" in page


@pytest.mark.parametrize("action", ["add/", "{}/delete/"])
def test_nothing_can_be_added_or_deleted(admin_client, events, action):
    assert admin_client.get(LIST + action.format(events[0].pk)).status_code == 403


def test_nothing_can_be_changed(admin_client, events):
    url = f"{LIST}{events[0].pk}/change/"
    page = admin_client.get(url).content.decode()
    assert 'name="_save"' not in page
    assert admin_client.post(url, {"client": "mallory"}).status_code == 403
    assert AuditEvent.objects.get(pk=events[0].pk).client == "alice"


def test_the_only_action_is_the_export(admin_client, events):
    choices = dict(admin_client.get(LIST).context["action_form"].fields["action"].choices)
    assert set(choices) - {""} == {"export_csv"}


def _export(client, pks, **extra):
    answer = client.post(LIST, {"action": "export_csv", "_selected_action": pks, **extra})
    name = r'attachment; filename="audit-events-\d{8}T\d{6}Z\.csv"'
    assert re.fullmatch(name, answer["Content-Disposition"])
    text = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_the_export_is_csv_with_iso_times(admin_client, events):
    (row,) = _export(admin_client, [events[1].pk])
    assert row["kind"] == "stored"
    assert row["message_id"] == "6b1f1d5e-0000-4000-8000-000000000001"
    assert row["object_key"] == "messages/2026/11/23/a.json"
    assert row["occurred_at"] == events[1].occurred_at.isoformat()
    assert row["duration_ms"] == ""


def test_the_export_of_all_takes_more_than_a_page(admin_client, events):
    AuditEvent.objects.bulk_create([AuditEvent(kind=Kind.ACCEPTED) for _ in range(120)])
    rows = _export(admin_client, [events[0].pk], select_across="1")
    assert len(rows) == 124


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("", ["stored", "accepted"]),
        ("kind__exact=stored", ["stored"]),
        ("q=bob", ["accepted"]),
        ("since=1h&client=alice", ["stored"]),
        ("q=of+nothing", []),
    ],
)
def test_one_click_exports_what_the_filters_show(admin_client, query, kinds):
    AuditEvent.objects.create(kind=Kind.ACCEPTED, client="bob")
    AuditEvent.objects.create(kind=Kind.STORED, client="alice")
    page = admin_client.get(f"{LIST}?{query}").content.decode()
    address = re.search(r'href="([^"]+/export/[^"]*)"', page)[1].replace("&amp;", "&")
    answer = admin_client.get(address)
    text = b"".join(answer.streaming_content).decode()
    assert [row["kind"] for row in csv.DictReader(io.StringIO(text))] == kinds


def test_an_export_by_filters_that_do_not_exist_is_none(admin_client, client):
    assert admin_client.get(f"{LIST}export/?since=1y").status_code == 404
    assert admin_client.get(f"{LIST}export/?nonsense=1").status_code == 404
    assert client.get(f"{LIST}export/").status_code == 302


def test_the_object_link_is_short_lived_and_leads_to_the_object(admin_client, events, bucket):
    bucket.client.put_object(Bucket=bucket.name, Key=events[1].object_key, Body=b"{}")
    answer = admin_client.get(reverse("admin:audit_auditevent_object", args=[events[1].pk]))
    assert answer.status_code == 302
    link = urlsplit(answer["Location"])
    assert link.path == f"/{bucket.name}/messages/2026/11/23/a.json"
    assert parse_qs(link.query)["X-Amz-Expires"] == ["60"]


@pytest.mark.parametrize("index", [0, None])
def test_without_an_object_there_is_no_link(admin_client, events, index):
    pk = 0 if index is None else events[index].pk
    answer = admin_client.get(reverse("admin:audit_auditevent_object", args=[pk]))
    assert answer.status_code == 404


def test_where_no_bucket_is_known_there_is_no_link(admin_client, events, settings):
    settings.S3_BUCKET = ""
    url = reverse("admin:audit_auditevent_object", args=[events[1].pk])
    assert admin_client.get(url).status_code == 404
    page = admin_client.get(f"{LIST}{events[1].pk}/change/").content.decode()
    assert "messages/2026/11/23/a.json" in page
    assert url not in page


def test_a_user_without_the_permission_sees_nothing(client, events, bucket):
    user = User.objects.create_user("nosy", password="x", is_staff=True)
    client.force_login(user)
    assert client.get(LIST).status_code == 403
    url = reverse("admin:audit_auditevent_object", args=[events[1].pk])
    assert client.get(url).status_code == 404
    assert client.get(MESSAGE).status_code == 403
    assert client.get(f"{LIST}?q={MESSAGE_ID}").status_code == 403
    assert client.get(f"{LIST}waiting/").status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_auditevent"))
    assert client.get(LIST).status_code == 200
    assert client.get(url).status_code == 302


def test_counting_stops_at_a_bound(admin_client, events, monkeypatch):
    monkeypatch.setattr(pagination, "COUNT_LIMIT", 3)
    answer = admin_client.get(LIST)
    assert answer.context["cl"].result_count == 3


def test_the_questions_asked_most_are_links_and_tell_which_is_asked(admin_client, events):
    page = admin_client.get(f"{LIST}?kind__exact=refused&since=1h").content.decode()
    assert '<a href="?kind__exact=refused&amp;since=1h" aria-current="page">' in page
    assert '<a href="?">Everything</a>' in page
    assert f'href="{LIST}waiting/"' in page
    assert 'href="/admin/uploader/deadletterentry/"' in page


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", "Nothing has happened yet"),
        ("?q=%3Cb%3E", "Nothing is found for “&lt;b&gt;”"),
        ("?kind__exact=failed", "No event fits these filters"),
        ("?since=1h", "No event fits these filters"),
    ],
)
def test_an_empty_list_says_why(admin_client, query, shown):
    assert shown in admin_client.get(LIST + query).content.decode()


def test_an_event_has_no_history_of_changes(admin_client, events):
    assert "historylink" not in admin_client.get(f"{LIST}{events[0].pk}/change/").content.decode()
