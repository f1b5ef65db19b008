"""The admin's page of one dead letter, and what Operators do there, against a real SQS API."""

import re
import uuid
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import OperationalError

from cpsite.audit.models import AuditEvent, Kind
from cpsite.dead_letters import letter_page
from cpsite.dead_letters.queue import DeadLetterQueue
from cpsite.queue.client import SendUnconfirmed
from tests import factories

pytestmark = pytest.mark.django_db
PAGE = "/admin/uploader/deadletterentry/"
ROLES = ("Viewers", "Operators")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Do not wait for letters that may still arrive."""
    monkeypatch.setattr("cpsite.dead_letters.queue.WAIT_SECONDS", 0)


@pytest.fixture
def bury(queue):
    def bury(body):
        return queue.client.send_message(QueueUrl=queue.dlq_url, MessageBody=body)["MessageId"]

    return bury


@pytest.fixture
def message(bury):
    """A message of alice's that S3 has refused five times."""
    message = factories.message(data=factories.fields(field1="private words"))
    bury(factories.kombu_envelope(message.encode()))
    about = {"message_id": message.message_id, "client": "alice"}
    AuditEvent.objects.create(kind=Kind.ACCEPTED, **about)
    moment = datetime(2026, 11, 25, 1, tzinfo=UTC)
    AuditEvent.objects.create(
        kind=Kind.FAILED, reason="aws_AccessDenied", attempts=5, occurred_at=moment, **about
    )
    return message


@pytest.fixture
def log_in(client):
    def log_in(role):
        user = User.objects.create_user(role, password="x", is_staff=True)
        user.groups.set(Group.objects.filter(name=role))
        client.force_login(user)
        return client

    return log_in


def text_of(answer):
    return " ".join(answer.content.decode().split())


def page_of(letter_id):
    return f"{PAGE}letter/{letter_id}/"


def in_the_queue():
    with DeadLetterQueue() as dead:
        return {letter.sqs_message_id for letters in dead.read() for letter in letters}


@pytest.mark.parametrize("role", ROLES)
def test_it_says_what_the_letter_is(log_in, message, audit, role):
    client = log_in(role)
    client.get(page_of(message.message_id))  # a look that is no attempt
    text = text_of(client.get(page_of(str(message.message_id).upper())))
    for shown in ("alice", "aws_AccessDenied", "2026-11-23 23:59:59", "2026-11-25 01:00:00"):
        assert shown in text
    assert re.search(r"Attempts</dt><dd>5 ", text)
    assert re.search(r"Sent to the queue \(UTC\)</dt><dd>[0-9: -]+, [0-9.]+ (s|min) ago", text)
    assert "SQS deletes it in 4.0 days" in text
    assert "private" not in text
    assert "queued" not in text
    assert [event.kind for event in audit()] == [Kind.ACCEPTED, Kind.FAILED]


def test_it_leads_to_the_message_and_its_events_and_back(log_in, message):
    client = log_in("Viewers")
    text = text_of(client.get(page_of(message.message_id)))
    of_message = f"/admin/audit/auditevent/message/{message.message_id}/"
    assert f'href="{of_message}"' in text
    for event in AuditEvent.objects.all():
        assert f'href="/admin/audit/auditevent/{event.pk}/change/"' in text
    assert f'href="{page_of(message.message_id)}"' in text_of(client.get(of_message))


def test_a_foreign_one_and_its_events_are_found_by_sqs_s_id(log_in, bury):
    client = log_in("Viewers")
    other = bury("other private words")
    sqs_message_id = bury("private words")
    failed = {"kind": Kind.FAILED, "reason": "undecodable", "attempts": 1}
    of_other = AuditEvent.objects.create(**failed, sqs_message_id=other)
    event = AuditEvent.objects.create(**failed, sqs_message_id=sqs_message_id)
    text = text_of(client.get(page_of(sqs_message_id)))
    assert sqs_message_id in text
    assert "It cannot be decoded (<code>" in text
    assert "private" not in text
    assert f"auditevent/{event.pk}/change/" in text
    assert f"auditevent/{of_other.pk}/change/" not in text
    back = text_of(client.get(f"/admin/audit/auditevent/{event.pk}/change/"))
    assert f'href="{page_of(sqs_message_id)}"' in back


