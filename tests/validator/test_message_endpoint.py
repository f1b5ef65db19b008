import gc
import json
import logging
import uuid
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from cpsite.json_text import Document
from cpsite.message import Message
from tests import factories
from validator import metrics, views


def post(client, payload=None, **extra):
    body = factories.envelope() if payload is None else payload
    return client.post("/", json.dumps(body), content_type="application/json", **extra)


def _published(queue):
    return [json.loads(body)["body"] for body in queue.bodies()]


def test_a_good_message_is_queued(client, queue):
    answer = post(client)
    assert answer.status_code == 202
    assert answer.json().keys() == {"message_id", "status"}
    assert answer.json()["status"] == "queued"
    (body,) = _published(queue)
    message = Message.decode(body.encode())
    assert str(message.message_id) == answer.json()["message_id"]
    assert message.client == "alice"
    assert message.data == factories.fields()
    assert (datetime.now(UTC) - message.accepted_at).total_seconds() < 60


@pytest.mark.parametrize("accept", ["*/*", "application/json;q=1", "text/html"])
def test_nothing_holds_the_parsed_body_while_sqs_takes_its_time(client, queue, monkeypatch, accept):
    """It may be 25 times as long as the body, and hundreds of requests may wait for SQS."""
    publish, held = views.publish_message, []

    def publish_message(body):
        held.extend(each for each in gc.get_objects() if type(each) is Document)
        publish(body)

    monkeypatch.setattr(views, "publish_message", publish_message)
    assert post(client, headers={"Accept": accept}).status_code == 202
    assert held == []


def test_the_fields_arrive_unchanged(client, queue):
    data = {
        "field1": "  spaces around  ",
        "field2": 'quotes " backslash \\ tab \t newline \n',
        "field3": "control \x01\x1f delete \x7f, line separator \u2028",
        "field4": "ünïcödé 漢字 😀 \u200f",
    }
    post(client, factories.envelope(data=data))
    (body,) = _published(queue)
    assert json.loads(body)["data"] == data


def test_the_token_is_nowhere_in_what_is_published(client, queue):
    post(client)
    assert not any(factories.ALICE in body for body in queue.bodies())


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_may_come_as_a_bearer_token(client, queue, scheme):
    payload = {"data": factories.fields()}
    answer = post(client, payload, headers={"Authorization": f"{scheme} {factories.BOB}"})
    assert answer.status_code == 202
    assert Message.decode(_published(queue)[0].encode()).client == "bob"


def test_both_tokens_must_be_of_the_same_client(client, queue):
    same = post(client, headers={"Authorization": f"Bearer {factories.ALICE_NEXT}"})
    assert same.status_code == 202
    other = post(client, headers={"Authorization": f"Bearer {factories.BOB}"})
    assert (other.status_code, other.json()["code"]) == (401, "token_unknown")


def test_a_charset_beside_the_content_type_is_fine(client, queue):
    answer = client.post("/", factories.envelope(), content_type="application/json; charset=utf-8")
    assert answer.status_code == 202


