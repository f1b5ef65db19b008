import threading
import time

import pytest
from botocore.exceptions import ClientError

from cpsite.aws import QueueRefused
from tests import factories
from tests.logged import lines_of
from tests.waiting import wait_for
from uploader import metrics, visibility
from uploader.heartbeat import Heartbeat
from uploader.queue_settings import QueueAttributes
from uploader.receiver import Receiver
from uploader.visibility import VisibilityExtender


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


def test_visibility_is_extended_after_half_of_the_timeout(receiver, queue, extender_of):
    deliveries = receive(receiver, queue, 12)
    before = metrics.visibility_extensions_total._value.get()
    receiver.change_visibility(deliveries, seconds=5)
    for delivery in deliveries[:11]:
        delivery.hidden_at -= 16  # of the queue's 30 seconds
    extender_of(receiver, lambda: deliveries).extend()
    hidden = sorted(queue.hidden_for())
    assert hidden[0] < 6
    assert all(25 < seconds <= 30 for seconds in hidden[1:])
    assert metrics.visibility_extensions_total._value.get() == before + 11
    assert all(time.monotonic() - delivery.hidden_at < 15 for delivery in deliveries)


def test_messages_no_longer_in_flight_are_not_extended(receiver, queue, extender_of):
    for delivery in receive(receiver, queue, 2):
        delivery.hidden_at -= 60
    receiver.change_visibility = pytest.fail
    extender_of(receiver, list).extend()


@pytest.mark.parametrize("timeout", [30, 3600, 7200, 43_200])
@pytest.mark.parametrize("age", [0, 3600, 6 * 3600, 11 * 3600, 43_000, 43_199, 50_000])
def test_nothing_is_hidden_for_longer_than_sqs_allows(extender_of, timeout, age):
    """SQS refuses what would be hidden for more than 12 hours since its receive."""
    now = time.monotonic()
    delivery = _Delivery(received_at=now - age, hidden_at=now - age, hidden_seconds=timeout)
    if age > timeout:  # it was extended meanwhile
        delivery.hidden_at = now - timeout / 2 - 1
    receiver = _Receiver(timeout)
    extender_of(receiver, lambda: [delivery]).extend()
    for _, seconds in receiver.extended:
        assert 0 < seconds <= timeout
        assert age + seconds < 43_200
    hidden_for_another = delivery.hidden_at + timeout - now
    if age > timeout / 2 and 43_100 - age > hidden_for_another:
        assert receiver.extended


class _Delivery:
    sqs_message_id = "m"

    def __init__(self, **values):
        self.received_at = self.hidden_at = time.monotonic()
        self.hidden_seconds = 30
        self.is_released = self.is_refused = False
        vars(self).update(values)


class _Receiver:
    """Answers extensions with `answer` for each, or raises it."""

    def __init__(self, timeout=30, answer=None):
        self.settings = QueueAttributes(timeout, 3)
        self.answer = answer
        self.extended = []

    def read_settings(self):
        return self.settings

    def extend(self, deliveries, *, seconds):
        self.extended.append((len(deliveries), seconds))
        if isinstance(self.answer, Exception):
            if isinstance(self.answer, QueueRefused):
                return [self.answer] * len(deliveries)
            raise self.answer
        return [None] * len(deliveries)


def _overdue(count):
    long_ago = time.monotonic() - 20
    return [_Delivery(received_at=long_ago, hidden_at=long_ago) for _ in range(count)]


