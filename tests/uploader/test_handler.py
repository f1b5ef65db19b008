"""The outcome of a delivery, by the answer of the storage."""

import threading

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
)

from cpsite.storage import StorageUnreachable
from tests import factories
from uploader import storage_outage
from uploader.handler import POISON_RETRY_SECONDS, TRIES, Handler
from uploader.heartbeat import Heartbeat
from uploader.storage import is_refusal
from uploader.storage_outage import OUTAGE_FAILURES


def _client_error(code):
    return ClientError({"Error": {"Code": code}}, "PutObject")


REFUSALS = [_client_error("AccessDenied"), _client_error("EntityTooLarge")]
FAILURES = [
    _client_error("SlowDown"),
    _client_error("InternalError"),
    _client_error("503"),
    _client_error("ExpiredToken"),
    _client_error("NoSuchBucket"),
    EndpointConnectionError(endpoint_url="http://s3"),
    ConnectTimeoutError(endpoint_url="http://s3"),
    NoCredentialsError(),
    StorageUnreachable("no answer of S3"),
    OSError("disk full"),
]


class Delivery:
    """A fake delivery of SQS."""

    def __init__(self, attempts=1, body=None):
        self.attempts = attempts
        self.body = factories.message().encode().encode() if body is None else body
        self.undecodable = None
        self.sqs_message_id = "m"


class Queue:
    """A fake receiver that records which deliveries are released, and their delays."""

    def __init__(self):
        self.released = []

    def release(self, deliveries, *, delay_seconds):
        self.released += [(delivery, delay_seconds) for delivery in deliveries]


class Store:
    """A storage that answers with the given errors, then with success."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, key, body):
        self.calls += 1
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setattr("uploader.backoff.PAUSE_SECONDS_MAX", 0.01)

    def handler(store, **changes):
        made = Handler(
            **{
                "receiver": Queue(),
                "store": store,
                "acknowledge": lambda part: acknowledged.append(part.delivery),
                "heartbeat": Heartbeat(tmp_path / "heartbeat"),
                "is_stopping": lambda: False,
                "log_each": True,
            }
            | changes
        )
        made.acknowledged = acknowledged
        return made

    acknowledged = []
    return handler


def _others_are_stored(handler):
    """Make it look as if other objects are being stored."""
    handler.outage.has_stored_since = lambda moment: True


@pytest.mark.parametrize("error", REFUSALS, ids=repr)
def test_a_refused_message_is_left_to_the_dead_letter_queue_at_once(make, audit, error):
    store, delivery = Store(error), Delivery()
    handler = make(store)
    handler.handle(delivery)
    assert store.calls == 1
    assert handler._receiver.released == [(delivery, POISON_RETRY_SECONDS)]
    assert not handler.acknowledged
    (event,) = audit()
    assert (event.kind, event.reason) == ("failed", f"aws_{error.response['Error']['Code']}")
    assert (str(event.message_id), event.client) == (
        "6b1f1d5e-0000-4000-8000-000000000001",
        "alice",
    )


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_a_failing_storage_is_waited_out_in_flight(make, audit, error, caplog):
    """Each further delivery would count towards maxReceiveCount."""
    store, delivery = Store(*[error] * 8), Delivery()
    handler = make(store)
    handler.handle(delivery)
    assert store.calls == 9
    assert handler.acknowledged == [delivery]
    assert not handler._receiver.released
    assert [event.kind for event in audit()] == ["stored"]
    assert caplog.text.count("write_failed") == 8
    assert caplog.text.count("storage_is_away") == 1
    assert caplog.text.count("storage_is_back") == 1


@pytest.mark.parametrize(("attempts", "delay"), [(1, 30), (2, 60), (3, 120), (9, 900)])
def test_a_message_that_fails_while_others_are_stored_is_delayed_longer_each_time(
    make, audit, attempts, delay
):
    store, delivery = Store(*[_client_error("SlowDown")] * 9), Delivery(attempts)
    handler = make(store)
    _others_are_stored(handler)
    handler.handle(delivery)
    assert store.calls == TRIES
    assert handler._receiver.released == [(delivery, delay)]
    (event,) = audit()
    assert (event.kind, event.reason, event.attempts) == ("failed", "aws_SlowDown", attempts)


def test_a_short_failure_costs_no_delivery(make, audit):
    store, delivery = Store(_client_error("SlowDown"), _client_error("SlowDown")), Delivery()
    handler = make(store)
    _others_are_stored(handler)
    handler.handle(delivery)
    assert handler.acknowledged == [delivery]
    assert handler.counts.failed == 0


def test_a_storage_that_refuses_everything_does_not_fill_the_dead_letter_queue(make, audit):
    """The cause may be a bucket policy, which an operator can fix."""
    handler = make(Store(*[_client_error("AccessDenied")] * 20))
    deliveries = [Delivery() for _ in range(8)]
    for delivery in deliveries:
        handler.handle(delivery)
    delays = [delay for _, delay in handler._receiver.released]
    assert delays[: OUTAGE_FAILURES - 1] == [POISON_RETRY_SECONDS] * 4
    assert delays[OUTAGE_FAILURES - 1 :] == [30] * 4


def test_a_bug_delays_a_message(make, audit, caplog):
    delivery = Delivery(attempts=2)
    handler = make(Store(RuntimeError("a bug")))
    handler.handle(delivery)
    assert "message_failed_unexpectedly" in caplog.text
    assert handler._receiver.released == [(delivery, 60)]
    (event,) = audit()
    assert (event.kind, event.reason) == ("failed", "internal_error")


def test_a_stop_releases_messages_that_wait(make, audit):
    stopping = threading.Event()

    def store(key, body):
        stopping.set()
        raise StorageUnreachable

    delivery = Delivery()
    handler = make(store, is_stopping=stopping.is_set)
    handler.handle(delivery)
    assert handler._receiver.released == [(delivery, 0)]
    assert handler.counts.as_dict() == {"received": 0, "stored": 0, "failed": 0, "released": 1}
    assert audit() == []


def test_refusals_and_failures_are_distinguished():
    assert all(map(is_refusal, REFUSALS))
    assert not any(map(is_refusal, FAILURES))


def test_it_beats_while_it_waits(make, audit, monkeypatch):
    beats = []
    monkeypatch.setattr(
        storage_outage.StorageOutage,
        "wait",
        lambda self, seconds, *, is_stopping, beat: beats.append(beat) or True,
    )
    make(Store(StorageUnreachable(), StorageUnreachable())).handle(Delivery())
    assert len(beats) == 2
