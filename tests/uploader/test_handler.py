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
from tests.logged import lines_of
from uploader import storage_outage
from uploader.handler import POISON_RETRY_SECONDS, TRIES, Handler
from uploader.heartbeat import Heartbeat
from uploader.storage_errors import Action, action


def _client_error(code):
    return ClientError({"Error": {"Code": code}}, "PutObject")


REFUSALS = [_client_error("EntityTooLarge"), _client_error("MaxMessageLengthExceeded")]
FAILURES = [
    _client_error("SlowDown"),
    _client_error("InternalError"),
    _client_error("503"),
    _client_error("ExpiredToken"),
    _client_error("NoSuchBucket"),
    _client_error("AccessDenied"),
    _client_error("KMS.DisabledException"),
    _client_error("403"),
    _client_error("NobodyKnowsThisCode"),
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
    assert caplog.text.count("write_failed") == 1
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


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidRequest", "413"])
def test_an_object_that_alone_is_denied_is_put_off_as_soon_as_another_is_stored(make, audit, code):
    store, delivery = Store(_client_error(code)), Delivery()
    handler = make(store)
    _others_are_stored(handler)
    handler.handle(delivery)
    assert store.calls == 1
    assert handler._receiver.released == [(delivery, 30)]
    (event,) = audit()
    assert (event.kind, event.reason) == ("failed", f"aws_{code}")


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


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("KMS.DisabledException", Action.WAIT),
        ("KMS.SomethingNew", Action.WAIT),
        ("SlowDown", Action.WAIT),
        ("RequestTimeTooSkewed", Action.WAIT),
        ("InvalidAccessKeyId", Action.WAIT),
        ("ExpiredToken", Action.WAIT),
        ("AccessDenied", Action.PUT_OFF),
        ("QuotaExceeded", Action.WAIT),
        ("NoSuchBucket", Action.WAIT),
        ("PermanentRedirect", Action.WAIT),
        *[(status, Action.WAIT) for status in ("301", "400", "403", "404", "409", "429", "507")],
        ("EntityTooLarge", Action.REFUSE),
    ],
)
def test_what_each_code_means_for_the_message(code, expected):
    assert action(_client_error(code)) is expected


def test_no_status_alone_refuses_a_message():
    """It may be of a proxy. A refusal must be about this object."""
    assert Action.REFUSE not in {action(_client_error(str(status))) for status in range(300, 600)}


def test_it_beats_while_it_waits(make, audit, monkeypatch):
    beats = []
    monkeypatch.setattr(
        storage_outage.StorageOutage,
        "wait",
        lambda self, seconds, *, is_stopping, beat: beats.append(beat) or True,
    )
    make(Store(StorageUnreachable(), StorageUnreachable())).handle(Delivery())
    assert len(beats) == 2


@pytest.mark.parametrize("kind", ["undecodable", "refused"])
def test_poison_on_a_queue_without_dead_letters_comes_back_ever_more_rarely(
    make, audit, caplog, kind
):
    """It comes back until the queue's retention is over. It is recorded once."""
    refused = kind == "refused"
    handler = make(Store(*[_client_error("EntityTooLarge")] * 40), has_dead_letters=lambda: False)
    for attempts in range(1, 31):
        handler.handle(Delivery(attempts, None if refused else b"foreign"))
    delays = [delay for _, delay in handler._receiver.released]
    assert delays[:4] == [5, 10, 20, 40]
    assert delays[-1] == 3600
    assert delays == sorted(delays)
    assert [event.kind for event in audit()] == ["failed"]
    assert caplog.text.count("message_failed") == 1
    assert caplog.text.count("message_undecodable") == (not refused)
    assert handler.counts.failed == 30


class AwayQueue(Queue):
    """A fake receiver whose SQS is unavailable."""

    def release(self, deliveries, *, delay_seconds):
        super().release(deliveries, delay_seconds=delay_seconds)
        raise EndpointConnectionError(endpoint_url="http://sqs")


@pytest.mark.parametrize(("is_stopping", "calls"), [(False, 2), (True, 1)])
def test_a_release_that_fails_is_logged_and_not_tried_for_each_message_of_a_stop(
    make, audit, caplog, is_stopping, calls
):
    handler = make(Store(), receiver=AwayQueue(), is_stopping=lambda: is_stopping)
    handler.release([Delivery()])
    handler.release([Delivery()])
    assert len(handler._receiver.released) == calls
    fields = {"error": "EndpointConnectionError", "times": 1}
    assert lines_of(caplog) == [("WARNING", "release_failed", fields)]
    assert handler.counts.released == 2


def test_nothing_to_release_asks_sqs_for_nothing(make, audit):
    handler = make(Store(), receiver=AwayQueue())
    handler.release([])
    assert not handler._receiver.released


def test_a_write_that_fails_says_what_it_is_about(make, audit, caplog):
    make(Store(_client_error("SlowDown"))).handle(Delivery())
    fields = {
        "error": "aws_SlowDown",
        "times": 1,
        "object_key": "messages/2026/11/23/6b1f1d5e-0000-4000-8000-000000000001.json",
        "tries": 1,
    }
    assert ("WARNING", "write_failed", fields) in lines_of(caplog)


@pytest.mark.parametrize(
    ("undecodable", "error"),
    [(None, "JSONDecodeError"), ("KeyError", "unreadable envelope (KeyError)")],
)
def test_what_cannot_be_decoded_is_logged_with_the_kind_of_error_once(
    make, audit, caplog, undecodable, error
):
    handler = make(Store())
    for attempts in (1, 2):
        delivery = Delivery(attempts, b"private")
        delivery.undecodable = undecodable
        handler.handle(delivery)
    lines = [fields for _, event, fields in lines_of(caplog) if event == "message_undecodable"]
    assert lines == [{"error": error}]


def test_only_so_many_messages_without_dead_letters_are_remembered(make, audit, monkeypatch):
    monkeypatch.setattr("uploader.handler.REMEMBERED", 2)
    handler = make(Store(), has_dead_letters=lambda: False)
    # The second one is the oldest once the first has come again.
    found = [handler._remember(each) for each in ["one", "two", "one", "three", "one", "two"]]
    assert found == [True, True, False, True, False, True]
