"""Who reads messages, or the audit log as a whole, leaves a trace in it."""

import getpass
import socket
import uuid
from hashlib import sha256
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.urls import reverse

from cpsite.audit import access
from cpsite.audit.history import Status, read_history
from cpsite.audit.models import AuditEvent, Kind
from tests import factories

pytestmark = pytest.mark.django_db
LIST = "/admin/audit/auditevent/"
KEY = "messages/2026/11/23/a.json"
SHELL = f"shell:{getpass.getuser()}@{socket.gethostname()}"


@pytest.fixture
def message():
    message = factories.message()
    about = {"message_id": message.message_id, "client": "alice"}
    AuditEvent.objects.create(kind=Kind.ACCEPTED, **about)
    AuditEvent.objects.create(
        kind=Kind.STORED,
        object_key=KEY,
        payload_sha256=sha256(message.encode().encode()).hexdigest(),
        **about,
    )
    return message


@pytest.fixture
def dead(queue, monkeypatch):
    monkeypatch.setattr("cpsite.dead_letters.queue.WAIT_SECONDS", 0)
    message = factories.message(message_id=uuid.uuid4())
    for body in (factories.kombu_envelope(message.encode()), "private words"):
        queue.client.send_message(QueueUrl=queue.dlq_url, MessageBody=body)
    AuditEvent.objects.create(kind=Kind.FAILED, message_id=message.message_id, reason="aws_X")
    return message


@pytest.fixture
def reads(audit):
    def events():
        found = [event for event in audit() if event.kind == Kind.READ]
        return [(each.actor, each.source_ip, each.reason, each.row_count) for each in found]

    return events


def stored(message):
    return AuditEvent.objects.get(kind=Kind.STORED, message_id=message.message_id)


def export(client, answer_of="export_csv", **extra):
    return client.post(
        LIST,
        {
            "action": answer_of,
            "select_across": "1",
            "_selected_action": [AuditEvent.objects.first().pk],
        },
        **extra,
    )


def test_opening_an_object(admin_client, message, bucket, reads, audit, caplog):
    caplog.set_level("INFO")
    url = reverse("admin:audit_auditevent_object", args=[stored(message).pk])
    answer = admin_client.get(url, REMOTE_ADDR="192.0.2.44")
    assert answer.status_code == 302
    assert reads() == [("admin", "192.0.2.44", "object_opened", None)]
    event = audit()[-1]
    assert (event.message_id, event.client, event.object_key) == (message.message_id, "alice", KEY)
    (line,) = [each for each in caplog.records if each.getMessage() == "object_opened"]
    assert (line.user, line.source_ip) == ("admin", "192.0.2.44")
    assert "X-Amz-Signature" not in caplog.text


def test_what_is_not_shown_leaves_none(client, message, bucket, reads):
    """Neither a list nor a page of a message shows content, and who may not look sees nothing."""
    url = reverse("admin:audit_auditevent_object", args=[stored(message).pk])
    assert client.get(url).status_code == 302
    client.force_login(User.objects.create_user("nosy", is_staff=True))
    assert client.get(url).status_code == 404
    assert export(client).status_code == 403
    client.force_login(User.objects.create_superuser("root"))
    for path in ("", "waiting/", f"message/{message.message_id}/"):
        assert client.get(LIST + path).status_code == 200
    call_command("trace", str(message.message_id), stdout=StringIO())
    assert reads() == []


def test_exporting_the_log(admin_client, message, reads):
    AuditEvent.objects.bulk_create([AuditEvent(kind=Kind.ACCEPTED) for _ in range(120)])
    answer = export(admin_client, REMOTE_ADDR="192.0.2.45")
    assert reads() == []
    lines = b"".join(answer.streaming_content).decode().splitlines()
    assert len(lines) == 1 + 122
    assert reads() == [("admin", "192.0.2.45", "events_exported", 122)]


def test_an_export_that_breaks_off_leaves_the_number_of_rows_that_left(
    admin_client, message, reads
):
    answer = export(admin_client)
    content = iter(answer.streaming_content)
    assert next(content).startswith(b"occurred_at")
    assert next(content)
    # What closing the answer does, without the signal that closes the test's connection.
    for close in answer._resource_closers:
        close()
    assert reads() == [("admin", "127.0.0.1", "events_exported", 1)]


def test_showing_the_body_of_a_dead_letter(dead, reads, audit):
    call_command("dlq", "list", stdout=StringIO())
    call_command("dlq", "show", str(dead.message_id), stdout=StringIO())
    assert reads() == []
    call_command("dlq", "show", str(dead.message_id), "--body", stdout=StringIO())
    assert reads() == [(SHELL, None, "body_shown", None)]
    assert audit()[-1].message_id == dead.message_id


