"""The admin's dead-letter queue page, against a real SQS API."""

import pytest
from django.contrib.auth.models import Permission, User

from cpsite.audit.models import AuditEvent, Kind
from cpsite.dead_letters.queue import DeadLetterQueue
from cpsite.queue.client import SendUnconfirmed
from tests import factories

pytestmark = pytest.mark.django_db
PAGE = "/admin/uploader/deadletterentry/"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Do not wait for letters that may still arrive."""
    monkeypatch.setattr("cpsite.dead_letters.queue.WAIT_SECONDS", 0)


@pytest.fixture
def letter(queue):
    """A message of alice's, refused by S3, and a foreign one."""
    message = factories.message()
    queue.client.send_message(
        QueueUrl=queue.dlq_url, MessageBody=factories.kombu_envelope(message.encode())
    )
    queue.client.send_message(QueueUrl=queue.dlq_url, MessageBody="private words")
    AuditEvent(kind=Kind.FAILED, message_id=message.message_id, reason="aws_AccessDenied").save()
    return message


def _login(client, *permissions):
    user = User.objects.create_user("operator", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


@pytest.fixture
def viewer(client):
    return _login(client, "view_deadletterentry")


@pytest.fixture
def operator(client):
    return _login(client, "view_deadletterentry", "redrive_deadletterentry")


def _ids(answer):
    return [letter.sqs_message_id for letter in answer.context["letters"]]


def test_letters_are_shown_without_content_and_stay(viewer, queue, letter):
    for _ in range(2):  # the page hides letters only while it reads them
        answer = viewer.get(PAGE)
        text = answer.content.decode()
        assert len(_ids(answer)) == 2
        for shown in (str(letter.message_id), "alice", "aws_AccessDenied", "undecodable"):
            assert shown in text
        assert "private" not in text
        assert "trois" not in text
    assert queue.count(dead=True) == {"visible": 2, "in_flight": 0}


def test_ticked_ones_are_sent_back_and_audited(operator, queue, letter, audit, caplog):
    caplog.set_level("INFO")
    answer = operator.get(PAGE)
    (ours,) = [each for each in answer.context["letters"] if each.message_id]
    answer = operator.post(PAGE, {"letter": [ours.sqs_message_id]}, follow=True)
    assert "1 sent back to the queue" in answer.content.decode()
    assert queue.count() == {"visible": 1, "in_flight": 0}
    assert queue.count(dead=True) == {"visible": 1, "in_flight": 0}
    (event,) = [event for event in audit() if event.kind == Kind.REDRIVEN]
    assert (event.message_id, event.reason) == (letter.message_id, "aws_AccessDenied")
    (line,) = [each for each in caplog.records if each.getMessage() == "redrive_requested"]
    assert (line.user, line.letters) == ("operator", 1)


def test_one_that_is_gone_is_reported(operator, queue, letter):
    answer = operator.post(PAGE, {"letter": ["no-such-letter"]}, follow=True)
    assert "1 are not here any more" in answer.content.decode()
    assert queue.count() == {"visible": 0, "in_flight": 0}


def test_nothing_ticked_is_reported(operator, queue, letter):
    answer = operator.post(PAGE, follow=True)
    assert "No dead letter is ticked" in answer.content.decode()


def test_who_may_only_look_cannot_send_back(viewer, queue, letter):
    answer = viewer.get(PAGE)
    assert "Send the ticked" not in answer.content.decode()
    assert viewer.post(PAGE, {"letter": _ids(answer)}).status_code == 403
    assert queue.count() == {"visible": 0, "in_flight": 0}


def test_others_see_nothing(client, queue, letter):
    _login(client)
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE).status_code == 403


def test_an_empty_queue_says_so(operator, queue):
    assert "There are no dead letters" in operator.get(PAGE).content.decode()


def test_letters_in_flight_are_reported(operator, queue, letter):
    queue.client.receive_message(
        QueueUrl=queue.dlq_url, MaxNumberOfMessages=10, VisibilityTimeout=60
    )
    text = operator.get(PAGE).content.decode()
    assert "There are no visible dead letters" in text
    assert "About 2 are in flight" in text


def test_without_its_url_or_sqs_the_page_says_why(operator, queue, settings):
    settings.SQS_DLQ_URL = queue.dlq_url + "-gone"
    assert "SQS failed: aws_" in operator.get(PAGE).content.decode()
    answer = operator.post(PAGE, {"letter": ["x"]}, follow=True)
    assert "What was not sent stays here" in answer.content.decode()
    settings.SQS_DLQ_URL = ""
    assert "SQS_DLQ_URL is not set here" in operator.get(PAGE).content.decode()


def test_a_page_has_an_end(operator, queue, monkeypatch):
    monkeypatch.setattr("cpsite.dead_letters.admin.PAGE_LETTERS", 3)
    for number in range(15):
        queue.client.send_message(QueueUrl=queue.dlq_url, MessageBody=f"poison {number}")
    answer = operator.get(PAGE)
    assert len(_ids(answer)) == 3
    assert "3 shown of about 15" in " ".join(answer.content.decode().split())
    assert queue.count(dead=True) == {"visible": 15, "in_flight": 0}


def test_what_cannot_be_sent_stays_and_is_reported(operator, queue, letter, monkeypatch):
    monkeypatch.setattr(
        DeadLetterQueue,
        "_send",
        lambda self, letters: [SendUnconfirmed() for _ in letters],
    )
    answer = operator.post(PAGE, {"letter": _ids(operator.get(PAGE))}, follow=True)
    assert "2 could not be sent (SendUnconfirmed)" in answer.content.decode()
    assert queue.count(dead=True) == {"visible": 2, "in_flight": 0}
    assert queue.count() == {"visible": 0, "in_flight": 0}
