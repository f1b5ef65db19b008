"""The search of the audit log: each thing that a term may be is found."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from cpsite.audit.admin import search
from cpsite.audit.models import AuditEvent, Kind

pytestmark = pytest.mark.django_db
LIST = "/admin/audit/auditevent/"
ONE = uuid.UUID("6b1f1d5e-46d5-4c7c-9e5e-0d3f8f4f7c11")
TWIN = uuid.UUID("6b1f1d5e-46d5-4c7c-9e5e-0d3f8f4f7c12")
OTHER = uuid.UUID("00000000-46d5-4c7c-9e5e-0d3f8f4f7c11")
#: Its digits could be the id of a message.
BATCH = f"messages/2026/11/26/{ONE.hex}.ndjson.gz"


@pytest.fixture(autouse=True)
def events():
    AuditEvent.objects.bulk_create(
        [
            AuditEvent(
                kind=Kind.ACCEPTED,
                message_id=ONE,
                client="Alice",
                source_ip="203.0.113.7",
                request_id="Request-1",
            ),
            AuditEvent(kind=Kind.STORED, message_id=TWIN, client="bob"),
            AuditEvent(
                kind=Kind.STORED,
                message_id=OTHER,
                client="beef",
                occurred_at="2026-11-26T23:59:59Z",
            ),
            AuditEvent(kind=Kind.STORED, message_id=uuid.UUID(int=1 << 127), object_key=BATCH),
            AuditEvent(kind=Kind.STORED, message_id=uuid.UUID(int=3 << 126), object_key=BATCH),
            AuditEvent(
                kind=Kind.READ, message_id=uuid.UUID(int=3 << 126), object_key=BATCH, actor="eve"
            ),
            AuditEvent(kind=Kind.FAILED, reason="undecodable", sqs_message_id="ab-12"),
            AuditEvent(kind=Kind.FAILED, reason="aws_AccessDenied"),
            AuditEvent(kind=Kind.REFUSED, reason="malformed_json", request_id="request-2"),
            AuditEvent(kind=Kind.REFUSED, reason="token_unknown", source_ip="2001:db8::1"),
            AuditEvent(kind=Kind.READ, message_id=ONE, actor="operator", client="Alice"),
        ]
    )


def kinds(term):
    return sorted(event.kind for event in search.found(AuditEvent.objects.all(), term))


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (str(ONE), ["accepted", "read"]),
        (str(ONE).upper(), ["accepted", "read"]),
        (ONE.hex, ["accepted", "read"]),
        (f" {ONE} ", ["accepted", "read"]),
        ("6b1f", ["accepted", "read", "stored"]),
        ("6B1F1D5E-46d5", ["accepted", "read", "stored"]),
        ("6b1f1d5e46d54c7c9e5e0d3f8f4f7c12", ["stored"]),
        ("6b1", []),
        (f"messages/2026/11/26/{ONE}.json", ["accepted", "read"]),
        (f"any/prefix/order/2026/11/26/{ONE}.json", ["accepted", "read"]),
        (f"s3://a-bucket/messages/2026/11/26/{ONE}.json", ["accepted", "read"]),
        (BATCH, ["read", "stored", "stored"]),
        (f"s3://a-bucket/{BATCH}", ["read", "stored", "stored"]),
        (BATCH.replace("11/26", "11/27"), []),
        ("Alice", ["accepted", "read"]),
        ("aLICE", ["accepted", "read"]),
        ("beef", ["stored"]),  # a client's name, though it could begin an id
        ("203.0.113.7", ["accepted"]),
        ("::ffff:203.0.113.7", ["accepted"]),
        ("2001:DB8:0::1", ["refused"]),
        ("[2001:db8::1]:443", ["refused"]),
        ("Request-1", ["accepted"]),
        ("Token_Unknown", ["refused"]),
        ("AWS_accessdenied", ["failed"]),
        ("REQUEST-2", ["refused"]),
        (BATCH.upper(), ["read", "stored", "stored"]),
        (f"S3://a-bucket/messages/2026/11/26/{ONE}.JSON".upper(), ["accepted", "read"]),
        ("OPERATOR", ["read"]),
        ("AB-12", ["failed"]),
        ("nothing of the kind", []),
        ("%", []),
        ("ali\0ce", []),
        ("ali\ud800ce", []),
    ],
)
def test_a_term_finds(term, expected):
    assert kinds(term) == expected


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (str(ONE), ONE),
        (str(ONE)[:-1], None),
        ("0000", OTHER),
        (f"messages/2026/11/26/{TWIN}.json", TWIN),
        (BATCH, None),
        ("Alice", None),
        ("beef", None),
        ("", None),
    ],
)
def test_the_beginning_of_one_id_opens_its_page(admin_client, term, message):
    answer = admin_client.get(LIST, {"q": term})
    if message is None:
        assert answer.status_code == 200
    else:
        assert answer.headers["Location"] == f"{LIST}message/{message}/"


def test_a_row_links_to_what_it_names(admin_client):
    page = admin_client.get(LIST).content.decode()
    assert f'href="{LIST}clients/Alice/"' in page
    assert f'href="{LIST}?q=203.0.113.7"' in page
    assert f'href="{LIST}?actor=operator">operator</a>' in page
    assert f'href="{LIST}?reason=token_unknown"' in page
    assert f'href="{LIST}message/{ONE}/"' in page
    assert 'title="2026-11-26 23:59:59.000 UTC"' in page


def test_a_link_of_an_address_and_of_a_reason_finds_its_events(admin_client):
    for query, number in (("q=2001%3Adb8%3A%3A1", 1), ("reason=token_unknown", 1)):
        page = admin_client.get(f"{LIST}?{query}").content.decode()
        assert page.count("audit-badge audit-refused") == number
        assert "audit-badge audit-stored" not in page


def test_an_actor_is_no_client_of_the_same_name(admin_client):
    AuditEvent.objects.create(kind=Kind.STORED, client="operator")
    page = admin_client.get(f"{LIST}?actor=operator").content.decode()
    assert "audit-badge audit-read" in page
    assert "audit-badge audit-stored" not in page


def test_an_event_says_which_field_and_which_request(admin_client):
    event = AuditEvent.objects.create(
        kind=Kind.REFUSED,
        client="Alice",
        reason="contract_required",
        fields_at_fault="data.field4",
        request_id="r-7",
        occurred_at=timezone.now() - timedelta(seconds=1),
    )
    page = admin_client.get(f"{LIST}{event.pk}/change/").content.decode()
    assert "data.field4" in page
    assert "r-7" in page
    assert "data.field4" in admin_client.get(LIST).content.decode()
