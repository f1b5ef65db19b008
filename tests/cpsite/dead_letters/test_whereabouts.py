"""What is said of a message that is neither stored nor discarded: `dead` of a dead letter."""

import json
import uuid
from io import StringIO

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.core.management import call_command

from cpsite.audit.admin import queues
from cpsite.audit.history import read_history
from cpsite.audit.models import AuditEvent, Kind
from cpsite.dead_letters import whereabouts
from tests import factories

pytestmark = pytest.mark.django_db
MESSAGE = factories.message()
ID = MESSAGE.message_id
UNKNOWN = "whether it is a dead letter is unknown"
ADMIN = "/admin/audit/auditevent/"


@pytest.fixture(autouse=True)
def _no_client_of_another_test():
    queues._sampler.cache_clear()
    cache.clear()


def happened(*kinds):
    for kind in kinds:
        AuditEvent.objects.create(
            kind=kind, message_id=ID, client="alice", accepted_at=MESSAGE.accepted_at
        )


@pytest.fixture
def bury(queue):
    def bury(message=MESSAGE):
        body = factories.kombu_envelope(message.encode())
        queue.client.send_message(QueueUrl=queue.dlq_url, MessageBody=body)

    return bury


def trace(*options):
    out = StringIO()
    call_command("trace", str(ID), *options, stdout=out)
    return out.getvalue()


def status():
    return json.loads(trace("--json"))["status"]


@pytest.mark.parametrize(
    "kinds", [[Kind.ACCEPTED], [Kind.ACCEPTED, Kind.FAILED, Kind.REDRIVEN], [Kind.REFUSED]]
)
def test_a_dead_letter_whose_failure_was_lost_is_found(bury, queue, kinds):
    happened(*kinds)
    for _ in range(12):
        bury(factories.message(message_id=uuid.uuid4()))
    bury()
    first = trace().splitlines()[0]
    assert first == f"{ID}  dead: it is among the dead letters; its failed event was lost"
    assert status() == "dead"
    assert queue.count(dead=True) == {"visible": 13, "in_flight": 0}


def test_queued_is_what_is_not_there(bury):
    happened(Kind.ACCEPTED)
    bury(factories.message(message_id=uuid.uuid4()))
    assert trace().splitlines()[0] == f"{ID}  queued"
    assert status() == "queued"


def test_what_sqs_has_not_confirmed_need_not_be_queued(queue):
    happened(Kind.REFUSED)
    assert "refused: SQS has not confirmed it, and may have it" in trace()


def test_without_an_answer_it_is_what_happened_last(bury, queue, settings, monkeypatch):
    happened(Kind.ACCEPTED)
    for _ in range(2):
        bury(factories.message(message_id=uuid.uuid4()))
    monkeypatch.setattr(whereabouts, "MOST_LOOKED_AT", 1)
    assert f"accepted; {UNKNOWN}: only 2 were looked at" in trace()
    monkeypatch.undo()
    queue.client.receive_message(QueueUrl=queue.dlq_url, VisibilityTimeout=60)
    assert f"accepted; {UNKNOWN}: about 1 are in flight elsewhere" in trace()
    settings.SQS_DLQ_URL = queue.dlq_url + "-gone"
    assert f"accepted; {UNKNOWN}: SQS failed: aws_" in trace()
    settings.SQS_DLQ_URL = ""
    assert f"accepted; {UNKNOWN}: SQS_DLQ_URL is not set here." in trace()
    assert status() == "accepted"


def failed(**about):
    happened(Kind.ACCEPTED)
    AuditEvent.objects.create(
        kind=Kind.FAILED, message_id=ID, client="alice", reason="aws_SlowDown", **about
    )


@pytest.mark.parametrize(
    ("about", "what"), [({"attempts": 5}, "attempt 5"), ({}, "its last attempt")]
)
def test_a_dead_letter_that_has_failed_is_dead(bury, about, what):
    failed(**about)
    bury()
    lines = trace().splitlines()
    assert lines[0] == f"{ID}  dead: it is among the dead letters; {what} failed: aws_SlowDown"
    assert lines[-1].split()[2:4] == ["failed", "aws_SlowDown"]
    document = json.loads(trace("--json"))
    assert document["status"] == "dead"
    assert document["note"] == f"it is among the dead letters; {what} failed: aws_SlowDown"


def test_what_has_failed_and_is_no_dead_letter_is_retried(bury):
    failed()
    bury(factories.message(message_id=uuid.uuid4()))
    note = "it is not among the dead letters, and is retried while SQS has it"
    assert trace().splitlines()[0] == f"{ID}  failed: {note}"
    assert status() == "failed"


def test_without_an_answer_what_has_failed_may_be_dead(queue, settings):
    failed()
    settings.SQS_DLQ_URL = queue.dlq_url + "-gone"
    assert f"{ID}  failed; {UNKNOWN}: SQS failed: aws_" in trace()
    document = json.loads(trace("--json"))
    assert document["status"] == "failed"
    assert document["note"].startswith(f"{UNKNOWN}: SQS failed: aws_")


def test_a_dead_letter_is_found_where_the_log_has_failures_alone(bury, queue, settings):
    settings.AUDIT_EVENTS = "failures"
    failed()
    assert status() == "unknown"
    bury()
    assert status() == "dead"


@pytest.mark.parametrize(
    ("kinds", "shown"),
    [
        ([Kind.STORED], "stored"),
        ([Kind.STORED, Kind.FAILED], "stored"),
        ([Kind.FAILED, Kind.DISCARDED], "failed"),
    ],
)
def test_where_an_event_says_that_it_is_over_nobody_looks(bury, monkeypatch, kinds, shown):
    happened(Kind.ACCEPTED, *kinds)
    bury()
    monkeypatch.setattr(whereabouts, "look", lambda **_: pytest.fail("it has looked"))
    assert whereabouts.find_place(read_history(ID)) == (shown, "")
    assert json.loads(trace("--json"))["note"] is None


# --- The admin -------------------------------------------------------------------------------


def page(client, path=""):
    return " ".join(client.get(ADMIN + (path or f"message/{ID}/")).content.decode().split())


@pytest.mark.parametrize("kind", [Kind.ACCEPTED, Kind.REDRIVEN])
def test_pages_say_what_happened_last_and_how_many_dead_letters_there_are(
    admin_client, bury, queue, kind
):
    happened(Kind.ACCEPTED, kind)
    bury()
    text = page(admin_client)
    status = text[text.index("audit-status") :].partition("</p>")[0]
    assert f"</span> {kind}</span>" in status
    assert "it is among the 1 <a" in status
    assert "queued" not in status
    assert "queued" not in page(admin_client, "waiting/")


def test_a_page_says_that_there_are_no_dead_letters(admin_client, queue):
    happened(Kind.ACCEPTED)
    assert "It waits in the queue: SQS counts no <a" in page(admin_client)


def test_a_page_without_sqs_gives_no_number(admin_client, queue, settings):
    happened(Kind.REFUSED)
    settings.SQS_DLQ_URL = queue.dlq_url + "-gone"
    text = page(admin_client)
    assert "SQS has not confirmed it, and may have it" in text
    assert "or it is among the <a" in text


def test_no_dead_letter_is_linked_for_who_may_not_see_them(client, bury):
    happened(Kind.ACCEPTED)
    bury()
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_auditevent"))
    client.force_login(user)
    assert "it is among the 1 dead letters." in page(client)
