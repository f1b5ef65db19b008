"""What is recorded of each request: the audit event, the log line and the metrics, in full."""

import uuid
from hashlib import sha256

import pytest
from rest_framework.exceptions import ErrorDetail, Throttled, ValidationError

from tests import factories
from tests.logged import lines_of
from tests.recorded import facts
from validator import accounting, metrics
from validator.exceptions import QueueUnavailable, TokenUnknown

ID = "6b1f1d5e-0000-4000-8000-000000000001"
REFUSED = {"client": "alice", "source_ip": "192.0.2.7", "duration_ms": 12, "message_id": None}


@pytest.fixture
def recorded(monkeypatch, caplog):
    caplog.set_level("INFO")
    events = []
    monkeypatch.setattr(accounting.recorder, "record", events.append)
    return events


def count(result):
    return metrics.messages_total.labels(result)._value.get()


def test_an_accepted_message(recorded, caplog):
    before, message = count("accepted"), factories.message()
    accounting.accepted(message, "é on the queue", source_ip="192.0.2.7", duration_ms=12)
    (event,) = recorded
    assert facts(event) == {
        "kind": "accepted",
        "message_id": uuid.UUID(ID),
        "client": "alice",
        "source_ip": "192.0.2.7",
        "payload_sha256": sha256("é on the queue".encode()).hexdigest(),
        "accepted_at": message.accepted_at,
        "duration_ms": 12,
    }
    assert event.occurred_at == message.accepted_at
    fields = {"message_id": ID, "client": "alice", "duration_ms": 12}
    assert lines_of(caplog) == [("INFO", "message_accepted", fields)]
    assert count("accepted") == before + 1


def test_a_repeated_request_has_no_event_of_its_own(recorded, caplog):
    before = count("repeated")
    accounting.repeated(factories.message(), duration_ms=12)
    fields = {"message_id": ID, "client": "alice", "duration_ms": 12}
    assert lines_of(caplog) == [("INFO", "message_repeated", fields)]
    assert not recorded
    assert count("repeated") == before + 1


def test_a_refused_request(recorded, caplog):
    before = count("token_unknown")
    accounting.refused(TokenUnknown(), **REFUSED | {"client": ""})
    (event,) = recorded
    assert facts(event) == {
        "kind": "refused",
        "source_ip": "192.0.2.7",
        "reason": "token_unknown",
        "duration_ms": 12,
    }
    fields = {
        "reason": "token_unknown",
        "fields_at_fault": None,
        "client": None,
        "source_ip": "192.0.2.7",
        "duration_ms": 12,
        "message_id": None,
        "cause": None,
    }
    assert lines_of(caplog) == [("INFO", "message_refused", fields)]
    assert count("token_unknown") == before + 1


def test_a_refusal_after_the_message_was_sent_has_its_id_and_cause(recorded, caplog):
    exc = QueueUnavailable()
    exc.__cause__ = ConnectionResetError()
    accounting.refused(exc, **REFUSED | {"message_id": uuid.UUID(ID)})
    (event,) = recorded
    assert (event.message_id, event.client) == (uuid.UUID(ID), "alice")
    ((_, _, fields),) = lines_of(caplog)
    assert (fields["message_id"], fields["client"]) == (ID, "alice")
    assert fields["cause"] == "ConnectionResetError"


def test_an_unexpected_error_is_counted_as_one(recorded):
    before = count("internal_error")
    accounting.refused(RuntimeError("private"), **REFUSED)
    (event,) = recorded
    assert event.reason == "internal_error"
    assert count("internal_error") == before + 1


def test_a_broken_contract_has_the_first_errors_code(recorded):
    broken = metrics.contract_errors_total.labels("blank")._value
    before = count("contract_broken"), broken.get()
    errors = {"data": {"field1": [ErrorDetail("private", code="blank")]}}
    accounting.refused(ValidationError(errors), **REFUSED, fields_at_fault="data.field1")
    (event,) = recorded
    assert (event.reason, event.fields_at_fault) == ("contract_blank", "data.field1")
    assert (count("contract_broken"), broken.get()) == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize(("client", "lines"), [("", 0), ("alice", 1)])
def test_a_throttled_request_is_counted_and_logged_for_a_client_alone(
    recorded, caplog, client, lines
):
    before = count("throttled")
    accounting.refused(Throttled(), **REFUSED | {"client": client})
    assert len(caplog.records) == lines
    assert not recorded
    assert count("throttled") == before + 1


def test_a_refused_question_for_a_status_has_an_event_alone(recorded, caplog):
    before = count("token_unknown")
    accounting.status_refused(TokenUnknown(), source_ip="192.0.2.7", duration_ms=12)
    (event,) = recorded
    assert facts(event) == {
        "kind": "refused",
        "source_ip": "192.0.2.7",
        "reason": "token_unknown",
        "duration_ms": 12,
    }
    assert not caplog.records
    assert count("token_unknown") == before
