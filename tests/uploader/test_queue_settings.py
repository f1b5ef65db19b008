import json

import pytest
from botocore.exceptions import EndpointConnectionError
from django.core.management import CommandError

from uploader.queue_check import check_queue
from uploader.queue_settings import QueueAttributes
from uploader.receiver import Receiver
from uploader.storage import longest_write_seconds


@pytest.fixture
def receiver(queue):
    made = Receiver(concurrency=1)
    yield made
    made.close()


def test_a_good_queue_passes_without_a_log_line(receiver, caplog):
    check_queue(receiver)
    assert not caplog.records


def test_a_visibility_timeout_shorter_than_a_write_is_refused(receiver, queue, settings):
    queue.client.set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "11"})
    with pytest.raises(CommandError, match=r"timeout is 11 s.*may take 11 s.*S3_TIMEOUT_SECONDS"):
        check_queue(receiver)
    settings.S3_TIMEOUT_SECONDS = 4.0
    check_queue(receiver)


def test_a_queue_without_a_dead_letter_queue_is_logged(receiver, queue, caplog):
    queue.client.set_queue_attributes(QueueUrl=queue.url, Attributes={"RedrivePolicy": ""})
    check_queue(receiver)
    assert "queue_without_dead_letters" in caplog.text


def test_an_unavailable_sqs_does_not_stop_the_start(receiver, monkeypatch, caplog):
    def fail():
        raise EndpointConnectionError(endpoint_url="http://sqs")

    monkeypatch.setattr(receiver, "read_settings", fail)
    check_queue(receiver)
    assert "queue_not_checked" in caplog.text


def test_a_truncated_answer_does_not_stop_the_start(receiver, monkeypatch, caplog):
    """botocore takes a 200 without a body for success."""
    monkeypatch.setattr(receiver._client._client, "get_queue_attributes", lambda **_: {})
    check_queue(receiver)
    (line,) = [each for each in caplog.records if each.getMessage() == "queue_not_checked"]
    assert line.error == "aws_NoAttributes"


def test_attributes_are_read():
    policy = json.dumps({"deadLetterTargetArn": "arn", "maxReceiveCount": "5"})
    attributes = {"VisibilityTimeout": "120", "RedrivePolicy": policy}
    assert QueueAttributes.read(attributes) == QueueAttributes(120, 5)
    assert QueueAttributes.read({"VisibilityTimeout": "30"}) == QueueAttributes(30, None)


def test_a_write_takes_two_attempts_and_a_pause(settings):
    settings.S3_TIMEOUT_SECONDS = 5.0
    assert longest_write_seconds() == 11
