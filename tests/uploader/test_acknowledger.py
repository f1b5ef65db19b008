import threading

import pytest
from botocore.exceptions import ClientError

from cpsite.queue.client import DeleteFailed
from tests import factories
from tests.logged import lines_of
from tests.waiting import wait_for
from uploader import acknowledger as module
from uploader import metrics
from uploader.acknowledger import Acknowledger
from uploader.heartbeat import Heartbeat
from uploader.layouts import Part


class Deliveries:
    """A fake receiver that records which deliveries it is asked to delete."""

    def __init__(self, *answers):
        self.batches = []
        self.answers = list(answers)
        self.under_way = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def acknowledge(self, deliveries):
        self.batches.append(list(deliveries))
        self.under_way.set()
        assert self.go_on.wait(30)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer or [None] * len(deliveries)


def part(delivery):
    return Part(delivery, factories.message())


@pytest.fixture
def start(monkeypatch, tmp_path):
    started = []

    def make(receiver, gather_seconds=60.0, **options):
        monkeypatch.setattr(module, "GATHER_SECONDS", gather_seconds)
        heartbeat = Heartbeat(tmp_path / "heartbeat")
        started.append(Acknowledger(receiver, heartbeat=heartbeat, **options))
        started[-1].start()
        return started[-1]

    yield make
    for each in started:
        each.close()


def test_one_call_deletes_ten_without_waiting_for_more(start):
    receiver = Deliveries()
    acknowledger = start(receiver)
    for number in range(20):
        acknowledger.add(part(number))
    wait_for(lambda: len(receiver.batches) == 2, "the acknowledger")
    assert receiver.batches == [list(range(10)), list(range(10, 20))]


def test_fewer_wait_only_a_moment(start):
    receiver = Deliveries()
    acknowledger = start(receiver, gather_seconds=0.05)
    acknowledger.add(part("a"))
    acknowledger.add(part("b"))
    wait_for(lambda: receiver.batches, "the acknowledger")
    assert receiver.batches == [["a", "b"]]
    assert len(acknowledger) == 0


def test_close_deletes_the_remaining_messages(start):
    receiver = Deliveries()
    acknowledger = start(receiver)
    for number in range(13):
        acknowledger.add(part(number))
    acknowledger.close()
    assert [number for batch in receiver.batches for number in batch] == list(range(13))


def test_messages_that_arrive_during_a_call_are_deleted_after_it(start):
    receiver = Deliveries()
    receiver.go_on.clear()
    acknowledger = start(receiver)
    for number in range(10):
        acknowledger.add(part(number))
    assert receiver.under_way.wait(30)
    for number in range(10, 20):
        acknowledger.add(part(number))
    assert len(acknowledger) == 10
    receiver.go_on.set()
    wait_for(lambda: len(receiver.batches) == 2, "the acknowledger")
    assert receiver.batches[1] == list(range(10, 20))


@pytest.mark.parametrize(
    ("answer", "failures", "error"),
    [
        ([None, DeleteFailed("InternalError"), None], 1, "aws_InternalError"),
        (ClientError({"Error": {"Code": "RequestThrottled"}}, "x"), 3, "aws_RequestThrottled"),
        (ConnectionResetError(), 3, "ConnectionResetError"),
    ],
    ids=repr,
)
def test_each_failure_is_counted_and_a_lasting_one_logged_once(
    start, caplog, answer, failures, error
):
    before = metrics.acknowledge_failures_total._value.get()
    acknowledger = start(Deliveries(answer))
    for number in range(3):
        acknowledger.add(part(number))
    acknowledger.close()
    lines = [fields for _, event, fields in lines_of(caplog) if event == "acknowledge_failed"]
    message_id = str(factories.message().message_id)
    assert lines == [{"error": error, "times": 1, "message_id": message_id}]
    assert metrics.acknowledge_failures_total._value.get() == before + failures


def test_an_unexpected_error_does_not_end_the_thread(start, caplog):
    receiver = Deliveries(RuntimeError("a bug"))
    before = metrics.acknowledge_failures_total._value.get()
    acknowledger = start(receiver)
    for number in range(20):
        acknowledger.add(part(number))
    wait_for(lambda: len(receiver.batches) == 2, "the acknowledger")
    acknowledger.close()
    assert "acknowledge_failed_unexpectedly" in caplog.text
    assert metrics.acknowledge_failures_total._value.get() == before + 10


def test_while_one_thread_deletes_another_gathers_full_batches(start):
    receiver = Deliveries()
    receiver.go_on.clear()
    acknowledger = start(receiver, threads=3)
    for number in range(30):
        acknowledger.add(part(number))
    wait_for(lambda: len(receiver.batches) == 3, "the acknowledger")  # all at the same time
    assert sorted(map(len, receiver.batches)) == [10, 10, 10]
    receiver.go_on.set()
    acknowledger.add(part(30))
    acknowledger.close()
    assert sorted(number for batch in receiver.batches for number in batch) == list(range(31))


def test_it_reports_when_there_is_room_again(start):
    calls = []
    acknowledger = start(Deliveries(), done=lambda: calls.append(1))
    for number in range(10):
        acknowledger.add(part(number))
    wait_for(lambda: calls == [1], "the acknowledger")