def test_showing_the_body_of_a_foreign_one_names_it_by_sqs_s_id(admin_client, dead, audit):
    """Its event is found where its letter is."""
    letters = admin_client.get("/admin/uploader/deadletterentry/").context["letters"]
    (foreign,) = [each.sqs_message_id for each in letters if not each.message]
    page = f"/admin/uploader/deadletterentry/letter/{foreign}/"
    admin_client.post(page)
    call_command("dlq", "show", foreign, "--body", stdout=StringIO())
    events = [event for event in audit() if event.kind == Kind.READ]
    assert [(each.message_id, each.sqs_message_id) for each in events] == [(None, foreign)] * 2
    text = admin_client.get(page).content.decode()
    for event in events:
        assert f"auditevent/{event.pk}/change/" in text
    call_command("dlq", "show", str(dead.message_id), "--body", stdout=StringIO())
    assert audit()[-1].sqs_message_id is None  # a message of ours has its own


def test_verifying_an_object(message, bucket, reads):
    bucket.client.put_object(Bucket=bucket.name, Key=KEY, Body=message.encode().encode())
    shown = StringIO()
    call_command("trace", str(message.message_id), "--verify", stdout=shown)
    assert reads() == [(SHELL, None, "object_verified", None)]
    shown = StringIO()
    call_command("trace", str(message.message_id), stdout=shown)
    assert SHELL in shown.getvalue()


@pytest.mark.parametrize("by", ["admin", "shell"])
def test_who_has_redriven_is_known(admin_client, dead, queue, audit, by):
    if by == "admin":
        letters = admin_client.get("/admin/uploader/deadletterentry/").context["letters"]
        ids = [each.sqs_message_id for each in letters]
        admin_client.post(
            "/admin/uploader/deadletterentry/", {"letter": ids}, REMOTE_ADDR="192.0.2.46"
        )
        expected = ("admin", "192.0.2.46")
    else:
        call_command("dlq", "redrive", "--all", "--undecodable", stdout=StringIO())
        expected = (SHELL, None)
    redriven = [event for event in audit() if event.kind == Kind.REDRIVEN]
    assert [(event.actor, event.source_ip) for event in redriven] == [expected] * 2


def test_a_look_changes_no_status(message, dead):
    """A failed message that somebody has looked at has still failed."""
    for one in (message, dead):
        access.record_access(
            access.Access.BODY_SHOWN, actor="admin", message_id=one.message_id, client="alice"
        )
    access.recorder.write_pending()
    assert read_history(message.message_id).status == Status.STORED
    assert read_history(dead.message_id).status == Status.FAILED
    assert read_history(dead.message_id).last.reason == "aws_X"


def test_a_look_at_a_message_that_was_pruned_makes_it_not_known_again(message):
    AuditEvent.objects.filter(message_id=message.message_id)._raw_delete("default")
    AuditEvent.objects.create(kind=Kind.READ, message_id=message.message_id, actor="admin")
    assert read_history(message.message_id) is None


def test_who_has_read_is_shown_searched_and_exported(admin_client, message, bucket, audit):
    AuditEvent.objects.bulk_create([AuditEvent(kind=Kind.ACCEPTED, client="bob")] * 3)
    admin_client.get(reverse("admin:audit_auditevent_object", args=[stored(message).pk]))
    event = audit()[-1]
    assert "admin" in admin_client.get(f"{LIST}{event.pk}/change/").content.decode()
    assert ">admin<" in admin_client.get(f"{LIST}message/{message.message_id}/").content.decode()
    found = admin_client.get(f"{LIST}?q=admin").context["cl"].result_list
    assert [each.pk for each in found] == [event.pk]
    answer = export(admin_client)
    text = b"".join(answer.streaming_content).decode()
    assert "read," in text
    assert "object_opened" in text
    assert ",admin," in text


def test_the_reasons_of_refusals_and_failures_hold_no_looks(admin_client, message):
    AuditEvent.objects.create(kind=Kind.READ, reason=access.Access.OBJECT_OPENED, actor="admin")
    AuditEvent.objects.create(kind=Kind.REFUSED, reason="token_unknown")
    reasons = admin_client.get(LIST).context["overview"].reasons
    assert [reason for reason, _ in reasons] == ["token_unknown"]


def test_a_container_s_user_without_a_name_is_an_actor_too(monkeypatch):
    def fail():
        raise OSError("no name")

    monkeypatch.setattr(getpass, "getuser", fail)
    assert access.actor_of_shell() == f"shell:unnamed@{socket.gethostname()}"
