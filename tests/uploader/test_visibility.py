import time

import pytest

from tests import factories
from uploader import metrics
from uploader.heartbeat import Heartbeat
from uploader.receiver import Receiver
from uploader.visibility import LONGEST_SECONDS, VisibilityExtender


@pytest.fixture
def receiver(queue):
    made = Receiver(concurrency=2)
    yield made
    made.close()


@pytest.fixture
def extender_of(tmp_path):
    def make(receiver, in_flight):
        return VisibilityExtender(
            receiver, in_flight=in_flight, heartbeat=Heartbeat(tmp_path / "heartbeat")
        )

    return make


def receive(receiver, queue, count):
    for number in range(count):
        queue.send(factories.kombu_envelope(str(number)))
    deliveries = []
    while len(deliveries) < count:
        deliveries += receiver.receive(10)
    return deliveries


def hidden_for(queue):
    """Return for how many seconds SQS (moto) still hides each message."""
    from moto.sqs import sqs_backends

    backend = sqs_backends["123456789012"]["us-east-1"]
    messages = backend.queues[queue.url.rpartition("/")[2]]._messages
    return [message.visible_at / 1000 - time.time() for message in messages]


def test_visibility_is_extended_after_half_of_the_timeout(receiver, queue, extender_of):
    deliveries = receive(receiver, queue, 12)
    before = metrics.visibility_extensions_total._value.get()
    receiver.change_visibility(deliveries, seconds=5)
    for delivery in deliveries[:11]:
        delivery.hidden_at -= 16  # of the queue's 30 seconds
    extender_of(receiver, lambda: deliveries).extend()
    hidden = sorted(hidden_for(queue))
    assert hidden[0] < 6
    assert all(25 < seconds <= 30 for seconds in hidden[1:])
    assert metrics.visibility_extensions_total._value.get() == before + 11
    assert all(time.monotonic() - delivery.hidden_at < 15 for delivery in deliveries)


def test_messages_no_longer_in_flight_are_not_extended(receiver, queue, extender_of):
    for delivery in receive(receiver, queue, 2):
        delivery.hidden_at -= 60
    receiver.change_visibility = pytest.fail
    extender_of(receiver, list).extend()


def test_messages_at_the_limit_of_sqs_are_not_extended(receiver, queue, extender_of):
    (delivery,) = receive(receiver, queue, 1)
    delivery.received_at = delivery.hidden_at = time.monotonic() - LONGEST_SECONDS - 1
    receiver.change_visibility = pytest.fail
    extender_of(receiver, lambda: [delivery]).extend()


def test_a_refused_extension_is_logged_and_retried(receiver, queue, caplog, extender_of):
    deliveries = receive(receiver, queue, 2)
    for delivery in deliveries:
        delivery.hidden_at -= 16
    deliveries[0].kombu_message.delivery_tag = "no-such-handle"
    extender = extender_of(receiver, lambda: deliveries)
    extender.extend()
    assert caplog.text.count("visibility_not_extended") == 1
    assert extender._due(time.monotonic()) == [deliveries[0]]


def test_an_outage_of_sqs_does_not_end_the_thread(
    receiver, queue, caplog, monkeypatch, extender_of
):
    (delivery,) = receive(receiver, queue, 1)
    delivery.hidden_at -= 16
    answers = [ConnectionResetError(), RuntimeError("a bug"), 30]

    def timeout():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(receiver, "visibility_timeout", timeout)
    monkeypatch.setattr("uploader.visibility.INTERVAL", 0.01)
    extender = extender_of(receiver, lambda: [delivery])
    extender.start()
    for _ in range(3000):
        if time.monotonic() - delivery.hidden_at < 15:
            break
        time.sleep(0.005)
    extender.stop()
    assert time.monotonic() - delivery.hidden_at < 15
    assert "visibility_not_extended" in caplog.text
    assert "visibility_failed_unexpectedly" in caplog.text


def test_the_timeout_is_the_queues(receiver):
    assert receiver.visibility_timeout() == 30
