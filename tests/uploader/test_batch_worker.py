"""The worker with UPLOADER_LAYOUT=batch, against a real SQS API and a real S3 API."""

import gzip
import json
import logging
import threading
import time

import pytest
from botocore.exceptions import ClientError

from tests import factories
from tests.waiting import wait_for
from uploader import handler, storage
from uploader.heartbeat import Heartbeat
from uploader.layouts import Batcher
from uploader.receiver import Receiver
from uploader.worker import Worker
from validator.publisher import publish_message


@pytest.fixture
def make_worker(queue, tmp_path):
    def make(*, max_messages=100, max_seconds=60.0, receivers=1, **changes):
        first, *more = (Receiver(concurrency=4) for _ in range(receivers))
        options = {
            "receiver": first,
            "more_receivers": more,
            "store": storage.store,
            "heartbeat": Heartbeat(tmp_path / "heartbeat"),
            "concurrency": 4,
            "batcher": Batcher(
                max_messages=max_messages, max_bytes=1_000_000, max_seconds=max_seconds
            ),
            "drain": True,
        }
        return Worker(**(options | changes))

    return make


def publish(count):
    messages = [factories.accepted(client="alice", data=factories.fields()) for _ in range(count)]
    for message in messages:
        publish_message(message.encode())
    return messages


def stored_lines(bucket):
    return [
        line
        for key in bucket.keys()  # noqa: SIM118 - not a dict
        for line in gzip.decompress(bucket.read(key)).decode().splitlines()
    ]


def test_messages_are_stored_together_and_leave_the_queue(make_worker, queue, bucket, audit):
    messages = publish(25)
    counts = make_worker(max_messages=10).run()
    assert sorted(stored_lines(bucket)) == sorted(message.encode() for message in messages)
    assert len(bucket.keys()) == 3
    assert (counts.received, counts.stored, counts.failed) == (25, 25, 0)
    assert queue.count() == {"visible": 0, "in_flight": 0}
    events = audit()
    assert {event.message_id for event in events} == {message.message_id for message in messages}
    assert {event.object_key for event in events} == set(bucket.keys())


def test_nothing_is_deleted_before_its_batch_is_stored(make_worker, queue, bucket):
    publish(12)
    seen = []

    def store(key, body):
        seen.append(queue.count())
        storage.store(key, body)

    make_worker(store=store).run()
    assert seen == [{"visible": 0, "in_flight": 12}]
    assert queue.count() == {"visible": 0, "in_flight": 0}


def test_a_batch_that_does_not_fill_is_stored_when_it_is_due(make_worker, queue, bucket):
    publish(3)
    worker = make_worker(max_seconds=0.5, drain=False)
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_for(lambda: queue.count() == {"visible": 0, "in_flight": 0}, "the worker")
    worker.stop()
    thread.join(20)
    assert len(stored_lines(bucket)) == 3


def test_a_stop_stores_the_gathered_messages(make_worker, queue, bucket):
    publish(5)
    worker = make_worker(drain=False)
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_for(lambda: worker.counts.received == 5, "the worker")
    assert bucket.keys() == []
    worker.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert len(stored_lines(bucket)) == 5
    assert worker.counts.stored == 5
    assert queue.count() == {"visible": 0, "in_flight": 0}


def test_messages_are_kept_hidden_while_their_batch_fills(make_worker, queue, bucket, monkeypatch):
    """Otherwise SQS would deliver them to other workers, and finally to the dead-letter queue."""
    monkeypatch.setattr("uploader.visibility.INTERVAL", 0.2)
    queue.client.set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "2"})
    publish(5)
    worker = make_worker(drain=False, max_seconds=6)
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_for(lambda: worker.counts.stored, "the worker")
    worker.stop()
    thread.join(20)
    assert worker.counts.received == worker.counts.stored == 5
    assert queue.count() == {"visible": 0, "in_flight": 0}