def test_messages_that_sqs_refuses_are_logged_once_and_let_go(extender_of, caplog):
    deliveries = _overdue(300)
    receiver = _Receiver(answer=QueueRefused("ReceiptHandleIsInvalid"))
    extender = extender_of(receiver, lambda: deliveries)
    for _ in range(20):
        extender.extend()
    assert len(receiver.extended) == 30
    assert lines_of(caplog) == [
        (
            "WARNING",
            "visibility_not_extended",
            # The first call's; Notices counts those of the others.
            {"error": "aws_ReceiptHandleIsInvalid", "times": 10},
        )
    ]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (ConnectionResetError(), "ConnectionResetError"),
        (ClientError({"Error": {"Code": "QueueDoesNotExist"}}, "x"), "aws_QueueDoesNotExist"),
        (QueueRefused("InternalError", sender_fault=False), "aws_InternalError"),
    ],
    ids=repr,
)
def test_a_call_that_fails_is_repeated_after_a_pause(extender_of, caplog, answer, error):
    receiver = _Receiver(answer=answer)
    extender = extender_of(receiver, lambda: deliveries)
    deliveries = _overdue(300)
    for _ in range(100):
        extender.extend()
    assert len(receiver.extended) == 1
    assert lines_of(caplog) == [
        ("WARNING", "visibility_not_extended", {"error": error, "times": 1})
    ]
    receiver.answer, extender._not_before = None, 0.0
    extender.extend()
    assert len(receiver.extended) == 31


def test_a_pause_is_short_enough_to_try_again_in_time(extender_of):
    for timeout in (12, 30, 120):
        extender = extender_of(_Receiver(timeout), list)
        for _ in range(50):
            extender._back_off("x")
        assert extender._not_before - time.monotonic() <= timeout / 8


def test_a_released_message_is_not_hidden_anew_by_an_extension_under_way(
    receiver, queue, extender_of, monkeypatch
):
    """Whatever the order of the two threads, the release is the last word."""
    (delivery,) = receive(receiver, queue, 1)
    receiver.read_settings()
    change, is_reached, go_on = receiver.change_visibility, threading.Event(), threading.Event()

    def slowly(deliveries, *, seconds):
        if seconds:
            is_reached.set()
            assert go_on.wait(20)
        return change(deliveries, seconds=seconds)

    monkeypatch.setattr(receiver, "change_visibility", slowly)
    extension = threading.Thread(target=receiver.extend, args=[[delivery]], kwargs={"seconds": 30})
    extension.start()
    assert is_reached.wait(20)
    release = threading.Thread(
        target=receiver.release, args=[[delivery]], kwargs={"delay_seconds": 0}
    )
    release.start()
    go_on.set()
    extension.join(20)
    release.join(20)
    assert queue.hidden_for()[0] <= 0
    receiver.extend([delivery], seconds=30)
    assert queue.hidden_for()[0] <= 0


def test_a_timeout_that_is_lowered_does_not_shorten_it_for_what_is_received(receiver, queue):
    receiver.read_settings()
    queue.client.set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "1"})
    (delivery,) = receive(receiver, queue, 1)
    assert delivery.hidden_seconds == 30
    assert queue.hidden_for()[0] > 20


def test_the_settings_are_read_again(receiver, queue, extender_of, monkeypatch):
    deliveries = receive(receiver, queue, 1)
    known = []
    extender = VisibilityExtender(
        receiver,
        in_flight=lambda: deliveries,
        heartbeat=extender_of(receiver, list)._heartbeat,
        known=known.append,
    )
    extender.extend()
    extender.extend()
    monkeypatch.setattr(visibility, "READ_AGAIN_SECONDS", 0)
    queue.client.set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "90"})
    extender.extend()
    assert [each.visibility_timeout_seconds for each in known] == [30, 90]
    assert receiver.settings.hidden_seconds == 90


def test_an_unexpected_error_does_not_end_the_thread(extender_of, caplog, monkeypatch):
    answers = [RuntimeError("a bug")]
    receiver = _Receiver()

    def in_flight():
        if answers:
            raise answers.pop()
        return deliveries

    deliveries = _overdue(1)
    monkeypatch.setattr("uploader.visibility.INTERVAL", 0.01)
    monkeypatch.setattr("uploader.backoff.PAUSE_SECONDS_MAX", 0.01)
    extender = extender_of(receiver, in_flight)
    extender.start()
    wait_for(lambda: receiver.extended, "an extension")
    extender.stop()
    assert "visibility_failed_unexpectedly" in caplog.text
