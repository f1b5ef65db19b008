import math
import time

import pytest

from cpsite.observability.queue_depth import QueueDepthSampler, queue_messages
from tests.waiting import wait_for


def _depth(queue, state):
    return queue_messages.labels(queue, state)._value.get()


@pytest.fixture
def sampler(queue):
    return QueueDepthSampler({"messages": queue.url, "dead_letters": queue.dlq_url})


def test_it_reports_both_queues(queue, sampler):
    for _ in range(3):
        queue.send("x")
    queue.client.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=1)
    queue.client.send_message(QueueUrl=queue.dlq_url, MessageBody="x")
    sampler.sample()
    assert _depth("messages", "visible") == 2
    assert _depth("messages", "in_flight") == 1
    assert _depth("messages", "delayed") == 0
    assert _depth("dead_letters", "visible") == 1


def test_a_queue_that_does_not_answer_has_no_value(queue, sampler, caplog):
    queue.send("x")
    sampler.sample()
    queue.client.delete_queue(QueueUrl=queue.url)
    sampler.sample()
    assert math.isnan(_depth("messages", "visible"))
    assert _depth("dead_letters", "visible") == 0
    (line,) = [line for line in caplog.records if line.getMessage() == "queue_depth_unknown"]
    assert line.queue == "messages"
    assert line.error == "aws_AWS.SimpleQueueService.NonExistentQueue"


def test_a_truncated_answer_has_no_value(sampler, monkeypatch):
    """botocore takes a 200 without a body for success."""
    monkeypatch.setattr(sampler._client, "get_queue_attributes", lambda **_: {})
    sampler.sample()
    assert math.isnan(_depth("messages", "visible"))


def test_an_unexpected_error_does_not_end_the_thread(sampler, monkeypatch, caplog):
    monkeypatch.setattr("cpsite.observability.queue_depth.INTERVAL", 0.01)
    sample, errors = sampler.sample, [RuntimeError("a bug")]

    def fail_once():
        if errors:
            raise errors.pop()
        sample()

    monkeypatch.setattr(sampler, "sample", fail_once)
    queue_messages.labels("messages", "visible").set(-1)
    sampler.start()
    wait_for(lambda: _depth("messages", "visible") == 0, "a sample")
    sampler.stop()
    assert "queue_depth_failed_unexpectedly" in caplog.text


def test_only_the_queues_that_it_is_given_are_sampled(queue):
    queue_messages.labels("dead_letters", "visible").set(-1)
    queue.send("x")
    assert QueueDepthSampler({"messages": queue.url}).sample_queue("messages", queue.url) == 1
    assert _depth("messages", "visible") == 1
    assert _depth("dead_letters", "visible") == -1


def test_it_samples_in_a_thread_until_stopped(queue, sampler):
    queue.send("x")
    queue_messages.labels("messages", "visible").set(-1)
    sampler.start()
    for _ in range(500):
        if _depth("messages", "visible") == 1:
            break
        time.sleep(0.01)
    sampler.stop()
    sampler._thread.join(10)
    assert not sampler._thread.is_alive()
    assert (sampler._thread.name, sampler._thread.daemon) == ("queue-depth", True)
    assert _depth("messages", "visible") == 1


def test_a_call_that_hangs_ends_soon_and_is_repeated_once(sampler):
    config = sampler._client.meta.config
    assert (config.connect_timeout, config.read_timeout) == (3, 5)
    assert config.retries["total_max_attempts"] == 2