def test_messages_of_a_batch_that_cannot_be_stored_are_retried_in_any_batch(
    make_worker, queue, bucket, monkeypatch, audit
):
    monkeypatch.setattr(handler, "POISON_RETRY_SECONDS", 0)
    messages = publish(12)
    # A refusal of the object, which leaves its messages to SQS at once.
    errors = [ClientError({"Error": {"Code": "EntityTooLarge"}}, "PutObject")]

    def store(key, body):
        if errors:
            raise errors.pop()
        storage.store(key, body)

    counts = make_worker(store=store, max_messages=6).run()
    assert counts.failed == 6
    assert counts.stored == 12
    assert sorted(stored_lines(bucket)) == sorted(message.encode() for message in messages)
    failed = [event for event in audit() if event.kind == "failed"]
    assert {event.reason for event in failed} == {"aws_EntityTooLarge"}
    assert len(failed) == 6


def test_storing_the_same_batch_again_is_the_same_object(make_worker, queue, bucket, monkeypatch):
    publish(8)
    with monkeypatch.context() as broken:
        broken.setattr(
            Receiver, "acknowledge", lambda self, deliveries: [OSError()] * len(deliveries)
        )
        make_worker().run()
    (key,) = bucket.keys()
    first = bucket.read(key)
    queue.make_visible()
    make_worker().run()
    assert bucket.keys() == [key]
    assert bucket.read(key) == first
    assert queue.count() == {"visible": 0, "in_flight": 0}


def test_poison_is_left_out_of_batches_and_harms_none(make_worker, queue, bucket, audit):
    publish(3)
    queue.send("hello")
    publish(3)
    counts = make_worker().run()
    assert (counts.stored, counts.failed) == (6, 1)
    assert len(stored_lines(bucket)) == 6
    assert queue.count() == {"visible": 0, "in_flight": 1}
    assert "undecodable" in {event.reason for event in audit()}


def test_an_unexpected_error_leaves_the_messages_on_the_queue(make_worker, queue, bucket, caplog):
    publish(4)

    def store(key, body):
        raise RuntimeError("a bug")

    counts = make_worker(store=store).run()
    assert (counts.stored, counts.failed) == (0, 4)
    assert "batch_failed_unexpectedly" in caplog.text
    assert queue.count() == {"visible": 0, "in_flight": 4}


def test_each_batch_has_one_log_line(make_worker, queue, bucket, caplog):
    caplog.set_level(logging.INFO)
    publish(7)
    make_worker().run()
    (line,) = [record for record in caplog.records if record.getMessage() == "batch_stored"]
    assert line.messages == 7
    assert line.object_key == bucket.keys()[0]
    assert "message_stored" not in caplog.text


def test_what_is_in_flight_is_bounded(make_worker, queue, bucket):
    publish(60)
    worker = make_worker(max_messages=4)
    most = 0
    receive = worker._receiver.receive

    def count(limit):
        nonlocal most
        received = receive(limit)
        most = max(most, len(worker._in_flight) + len(received))
        return received

    worker._receiver.receive = count
    assert worker.run().stored == 60
    assert most <= 3 * 4 + 10


def test_several_receivers_share_the_work(make_worker, queue, bucket):
    messages = publish(60)
    worker = make_worker(receivers=3, max_messages=10)
    counts = worker.run()
    assert counts.received == counts.stored == 60
    assert set(stored_lines(bucket)) == {message.encode() for message in messages}
    assert queue.count() == {"visible": 0, "in_flight": 0}


def test_a_receiver_that_breaks_ends_the_worker(make_worker, queue, bucket):
    worker = make_worker(receivers=2, drain=False)

    def break_down(limit):
        raise RuntimeError("a bug")

    worker._receivers[1].receive = break_down
    with pytest.raises(RuntimeError, match="a bug"):
        worker.run()


def test_the_first_receiver_that_breaks_ends_the_others(make_worker, queue, bucket):
    worker = make_worker(receivers=2, drain=False)

    def break_down(limit):
        raise RuntimeError("a bug")

    worker._receiver.receive = break_down
    with pytest.raises(RuntimeError, match="a bug"):
        worker.run()


@pytest.mark.parametrize(("max_messages", "receivers"), [(1, 1), (3, 1), (6, 3)])
def test_small_batches_leave_room_for_a_receive(
    make_worker, queue, bucket, max_messages, receivers
):
    publish(25)
    worker = make_worker(max_messages=max_messages, receivers=receivers, max_seconds=0.2)
    assert worker.run().stored == 25


