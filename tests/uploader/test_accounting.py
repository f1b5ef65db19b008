"""What is recorded of each delivery: the audit event, the log line and the metrics, in full."""

import uuid
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from tests import factories
from tests.logged import lines_of
from tests.recorded import facts
from uploader import accounting, metrics
from uploader.layouts import Part

ID = "6b1f1d5e-0000-4000-8000-000000000001"


class Delivery:
    body = b"the stored bytes"
    attempts = 3
    sqs_message_id = "m-1"


@pytest.fixture
def recorded(monkeypatch, caplog):
    caplog.set_level("INFO")
    events = []
    monkeypatch.setattr(accounting.recorder, "record", events.append)
    return events


def ages():
    """Return how many ages were observed, and their sum in seconds."""
    samples = {sample.name: sample.value for sample in _family(metrics.message_age_seconds)}
    name = "uploader_message_age_seconds"
    return samples[f"{name}_count"], samples[f"{name}_sum"]


def _family(metric):
    (family,) = metric.collect()
    return family.samples


def count(result):
    return metrics.messages_total.labels(result)._value.get()


def part(accepted_at):
    return Part(Delivery(), factories.message(accepted_at=accepted_at))


@pytest.fixture
def now(monkeypatch):
    moment = datetime(2026, 11, 24, 12, tzinfo=UTC)
    monkeypatch.setattr(accounting, "now", lambda: moment)
    return moment


def test_a_stored_message(recorded, caplog, now):
    before, (number, total) = count("stored"), ages()
    accepted_at = now - timedelta(seconds=2.5)
    accounting.stored(part(accepted_at), key="messages/x.json", duration=0.0427, log=True)
    (event,) = recorded
    assert facts(event) == {
        "kind": "stored",
        "message_id": uuid.UUID(ID),
        "client": "alice",
        "object_key": "messages/x.json",
        "payload_sha256": sha256(b"the stored bytes").hexdigest(),
        "accepted_at": accepted_at,
        "attempts": 3,
        "duration_ms": 43,
    }
    fields = {
        "message_id": ID,
        "client": "alice",
        "object_key": "messages/x.json",
        "attempts": 3,
        "duration_ms": 43,
        "age_ms": 2500,
    }
    assert lines_of(caplog) == [("INFO", "message_stored", fields)]
    assert count("stored") == before + 1
    assert ages() == (number + 1, pytest.approx(total + 2.5))


def test_a_message_from_a_host_whose_clock_is_ahead_has_no_age(recorded, now):
    number, total = ages()
    accounting.stored(part(now + timedelta(seconds=9)), key="k", duration=0, log=True)
    assert ages() == (number + 1, total)


def test_a_batch_has_one_line_for_all_its_messages(recorded, caplog, now):
    accounting.stored(part(now), key="messages/x.ndjson.gz", duration=0.02, log=False)
    accounting.batch_stored(key="messages/x.ndjson.gz", messages=7, size=123, duration=0.0427)
    assert len(recorded) == 1
    fields = {"object_key": "messages/x.ndjson.gz", "messages": 7, "bytes": 123, "duration_ms": 43}
    assert lines_of(caplog) == [("INFO", "batch_stored", fields)]


@pytest.mark.parametrize("is_foreign", [False, True])
def test_a_failed_message(recorded, caplog, is_foreign):
    result, message = "undecodable" if is_foreign else "failed", factories.message()
    before = count(result)
    accounting.failed(
        Delivery(), None if is_foreign else message, reason="r" * 70, retry_in_seconds=60
    )
    (event,) = recorded
    of_message = {
        "message_id": uuid.UUID(ID),
        "client": "alice",
        "accepted_at": message.accepted_at,
    }
    assert facts(event) == {
        "kind": "failed",
        "reason": "r" * 64,  # as much as the column holds
        "attempts": 3,
        **({"sqs_message_id": "m-1"} if is_foreign else of_message),
    }
    fields = {
        "message_id": None if is_foreign else ID,
        "sqs_message_id": "m-1",
        "reason": "r" * 70,
        "attempts": 3,
        "retry_in_seconds": 60,
    }
    assert lines_of(caplog) == [("WARNING", "message_failed", fields)]
    assert count(result) == before + 1
    accounting.failed_again(None if is_foreign else message)
    assert count(result) == before + 2
    assert len(recorded) == len(caplog.records) == 1