def test_the_longest_possible_message_fits_into_sqs(client, queue, settings):
    # Two-byte characters grow most when encoded for SQS: 2 bytes become 6.
    overhead = len(
        json.dumps(factories.envelope(data=factories.fields()), ensure_ascii=False).encode()
    )
    settings.MAX_FIELD_LENGTH = settings.MAX_BODY_BYTES
    text = "é" * ((settings.MAX_BODY_BYTES - overhead) // 2)
    payload = factories.envelope(data=factories.fields(field1=text))
    raw = json.dumps(payload, ensure_ascii=False).encode()
    assert len(raw) <= settings.MAX_BODY_BYTES
    answer = client.post("/", raw, content_type="application/json")
    assert answer.status_code == 202
    (wire,) = queue.bodies()
    assert 900_000 < len(wire) < 1_048_576


def test_a_message_that_grows_too_long_on_the_queue_is_a_413(client, queue, audit):
    # DEL grows most of all characters: it is one byte in a body and six on the queue.
    data = dict.fromkeys(factories.fields(), "\x7f" * 65_536)
    raw = json.dumps(factories.envelope(data=data), ensure_ascii=False)
    answer = client.post("/", raw, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (413, "message_too_large")
    assert audit()[0].reason == "message_too_large"
    assert queue.bodies() == []


@pytest.mark.parametrize(
    ("token", "result"),
    [(factories.ALICE, "valid"), ("wrong-token", "unknown"), (None, "missing")],
)
def test_each_request_checks_its_token_once(client, queue, token, result):
    counter = metrics.tokens_total.labels(result)
    before = counter._value.get()
    payload = factories.envelope(token=token)
    if token is None:
        del payload["token"]
    post(client, payload)
    assert counter._value.get() == before + 1


def test_acceptance_is_audited(client, queue, audit):
    answer = post(client, REMOTE_ADDR="192.0.2.7")
    (event,) = audit()
    assert event.kind == "accepted"
    assert str(event.message_id) == answer.json()["message_id"]
    assert (event.client, event.source_ip, event.reason) == ("alice", "192.0.2.7", "")
    assert event.accepted_at == event.occurred_at
    assert len(event.payload_sha256) == 64
    assert event.duration_ms >= 0


@pytest.mark.parametrize("accept", ["*/*", "application/json;q=0.9"])  # without DRF, and with it
@pytest.mark.parametrize("token", [factories.ALICE, "wrong-token"])
def test_events_have_the_milliseconds_of_the_request(
    client, queue, audit, monkeypatch, accept, token
):
    seconds = iter([100.0, 100.25])
    monkeypatch.setattr(views, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    post(client, factories.envelope(token=token), headers={"accept": accept})
    assert audit()[0].duration_ms == 250


def test_acceptance_has_a_log_line_without_token_or_content(client, queue, caplog):
    caplog.set_level(logging.DEBUG)
    answer = post(client)
    (line,) = [record for record in caplog.records if record.getMessage() == "message_accepted"]
    assert line.message_id == answer.json()["message_id"]
    everything = " ".join(str(vars(record)) for record in caplog.records)
    assert factories.ALICE not in everything
    assert "trois" not in everything


def test_results_are_counted(client, queue):
    accepted = metrics.messages_total.labels("accepted")._value.get()
    unknown = metrics.messages_total.labels("token_unknown")._value.get()
    post(client)
    post(client, factories.envelope(token="wrong-token"))
    assert metrics.messages_total.labels("accepted")._value.get() == accepted + 1
    assert metrics.messages_total.labels("token_unknown")._value.get() == unknown + 1


def test_get_describes_the_service_to_json_clients(client, settings):
    answer = client.get("/", headers={"accept": "application/json"})
    assert answer.status_code == 200
    assert answer.json() == {
        "service": "cpsite",
        "send": "POST / with a JSON object of token and data",
        "contract": "message",
        "fields": ["field1", "field2", "field3", "field4"],
        "example": '{"field1":"a","field2":"b","field3":"c","field4":"d"}',
        "max_field_length": settings.MAX_FIELD_LENGTH,
        "max_body_bytes": settings.MAX_BODY_BYTES,
    }


def test_message_ids_are_uuids(client, queue):
    assert uuid.UUID(post(client).json()["message_id"]).version == 4


def test_an_unexpected_error_is_a_500_without_details(client, queue, monkeypatch, audit, caplog):
    def crash(body):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("validator.views.publish_message", crash)
    answer = post(client)
    assert answer.status_code == 500
    assert answer.json() == {
        "code": "internal_error",
        "detail": "Something went wrong on our side.",
    }
    assert "request_failed" in caplog.text
    (event,) = audit()
    assert (event.kind, event.reason) == ("refused", "internal_error")