@pytest.mark.parametrize("layout", ["batch", "object"])
def test_each_message_is_stored_once_when_no_thread_can_be_started(
    make_worker, queue, bucket, monkeypatch, caplog, layout
):
    """The executor queues a call before it fails to start a thread: another one may do it too."""
    publish(12)
    worker = make_worker(max_messages=2, **({} if layout == "batch" else {"batcher": None}))
    adjust = worker._executor._adjust_thread_count
    started = []

    def start_one():
        if started:
            raise RuntimeError("can't start new thread")
        started.append(adjust())

    monkeypatch.setattr(worker._executor, "_adjust_thread_count", start_one)
    counts = worker.run()
    assert (counts.received, counts.stored, counts.failed) == (12, 12, 0)
    assert caplog.text.count("upload_thread_not_started") == 1
    assert queue.count() == {"visible": 0, "in_flight": 0}


def test_a_batch_counts_messages_and_not_deliveries(make_worker, queue, bucket, caplog):
    caplog.set_level(logging.INFO)
    messages = publish(2)
    for message in messages:
        publish_message(message.encode())
    make_worker().run()
    (line,) = [each for each in caplog.records if each.getMessage() == "batch_stored"]
    assert line.messages == len(stored_lines(bucket)) == 2


def test_what_is_stored_and_waits_for_its_delete_stays_hidden(
    make_worker, queue, bucket, monkeypatch
):
    """Deletes may be slow: SQS must not deliver meanwhile what is stored already."""
    monkeypatch.setattr("uploader.visibility.INTERVAL", 0.05)
    go_on = threading.Event()
    publish(25)
    worker = make_worker(drain=False, batcher=None)
    acknowledge, calls = worker._receiver.acknowledge, []

    def slowly(deliveries):
        calls.append(deliveries)
        assert go_on.wait(120)
        return acknowledge(deliveries)

    monkeypatch.setattr(worker._receiver, "acknowledge", slowly)
    worker._receiver.read_settings()
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        # Both threads are busy with a delete of ten at most, so the others wait.
        wait_for(lambda: len(calls) == 2 and worker.counts.stored > 20, "two deletes")
        waiting = wait_for(worker._acknowledger.deliveries, "what waits")
        for delivery in waiting:
            delivery.hidden_at -= 20
        wait_for(lambda: all(time.monotonic() - each.hidden_at < 15 for each in waiting), "them")
    finally:
        go_on.set()
        worker.stop()
        thread.join(30)
    assert queue.count() == {"visible": 0, "in_flight": 0}


def test_an_undecodable_message_is_logged_once(make_worker, queue, bucket, caplog):
    queue.send("hello")
    make_worker().run()
    assert caplog.text.count("message_undecodable") == 1
    assert caplog.text.count("message_failed") == 1


def test_at_a_stop_an_unavailable_sqs_is_called_once(make_worker, queue, bucket, monkeypatch):
    asked = []

    def fail(self, deliveries, *, delay_seconds):
        asked.append(delay_seconds)
        raise ConnectionResetError

    monkeypatch.setattr(Receiver, "release", fail)
    publish(12)

    def store(key, body):
        worker.stop()
        raise OSError("unavailable")

    worker = make_worker(store=store, drain=False, max_messages=2)
    worker.run()
    assert len(asked) == 1


def test_a_message_of_several_lines_does_not_break_the_lines_of_a_batch(make_worker, queue, bucket):
    """It is foreign, although it is valid JSON with the right fields."""
    foreign = json.dumps(json.loads(factories.message().encode()), indent=1)
    queue.send(factories.kombu_envelope(foreign))
    messages = publish(2)
    counts = make_worker().run()
    assert (counts.stored, counts.failed) == (2, 1)
    assert sorted(stored_lines(bucket)) == sorted(message.encode() for message in messages)


def test_a_release_that_failed_before_a_stop_does_not_keep_messages_at_the_stop(
    make_worker, queue, bucket, monkeypatch
):
    publish(3)
    worker = make_worker(drain=False)
    with monkeypatch.context() as broken:

        def fail(deliveries, *, delay_seconds):
            raise ConnectionResetError

        broken.setattr(worker._receiver, "release", fail)
        worker._handler._change_visibility([], 30)
    receive = worker._receiver.receive

    def stop_meanwhile(limit):
        received = receive(limit)
        worker.stop()
        return received

    worker._receiver.receive = stop_meanwhile
    worker.run()
    assert queue.count() == {"visible": 3, "in_flight": 0}
