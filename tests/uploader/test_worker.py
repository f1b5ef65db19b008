"""The worker against a real SQS API and a real S3 API."""

import logging
import threading
import time
from collections import Counter
from hashlib import sha256

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from cpsite.audit.recorder import recorder
from cpsite.queue.client import DeleteFailed
from cpsite.queue.delivery import Delivery
from tests import factories
from tests.conftest import MAX_RECEIVE_COUNT
from tests.logged import lines_of
from tests.waiting import wait_for
from uploader import handler, metrics, storage, storage_outage
from uploader.heartbeat import Heartbeat, Pulse
from uploader.layouts import Batcher
from uploader.object_keys import object_key
from uploader.receiver import Receiver
from uploader.worker import Worker
from validator.publisher import publish_message


@pytest.fixture
def make_worker(queue, tmp_path):
    made = []

    def make(**changes):
        options = {
            "receiver": Receiver(concurrency=4),
            "store": storage.store,
            "heartbeat": Heartbeat(tmp_path / "heartbeat"),
            "concurrency": 4,
            "drain": True,
        }
        made.append(Worker(**(options | changes)))
        return made[-1]

    return make


def publish(count=1, **changes):
    messages = [
        factories.accepted(client="alice", data=factories.fields(**changes)) for _ in range(count)
    ]
    for message in messages:
        publish_message(message.encode())
    return messages