def test_who_may_not_see_the_audit_log_has_no_link_there(client, message):
    user = User.objects.create_user("someone", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_deadletterentry"))
    client.force_login(user)
    text = text_of(client.get(page_of(message.message_id)))
    assert str(message.message_id) in text
    assert "/admin/audit/" not in text


def test_others_see_nothing(client, message):
    client.force_login(User.objects.create_user("someone", is_staff=True))
    assert client.get(page_of(message.message_id)).status_code == 403
    assert client.post(page_of(message.message_id)).status_code == 403


@pytest.mark.parametrize(
    "letter_id", ["no-such-id", "6b1f1d5e-0000-4000-8000-000000000002", "a%00b", "%20", "é"]
)
def test_one_that_is_not_there_is_a_page_that_says_so(log_in, message, letter_id):
    answer = log_in("Operators").get(page_of(letter_id))
    assert answer.status_code == 404
    assert "No dead letter with this id was found.</strong> 1 were looked at" in text_of(answer)


def test_a_look_has_an_end(log_in, bury, queue, monkeypatch):
    monkeypatch.setattr(letter_page, "MOST_LOOKED_AT", 10)
    for number in range(25):
        bury(f"letter {number}")
    text = text_of(log_in("Viewers").get(page_of("no-such-id")))
    assert "10 were looked at" in text
    assert queue.count(dead=True) == {"visible": 25, "in_flight": 0}


def test_one_in_flight_is_reported(log_in, message, queue):
    queue.client.receive_message(QueueUrl=queue.dlq_url, VisibilityTimeout=60)
    text = text_of(log_in("Viewers").get(page_of(message.message_id)))
    assert "about 1 are in flight" in text


def test_without_sqs_or_the_audit_log_it_says_so(log_in, message, settings, monkeypatch):
    def fail(_letter):
        raise OperationalError("with password private")

    client = log_in("Operators")
    monkeypatch.setattr(letter_page, "events_of", fail)
    text = text_of(client.get(page_of(message.message_id)))
    assert "The audit log cannot be read (OperationalError)" in text
    assert "private" not in text
    settings.SQS_DLQ_URL += "-gone"
    assert "SQS failed: aws_" in text_of(client.get(page_of(message.message_id)))


def test_while_sqs_fails_a_letter_is_not_said_to_be_gone(log_in, message, settings):
    settings.SQS_DLQ_URL += "-gone"
    answer = log_in("Viewers").get(page_of(message.message_id))
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    text = text_of(answer)
    assert "it is not known whether this letter is still here" in text
    assert "No dead letter" not in text
    assert "aws_AccessDenied" in text  # the audit log answers


# --- Links -----------------------------------------------------------------------------------

OF_ALICE = 'href="/admin/audit/auditevent/clients/alice/"'
OF_REASON = 'href="/admin/audit/auditevent/?reason=aws_AccessDenied"'


@pytest.fixture
def without_audit(client):
    user = User.objects.create_user("someone", is_staff=True)
    mine = ("view_deadletterentry", "discard_deadletterentry")
    user.user_permissions.set(Permission.objects.filter(codename__in=mine))
    client.force_login(user)
    return client


def pages_of(client, message):
    """The list, the page of a letter, and the one that confirms a discard."""
    (sqs_message_id,) = in_the_queue()
    return [
        text_of(client.get(PAGE)),
        text_of(client.get(page_of(message.message_id))),
        text_of(client.post(PAGE, {"action": "discard", "letter": [sqs_message_id]})),
    ]


def test_client_and_reason_are_links(log_in, message):
    for text in pages_of(log_in("Operators"), message):
        assert OF_ALICE in text
        assert OF_REASON in text


def test_they_are_texts_for_who_may_not_follow_them(without_audit, message):
    for text in pages_of(without_audit, message):
        assert "alice" in text
        assert "aws_AccessDenied" in text
        assert "/admin/audit/" not in text


def test_what_the_audit_log_does_not_have_is_no_link(log_in, bury):
    bury(factories.kombu_envelope(factories.message().encode()))
    bury("private words")
    text = text_of(log_in("Viewers").get(PAGE))
    assert '<td data-label="Reason">unknown</td>' in text
    assert '<td data-label="Client">-</td>' in text
    assert "reason=unknown" not in text
    assert 'href="/admin/audit/auditevent/?reason=undecodable"' in text


def test_the_timeline_leads_to_reasons_and_people(log_in, message):
    about = {"message_id": message.message_id, "reason": "aws_Earlier"}
    AuditEvent.objects.create(kind=Kind.REDRIVEN, actor="shell:ada@host", **about)
    text = text_of(log_in("Viewers").get(page_of(message.message_id)))
    assert 'href="/admin/audit/auditevent/?reason=aws_Earlier"' in text
    assert 'href="/admin/audit/auditevent/?actor=shell%3Aada%40host"' in text


def test_times_are_relative_and_exact_on_hover(log_in, message):
    text = text_of(log_in("Viewers").get(page_of(message.message_id)))
    failed = re.search(r"Last failed</dt><dd><time [^>]*title=\"([^\"]+)\">([^<]+)</time>", text)
    assert failed[1] == "2026-11-25 01:00:00.000 UTC"
    assert failed[2].endswith(" ago")
    end = re.search(r"SQS deletes it</dt><dd><time [^>]*title=\"([^\"]+)\">([^<]+)</time>", text)
    assert re.fullmatch(r"2[0-9-]{9} [0-9:.]{12} UTC", end[1])
    assert end[2] == "in 4.0 days"


def test_sqs_s_id_can_be_copied(log_in, bury):
    sqs_message_id = bury("private words")
    text = text_of(log_in("Viewers").get(page_of(sqs_message_id)))
    copied = re.search(r'class="audit-copy" data-copies="([^"]+)"', text)[1]
    assert f'id="{copied}"><span class="audit-id">{sqs_message_id}</span></span> <button' in text
    assert "/copy" in text  # its script


# --- What is gone ----------------------------------------------------------------------------


def test_a_discarded_letter_still_has_its_events(log_in, bury, audit):
    client = log_in("Operators")
    sqs_message_id = bury("private words")
    for attempt in (1, 2):
        AuditEvent.objects.create(
            kind=Kind.FAILED, reason="undecodable", attempts=attempt, sqs_message_id=sqs_message_id
        )
    text = text_of(client.get(page_of(sqs_message_id)))
    assert re.search("Attempts</dt><dd>2 ", text)
    assert "Last failed</dt><dd><time" in text
    form = {"action": "discard", "letter": [sqs_message_id], "because": "foreign"}
    client.post(PAGE, form)
    event = audit()[-1]
    assert (event.kind, event.attempts) == (Kind.DISCARDED, 2)
    in_list = f'href="/admin/audit/auditevent/?q={sqs_message_id}"'
    about = text_of(client.get(f"/admin/audit/auditevent/{event.pk}/change/"))
    assert f'href="{page_of(sqs_message_id)}"' in about
    assert in_list in about
    for letter_id in (sqs_message_id, sqs_message_id.upper()):
        gone = client.get(page_of(letter_id))
        text = text_of(gone)
        assert gone.status_code == 404
        assert "No dead letter with this id was found" not in text
        assert "the audit log knows it" in text
        assert in_list in text
        for each in audit():
            assert f"auditevent/{each.pk}/change/" in text
    listed = text_of(client.get(f"/admin/audit/auditevent/?q={sqs_message_id}"))
    for each in audit():
        assert f"auditevent/{each.pk}/change/" in listed


def test_a_message_that_is_no_dead_letter_has_its_events(log_in, message, queue):
    queue.client.purge_queue(QueueUrl=queue.dlq_url)
    answer = log_in("Viewers").get(page_of(message.message_id))
    assert answer.status_code == 404
    text = text_of(answer)
    assert "the audit log knows it" in text
    assert OF_REASON in text
    assert f'href="/admin/audit/auditevent/?message_id={message.message_id}"' in text


def test_events_are_only_for_who_may_see_them(without_audit, message, queue):
    queue.client.purge_queue(QueueUrl=queue.dlq_url)
    text = text_of(without_audit.get(page_of(message.message_id)))
    assert "No dead letter with this id was found" in text
    assert "aws_AccessDenied" not in text
    assert "/admin/audit/" not in text


# --- Content ---------------------------------------------------------------------------------


def test_operators_see_the_content_and_that_leaves_a_trace(log_in, message, audit, caplog):
    caplog.set_level("DEBUG")
    client = log_in("Operators")
    answer = client.post(page_of(message.message_id), REMOTE_ADDR="192.0.2.44")
    assert "private words" in text_of(answer)
    assert "no-store" in answer.headers["Cache-Control"]
    event = audit()[-1]
    assert (event.kind, event.reason, event.actor) == (Kind.READ, "body_shown", "Operators")
    assert (event.message_id, event.source_ip) == (message.message_id, "192.0.2.44")
    assert not any("private" in str(vars(record)) for record in caplog.records)


def test_viewers_do_not(log_in, message, audit):
    client = log_in("Viewers")
    assert "Show the content" not in text_of(client.get(page_of(message.message_id)))
    assert client.post(page_of(message.message_id)).status_code == 403
    assert Kind.READ not in [event.kind for event in audit()]


def test_content_is_a_text_and_bounded(log_in, bury):
    sqs_message_id = bury("<script>\u202e\u0085" + "x" * 10_000 + "last words")
    text = text_of(log_in("Operators").post(page_of(sqs_message_id)))
    assert "&lt;script&gt;\\u202e\\x85xxx" in text
    assert "<script>\u202e" not in text
    assert "last words" not in text
    assert "The first 4096 of 10023 bytes" in text


# --- Discard ---------------------------------------------------------------------------------


def test_a_discard_is_confirmed_and_audited(log_in, message, bury, audit, caplog):
    caplog.set_level("INFO")
    client = log_in("Operators")
    foreign = bury("private words")
    ask = {"action": "discard", "letter": [foreign]}
    text = text_of(client.post(PAGE, ask))
    assert "1 dead letter will be deleted for good" in text
    assert foreign in text
    assert str(message.message_id) not in text
    assert "private" not in text
    assert len(in_the_queue()) == 2
    answer = client.post(PAGE, ask | {"because": "foreign"}, follow=True, REMOTE_ADDR="192.0.2.9")
    assert "1 discarded, because something else has sent it to the queue" in text_of(answer)
    assert foreign not in in_the_queue()
    assert len(in_the_queue()) == 1
    event = audit()[-1]
    assert (event.kind, event.reason, event.message_id) == (Kind.DISCARDED, "foreign", None)
    assert (event.actor, event.source_ip) == ("Operators", "192.0.2.9")
    (line,) = [each for each in caplog.records if each.getMessage() == "discard_requested"]
    assert (line.user, line.letters) == ("Operators", 1)


@pytest.mark.parametrize("because", ["", "nonsense", "private words"])
def test_without_a_reason_it_asks_again(log_in, message, audit, because):
    client = log_in("Operators")
    (sqs_message_id,) = in_the_queue()
    form = {"action": "discard", "letter": [sqs_message_id], "because": because}
    assert "Choose why." in text_of(client.post(PAGE, form))
    assert in_the_queue() == {sqs_message_id}
    assert [event.kind for event in audit()] == [Kind.ACCEPTED, Kind.FAILED]


def test_viewers_cannot_discard(log_in, message):
    client = log_in("Viewers")
    (sqs_message_id,) = in_the_queue()
    for page in (PAGE, page_of(sqs_message_id)):
        assert "Discard" not in text_of(client.get(page))
    form = {"action": "discard", "letter": [sqs_message_id], "because": "test"}
    assert client.post(PAGE, form).status_code == 403
    assert in_the_queue() == {sqs_message_id}


@pytest.mark.parametrize("action", ["burn", "", "a\0b"])
def test_there_is_no_other_action_not_even_for_a_superuser(admin_client, message, action):
    (sqs_message_id,) = in_the_queue()
    form = {"action": action, "letter": [sqs_message_id], "because": "test"}
    assert admin_client.post(PAGE, form).status_code == 403
    assert in_the_queue() == {sqs_message_id}


@pytest.mark.parametrize("action", ["discard", "redrive"])
def test_it_is_this_letter_and_no_other(log_in, bury, queue, action):
    """A forged message may carry SQS's id of another one as its own."""
    target = bury("hello")
    forged = factories.message(message_id=uuid.UUID(target))
    forged_id = bury(factories.kombu_envelope(forged.encode()))
    form = {"action": action, "letter": [target], "because": "foreign"}
    log_in("Operators").post(PAGE, form)
    assert in_the_queue() == {forged_id}
    assert queue.bodies() == (["hello"] if action == "redrive" else [])


def test_what_is_gone_is_reported(log_in, message):
    client = log_in("Operators")
    form = {"action": "discard", "letter": ["no-such-letter"]}
    assert "None of them is here any more" in text_of(client.post(PAGE, form))
    (sqs_message_id,) = in_the_queue()
    both = {"action": "discard", "letter": [sqs_message_id, "no-such-letter"]}
    assert "1 more is not here any more" in text_of(client.post(PAGE, both))
    answer = client.post(PAGE, both | {"because": "test"}, follow=True)
    assert "1 discarded" in text_of(answer)
    assert "1 are not here any more" in text_of(answer)


def test_what_cannot_be_deleted_stays_and_is_reported(log_in, message, audit, monkeypatch):
    monkeypatch.setattr(
        DeadLetterQueue, "delete", lambda self, letters: [SendUnconfirmed() for _ in letters]
    )
    (sqs_message_id,) = in_the_queue()
    form = {"action": "discard", "letter": [sqs_message_id], "because": "test"}
    answer = log_in("Operators").post(PAGE, form, follow=True)
    assert "1 could not be deleted (SendUnconfirmed)" in text_of(answer)
    assert in_the_queue() == {sqs_message_id}
    assert Kind.DISCARDED not in [event.kind for event in audit()]


def test_without_sqs_a_discard_says_so(log_in, settings, queue):
    settings.SQS_DLQ_URL = queue.dlq_url + "-gone"
    client = log_in("Operators")
    form = {"action": "discard", "letter": ["x"]}
    assert "SQS failed: aws_" in text_of(client.post(PAGE, form))
    answer = client.post(PAGE, form | {"because": "test"}, follow=True)
    assert "What was not deleted stays here" in text_of(answer)
