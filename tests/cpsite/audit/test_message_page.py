"""The page of one message: its status and all of its events."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from cpsite.audit.history import Status, read_history
from cpsite.audit.models import AuditEvent, Kind

pytestmark = pytest.mark.django_db
MESSAGE_ID = uuid.UUID("6b1f1d5e-0000-4000-8000-000000000001")
PAGE = f"/admin/audit/auditevent/message/{MESSAGE_ID}/"
MOMENT = datetime(2026, 11, 23, 23, 59, 59, 123_456, tzinfo=UTC)
KEY = f"messages/2026/11/23/{MESSAGE_ID}.json"
DEAD_LETTERS = "/admin/uploader/deadletterentry/"


def event(kind, seconds=0.0, **about):
    return AuditEvent.objects.create(
        kind=kind,
        message_id=MESSAGE_ID,
        client="alice",
        accepted_at=MOMENT,
        occurred_at=MOMENT + timedelta(seconds=seconds),
        **about,
    )


def text(client):
    return " ".join(client.get(PAGE).content.decode().split())


def test_it_tells_the_whole_way_in_order(admin_client, bucket):
    stored = event(Kind.STORED, 31.5, attempts=2, object_key=KEY, payload_sha256="ab" * 32)
    event(Kind.ACCEPTED, source_ip="192.0.2.7", duration_ms=7)
    event(Kind.FAILED, 1, reason="aws_SlowDown", attempts=1)
    page = text(admin_client)
    rows = page[page.index("<tbody>") : page.index("</tbody>")]
    parts = ["192.0.2.7", "+1.0 s", "aws_SlowDown", "2026-11-24 00:00:30.623", "+31.5 s"]
    assert sorted(parts, key=rows.index) == parts
    assert "It is in S3, 31.5 s after it was accepted." in page
    assert "7 ms" in rows
    assert "ab" * 32 in page
    link = reverse("admin:audit_auditevent_object", args=[stored.pk])
    assert f'href="{link}">{KEY}</a>' in page
    assert f"?message_id={MESSAGE_ID}" in page


def test_a_batch_leads_to_all_of_its_messages(admin_client, bucket):
    key = "messages/2026/11/23/6f1d0c7a2b3e4f5a6b7c8d9e0f1a2b3c.ndjson.gz"
    event(Kind.STORED, object_key=key)
    other = AuditEvent.objects.create(kind=Kind.STORED, message_id=uuid.uuid4(), object_key=key)
    link = re.search(r'href="([^"]+)">All messages of this batch</a>', text(admin_client))
    found = admin_client.get(unescape(link[1])).content.decode()
    assert str(MESSAGE_ID) in found
    assert str(other.message_id) in found
    assert found.count("audit-badge audit-stored") == 2


def test_an_object_of_its_own_is_no_batch(admin_client, bucket):
    event(Kind.STORED, object_key=KEY)
    assert "of this batch" not in text(admin_client)


def test_what_failed_leads_to_the_dead_letters(admin_client):
    event(Kind.ACCEPTED)
    event(Kind.FAILED, 1, reason="aws_AccessDenied", attempts=1)
    page = text(admin_client)
    assert "attempt to store it failed: <code>aws_AccessDenied</code>" in page
    assert f'href="{DEAD_LETTERS}letter/{MESSAGE_ID}/">dead letters</a>' in page


def test_what_was_discarded_is_not_said_to_be_queued(admin_client):
    event(Kind.ACCEPTED)
    event(Kind.FAILED, 1, reason="aws_AccessDenied", attempts=1)
    event(Kind.DISCARDED, 2, reason="test", actor="olga")
    page = text(admin_client)
    assert "olga has discarded it from the dead-letter queue: <code>test</code>" in page
    assert "queued" not in page
    assert "will be retried" not in page
    history = read_history(MESSAGE_ID)
    assert history.status == Status.FAILED
    event(Kind.STORED, 3, object_key=KEY)  # another copy of it was stored after all
    assert "It is in S3" in text(admin_client)


def test_who_may_not_see_dead_letters_has_no_link_there(client):
    event(Kind.FAILED, reason="aws_AccessDenied")
    user = User.objects.create_user("viewer", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_auditevent"))
    client.force_login(user)
    page = text(client)
    assert "among the dead letters" in page
    assert DEAD_LETTERS not in page


def test_what_waits_says_for_how_long_and_what_is_not_known(admin_client):
    AuditEvent.objects.create(
        kind=Kind.ACCEPTED,
        message_id=MESSAGE_ID,
        accepted_at=datetime.now(UTC) - timedelta(hours=3),
    )
    page = text(admin_client)
    assert "SQS has it, for 3.0 h; no event says that it is stored" in page
    assert "events of a killed process are lost" in page
    assert f'href="{DEAD_LETTERS}letter/{MESSAGE_ID}/">dead letters</a>' in page


def test_one_whose_accepted_event_was_lost_is_shown_all_the_same(admin_client):
    event(Kind.STORED, 2, object_key=KEY)
    page = text(admin_client)
    assert "It is in S3, 2.0 s after it was accepted." in page
    assert "2026-11-23 23:59:59.123" in page


def test_an_unknown_message_is_a_page_that_says_so(admin_client):
    answer = admin_client.get(PAGE)
    assert answer.status_code == 404
    assert "The audit log knows no such message" in answer.content.decode()


def test_it_has_no_answer_to_a_post(admin_client):
    event(Kind.ACCEPTED)
    admin_client.post(PAGE, {"client": "mallory"})
    assert AuditEvent.objects.get().client == "alice"