class Failing:
    """A store that fails with the given errors first."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0
        self.lock = threading.Lock()

    def __call__(self, key, body):
        with self.lock:
            self.calls += 1
            error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        storage.store(key, body)


def _client_error(code):
    return ClientError({"Error": {"Code": code}}, "PutObject")


def test_messages_are_stored_and_leave_the_queue(make_worker, queue, bucket):
    messages = publish(25)
    counts = make_worker().run()
    assert sorted(bucket.keys()) == sorted(object_key(message) for message in messages)
    for message in messages:
        assert bucket.read(object_key(message)) == message.encode().encode()
    assert queue.count() == {"visible": 0, "in_flight": 0}
    assert (counts.received, counts.stored, counts.failed, counts.released) == (25, 25, 0, 0)


def test_storing_is_audited(make_worker, queue, bucket, audit):
    (message,) = publish()
    make_worker().run()
    (event,) = audit()
    assert (event.kind, event.message_id, event.client) == ("stored", message.message_id, "alice")
    assert event.object_key == object_key(message)
    assert event.payload_sha256 == sha256(message.encode().encode()).hexdigest()
    assert event.accepted_at == message.accepted_at
    assert event.attempts == 1


def test_each_message_has_one_log_line_without_content(make_worker, queue, bucket, caplog):
    caplog.set_level(logging.INFO)
    (message,) = publish(field1="private")
    make_worker().run()
    (line,) = [record for record in caplog.records if record.getMessage() == "message_stored"]
    assert line.message_id == str(message.message_id)
    assert line.object_key == object_key(message)
    assert not any("private" in str(vars(record)) for record in caplog.records)


def test_a_message_is_deleted_only_after_it_is_stored(make_worker, queue, bucket):
    """The order matters: while S3 is being written to, the message must still be on SQS."""
    publish()
    seen = []

    def store(key, body):
        seen.append(queue.count())
        storage.store(key, body)

    make_worker(store=store).run()
    assert seen == [{"visible": 0, "in_flight": 1}]
    assert queue.count() == {"visible": 0, "in_flight": 0}


@pytest.mark.parametrize(
    "poison",
    ["hello", '{"properties": 1}', factories.kombu_envelope("no message")],
)
def test_an_undecodable_message_reaches_the_dead_letter_queue_and_harms_no_other(
    make_worker, queue, bucket, audit, monkeypatch, poison
):
    monkeypatch.setattr(handler, "POISON_RETRY_SECONDS", 0)
    publish(3)
    queue.send(poison)
    publish(3)
    make_worker(drain=False, max_messages=6 + MAX_RECEIVE_COUNT).run()
    make_worker().run()  # SQS moves a message at the receive after its last allowed one
    assert len(bucket.keys()) == 6
    assert queue.count() == {"visible": 0, "in_flight": 0}
    assert queue.count(dead=True)["visible"] == 1
    dead = queue.client.receive_message(QueueUrl=queue.dlq_url)["Messages"]
    assert dead[0]["Body"] == poison  # intact
    failed = [event for event in audit() if event.kind == "failed"]
    assert {(event.reason, event.message_id) for event in failed} == {("undecodable", None)}
    assert [event.attempts for event in failed] == [1, 2, 3]
    # How the letter's events are found.
    assert {event.sqs_message_id for event in failed} == {dead[0]["MessageId"]}


def test_undecodable_content_is_not_logged(make_worker, queue, bucket, caplog, monkeypatch):
    monkeypatch.setattr(handler, "POISON_RETRY_SECONDS", 0)
    caplog.set_level(logging.DEBUG)
    queue.send("private words")
    make_worker().run()
    assert "message_undecodable" in caplog.text
    assert not any("private" in str(vars(record)) for record in caplog.records)


def test_a_delete_that_fails_means_one_more_identical_object(
    make_worker, queue, bucket, monkeypatch, caplog
):
    before = metrics.acknowledge_failures_total._value.get()
    (message,) = publish()
    with monkeypatch.context() as broken:

        def refuse(self):
            raise DeleteFailed("RequestThrottled")

        broken.setattr(Delivery, "acknowledge", refuse)
        make_worker().run()
    assert "acknowledge_failed" in caplog.text
    assert metrics.acknowledge_failures_total._value.get() == before + 1
    first = bucket.read(object_key(message))
    queue.make_visible()
    make_worker().run()
    assert bucket.keys() == [object_key(message)]
    assert bucket.read(object_key(message)) == first
    assert queue.count() == {"visible": 0, "in_flight": 0}


def test_a_message_delivered_twice_is_one_object(make_worker, queue, bucket):
    (message,) = publish()
    publish_message(message.encode())
    counts = make_worker().run()
    assert counts.stored == 2
    assert bucket.keys() == [object_key(message)]


def test_redeliveries_are_counted(make_worker, queue, bucket):
    before = metrics.redeliveries_total._value.get()
    publish(3)
    queue.client.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10)
    queue.make_visible()
    make_worker().run()
    assert len(bucket.keys()) == 3
    assert metrics.redeliveries_total._value.get() == before + 3


def test_messages_are_stored_in_parallel(make_worker, queue, bucket):
    together = threading.Barrier(4, timeout=20)
    publish(4)

    def store(key, body):
        together.wait()  # times out, and fails the message, unless four wait at the same time
        storage.store(key, body)

    assert make_worker(store=store).run().stored == 4


def test_what_is_in_flight_is_bounded(make_worker, queue, bucket):
    publish(40)
    worker = make_worker()
    most = 0

    def store(key, body):
        nonlocal most
        most = max(most, len(worker._in_flight))
        storage.store(key, body)

    worker._handler._store = store
    assert worker.run().stored == 40
    assert most <= 4 + 10


def test_max_messages_stops_after_exactly_that_many(make_worker, queue, bucket):
    publish(15)
    counts = make_worker(drain=False, max_messages=12).run()
    assert counts.received == counts.stored == 12
    assert queue.count() == {"visible": 3, "in_flight": 0}


def test_a_stop_finishes_running_uploads_and_releases_the_rest(make_worker, queue, bucket):
    publish(10)
    begun, go_on = threading.Event(), threading.Event()

    def store(key, body):
        begun.set()
        go_on.wait(20)
        storage.store(key, body)

    worker = make_worker(store=store, drain=False, concurrency=2)
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert begun.wait(20)
    worker.stop()
    # The rest is visible to other workers while the running uploads continue.
    for _ in range(400):
        if queue.count()["visible"] == 8:
            break
        time.sleep(0.05)
    assert queue.count() == {"visible": 8, "in_flight": 2}
    go_on.set()
    thread.join(20)
    assert (worker.counts.stored, worker.counts.released) == (2, 8)
    assert queue.count() == {"visible": 8, "in_flight": 0}
    assert len(bucket.keys()) == 2


def test_messages_that_arrive_during_a_stop_are_released_at_once(make_worker, queue, bucket):
    publish(3)
    worker = make_worker(drain=False)
    receive = worker._receiver.receive

    def stop_meanwhile(limit):
        received = receive(limit)
        worker.stop()
        return received

    worker._receiver.receive = stop_meanwhile
    worker.run()
    assert queue.count() == {"visible": 3, "in_flight": 0}
    assert bucket.keys() == []
    assert worker.counts.released == 3


def test_failed_receives_back_off_and_recover(make_worker, queue, bucket, monkeypatch, caplog):
    publish()
    worker = make_worker()
    receive = worker._receiver.receive
    errors = [
        _client_error("RequestThrottled"),
        _client_error("ServiceUnavailable"),
        ConnectionResetError(),
    ]
    slept = []
    monkeypatch.setattr(
        worker, "_sleep", lambda seconds, pulse: slept.append(seconds) or pulse.beat()
    )
    monkeypatch.setattr(
        worker._receiver,
        "receive",
        lambda limit: _raise(errors.pop(0)) if errors else receive(limit),
    )
    before = metrics.receives_total.labels("failed")._value.get()
    assert worker.run().stored == 1
    assert metrics.receives_total.labels("failed")._value.get() == before + 3
    assert [fields for _, event, fields in lines_of(caplog) if event == "receive_failed"] == [
        {"error": error, "times": 1, "retry_in_seconds": round(seconds, 1)}
        for error, seconds in zip(
            ["aws_RequestThrottled", "aws_ServiceUnavailable", "ConnectionResetError"],
            slept,
            strict=True,
        )
    ]
    assert 0.5 <= slept[0] <= 1 <= slept[1] <= 2 <= slept[2] <= 4


def _raise(error):
    raise error


def test_the_back_off_is_bounded_and_ends_with_a_stop(make_worker, queue, bucket):
    worker = make_worker(drain=False)
    worker._failed_receives = 10_000
    stopper = threading.Timer(0.3, worker.stop)
    stopper.start()
    worker._back_off(ConnectionResetError(), Pulse("receive"))
    assert worker.is_stopping


def test_a_release_that_fails_is_left_to_the_visibility_timeout(
    make_worker, queue, bucket, monkeypatch, caplog
):
    publish()
    worker = make_worker(store=Failing(_client_error("EntityTooLarge")))

    def fail(*_args, **_kwargs):
        raise _client_error("RequestThrottled")

    monkeypatch.setattr(worker._receiver, "release", fail)
    assert worker.run().failed == 1
    assert "release_failed" in caplog.text
    assert queue.count()["in_flight"] == 1


def test_a_refused_release_is_logged(make_worker, queue, bucket, monkeypatch, caplog):
    publish()
    worker = make_worker(store=Failing(_client_error("EntityTooLarge")))
    client = worker._receiver._channel.sqs(queue.url.rpartition("/")[2])._client
    monkeypatch.setattr(
        client,
        "change_message_visibility_batch",
        lambda **kwargs: {"Failed": [{"Id": "0", "Code": "InternalError"}]},
    )
    worker.run()
    (line,) = [record for record in caplog.records if record.getMessage() == "release_failed"]
    assert (line.error, line.times) == ("aws_InternalError", 1)


def test_an_outage_of_the_storage_is_waited_out_with_what_is_in_flight(
    make_worker, queue, bucket, monkeypatch, audit
):
    """No message is delivered a second time, so none comes nearer to the dead-letter queue."""
    monkeypatch.setattr("uploader.backoff.PAUSE_SECONDS_MAX", 0.05)
    messages = publish(30)
    error = EndpointConnectionError(endpoint_url="http://s3")
    worker = make_worker(store=Failing(*[error] * 60), concurrency=8)
    limits = []
    receive = worker._receiver.receive
    monkeypatch.setattr(worker._receiver, "receive", lambda n: limits.append(n) or receive(n))
    counts = worker.run()
    assert (counts.received, counts.stored, counts.failed) == (30, 30, 0)
    assert sorted(bucket.keys()) == sorted(object_key(message) for message in messages)
    assert {event.attempts for event in audit()} == {1}
    assert limits[0] == 10  # before the outage is known
    assert limits[-1] == 10  # after the outage
    assert metrics.storage_available._value.get() == 1


def test_while_the_storage_is_unavailable_one_message_is_received_after_each_pause(
    make_worker, queue, bucket, monkeypatch
):
    """If only the messages in flight are the cause, another message shows that."""
    publish(12)
    worker = make_worker(concurrency=40)
    for _ in range(storage_outage.OUTAGE_FAILURES):
        worker._handler.outage.failed()
    limits, slept = [], []
    receive = worker._receiver.receive
    monkeypatch.setattr(
        worker, "_sleep", lambda seconds, pulse: slept.append(seconds) or pulse.beat()
    )
    monkeypatch.setattr(worker._receiver, "receive", lambda n: limits.append(n) or receive(n))
    worker.run()
    assert limits[0] == 1
    assert len(slept) == limits.count(1)  # each follows a pause
    assert max(slept) <= 30
    assert limits[-1] == 10
    assert len(bucket.keys()) == 12


def test_a_stop_releases_messages_that_wait_for_the_storage(make_worker, queue, bucket):
    publish(3)

    def store(key, body):
        raise EndpointConnectionError(endpoint_url="http://s3")

    worker = make_worker(store=store, drain=False)
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_for(lambda: worker._handler.outage.failures >= 3, "three failures")
    worker.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert worker.counts.released == 3
    assert queue.count() == {"visible": 3, "in_flight": 0}


def test_a_failing_audit_log_fails_no_message(make_worker, queue, bucket, monkeypatch, audit):
    from django.db import OperationalError

    def fail(*_args, **_kwargs):
        raise OperationalError

    monkeypatch.setattr("cpsite.audit.rows.insert", fail)
    monkeypatch.setattr(recorder._closing, "wait", lambda seconds: None)
    publish(2)
    assert make_worker().run().stored == 2
    assert audit() == []
    assert len(bucket.keys()) == 2


def _overdue(worker, monkeypatch):
    """Return the names of the parts that the heartbeat finds stuck now."""
    worker._heartbeat._stuck_seconds = 0.5
    worker._heartbeat.check()
    return worker._heartbeat._stuck


def test_every_part_of_a_healthy_worker_keeps_beating(make_worker, queue, bucket):
    """However long it waits for messages."""
    worker = make_worker(drain=False, more_receivers=[Receiver(concurrency=4)])
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    wait_for(lambda: len(worker._heartbeat._pulses) >= 6, "all threads")
    names = []
    for pulse in tuple(worker._heartbeat._pulses):
        names.append(pulse.name)
        before = pulse._beat_at
        if before is not None:  # None: at rest
            wait_for(lambda: pulse._beat_at != before, pulse.name)  # noqa: B023
    assert sorted(names) == ["acknowledge"] * 3 + ["receive"] * 2 + ["visibility"]
    worker.stop()
    thread.join(20)
    assert not worker._heartbeat._pulses


def test_its_threads_have_the_names_of_the_docs_and_do_not_keep_the_process(
    make_worker, queue, bucket
):
    """docs/architecture.md names them. A stop that hangs must end with the main thread."""
    before = set(threading.enumerate())
    worker = make_worker(
        drain=False,
        more_receivers=[Receiver(concurrency=4)],
        batcher=Batcher(max_messages=1, max_bytes=1_000_000, max_seconds=60),
    )
    publish()
    thread = threading.Thread(target=worker.run, name="main", daemon=False)
    thread.start()
    wait_for(lambda: worker.counts.stored, "a message")
    ours = [each for each in threading.enumerate() if each not in before]
    names = Counter(each.name for each in ours if not each.name.startswith(("Thread-", "upload")))
    assert names == {
        "main": 1,
        "receive": 1,
        "acknowledge": 3,
        "visibility": 1,
        "batches": 1,
        "heartbeat": 1,
    }
    assert any(each.name.startswith("upload_") for each in ours)
    assert all(
        each.daemon
        for each in ours
        if each.name in {"acknowledge", "visibility", "batches", "heartbeat"}
    )
    worker.stop()
    thread.join(20)


@pytest.mark.parametrize("part", ["receive", "upload", "acknowledge"])
def test_a_part_that_hangs_is_found_stuck(make_worker, queue, bucket, monkeypatch, part, tmp_path):
    hang, hanging = threading.Event(), threading.Event()

    def wait(*_args, **_kwargs):
        hanging.set()
        assert hang.wait(60)
        return []

    publish()
    worker = make_worker(drain=False, more_receivers=[Receiver(concurrency=4)])
    if part == "receive":
        monkeypatch.setattr(worker._receivers[1], "receive", wait)
    elif part == "upload":
        monkeypatch.setattr(worker._handler, "_store", wait)
    else:
        monkeypatch.setattr(worker._receiver, "acknowledge", wait)
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert hanging.wait(60)
    wait_for(lambda: part in _overdue(worker, monkeypatch), "the heartbeat to notice", 60)
    worker.stop()
    hang.set()
    thread.join(20)
    assert not thread.is_alive()


def test_a_full_worker_without_progress_is_found_stuck(make_worker, queue, bucket, monkeypatch):
    worker = make_worker(drain=False)
    monkeypatch.setattr(worker._in_flight, "_is_full", lambda: True)
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_for(lambda: "receive" in _overdue(worker, monkeypatch), "the heartbeat to notice")
    worker.stop()
    thread.join(20)


def test_metrics_follow_the_messages(make_worker, queue, bucket):
    stored = metrics.messages_total.labels("stored")._value.get()
    empty = metrics.receives_total.labels("empty")._value.get()
    size, again = metrics.stored_bytes_total._value.get(), metrics.redeliveries_total._value.get()
    messages = publish(2)
    make_worker().run()
    assert metrics.messages_total.labels("stored")._value.get() == stored + 2
    size += sum(len(message.encode().encode()) for message in messages)
    assert metrics.stored_bytes_total._value.get() == size
    assert metrics.redeliveries_total._value.get() == again
    for histogram in (metrics.upload_seconds.labels("stored"), metrics.message_age_seconds):
        assert sum(bucket.get() for bucket in histogram._buckets) >= 2
    progress = metrics.last_progress_timestamp_seconds._value.get()
    assert time.time() - progress < 60
    assert metrics.receives_total.labels("empty")._value.get() > empty
    assert metrics.in_flight._value.get() == 0
    assert metrics.oldest_message_age_seconds._value.get() == pytest.approx(0, abs=0.01)
