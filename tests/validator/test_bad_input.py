"""Each kind of bad input gets its documented answer, and none reaches the queue."""

import json

import pytest

from tests import factories
from tests.factories import ALICE, envelope, fields
from validator import metrics, tokens


def _with(**changes):
    return json.dumps(envelope(data=fields(**changes))).encode()


def _without(*names):
    return json.dumps(
        envelope(data={name: text for name, text in fields().items() if name not in names})
    ).encode()


def _raw(data):
    return f'{{"token": "{ALICE}", "data": {data}}}'.encode()


FOUR = ", ".join(f'"field{number}": "x"' for number in range(1, 5))

MALFORMED = {
    "not JSON": b"hello",
    "cut off": b'{"token": "x"',
    "white space": b"  ",
    "trailing text": json.dumps(envelope()).encode() + b"x",
    "invalid UTF-8": b'{"token": "\xff\xfe"}',
    "UTF-16": json.dumps(envelope()).encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(envelope()).encode(),
    "NaN": _raw('{"field1": NaN}'),
    "Infinity": _raw('{"field1": -Infinity}'),
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000,
    "a number too long": b"9" * 10_000,
    "duplicate token": b'{"token": "a", "token": "b", "data": {}}',
    "duplicate field": _raw('{"field1": "a", "field1": "b"}'),
    "single quotes": b"{'token': 'x'}",
    "raw control character": _raw('{"field1": "a\nb"}'),
}

NOT_AN_OBJECT = {
    "list": b"[]",
    "list of messages": json.dumps([envelope()]).encode(),
    "text": b'"text"',
    "number": b"1",
    "null": b"null",
    "true": b"true",
}

TOKENS = {
    "missing": ({"data": fields()}, "token_missing"),
    "empty object": ({}, "token_missing"),
    "unknown": (envelope(token="not-a-token"), "token_unknown"),
    "empty": (envelope(token=""), "token_unknown"),
    "number": (envelope(token=1), "token_unknown"),
    "null": (envelope(token=None), "token_missing"),  # what some libraries write for "not set"
    "list": (envelope(token=[ALICE]), "token_unknown"),
    "object": (envelope(token={"a": ALICE}), "token_unknown"),
    "true": (envelope(token=True), "token_unknown"),
    "with a space": (envelope(token=ALICE + " "), "token_unknown"),
    "with NUL": (envelope(token=ALICE + "\x00"), "token_unknown"),
    "lone surrogate": (envelope(token="\ud800"), "token_unknown"),
    "very long": (envelope(token="x" * 100_000), "token_unknown"),
    "unknown, and data broken": ({"token": "not-a-token", "data": 7, "x": 1}, "token_unknown"),
}

CONTRACT = {
    "missing data": (json.dumps({"token": ALICE}).encode(), {"data": "required"}),
    "null data": (_raw("null"), {"data": "null"}),
    "data is a list": (_raw("[]"), {"data": "invalid"}),
    "data is text": (_raw('"x"'), {"data": "invalid"}),
    "no field": (_raw("{}"), {f"data.field{number}": "required" for number in range(1, 5)}),
    "three fields": (_without("field4"), {"data.field4": "required"}),
    "five fields": (_with(field9="x"), {"data.field9": "unknown"}),
    "a field named differently": (
        json.dumps(envelope(data={"Field1": "x"} | fields())).encode(),
        {"data.Field1": "unknown"},
    ),
    "an unknown field beside data": (
        json.dumps(envelope(extra=1)).encode(),
        {"extra": "unknown"},
    ),
    "blank": (_with(field2=""), {"data.field2": "blank"}),
    "white space only": (_with(field2=" \t\n\u3000"), {"data.field2": "blank"}),
    "number": (_with(field2=7), {"data.field2": "invalid"}),
    "float": (_with(field2=1.5), {"data.field2": "invalid"}),
    "boolean": (_with(field2=True), {"data.field2": "invalid"}),
    "null": (_with(field2=None), {"data.field2": "null"}),
    "list": (_with(field2=["x"]), {"data.field2": "invalid"}),
    "nested object": (_with(field2={"a": "b"}), {"data.field2": "invalid"}),
    "over-long": (_with(field2="x" * 65_537), {"data.field2": "max_length"}),
    "NUL": (_with(field2="a\x00b"), {"data.field2": "null_characters_not_allowed"}),
    "lone surrogate": (
        _with(field2="\ud800"),
        {"data.field2": "surrogate_characters_not_allowed"},
    ),
    "two fields wrong": (
        _with(field1=1, field4=""),
        {"data.field1": "invalid", "data.field4": "blank"},
    ),
    "wrong and unknown": (
        _with(field1=1, field9="x"),
        {"data.field1": "invalid", "data.field9": "unknown"},
    ),
}


@pytest.fixture(autouse=True)
def _nothing_is_queued(queue, settings):
    settings.THROTTLE_REFUSED_RATE = None
    yield
    assert queue.bodies() == []


def post(client, body, **extra):
    return client.post("/", body, content_type="application/json", **extra)


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(client, body, audit):
    answer = post(client, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")
    assert answer.json().keys() == {"code", "detail"}
    (event,) = audit()
    assert (event.kind, event.reason, event.client) == ("refused", "malformed_json", "")


@pytest.mark.parametrize("body", NOT_AN_OBJECT.values(), ids=NOT_AN_OBJECT.keys())
def test_not_an_object(client, body):
    answer = post(client, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "not_an_object")


@pytest.mark.parametrize(("payload", "code"), TOKENS.values(), ids=TOKENS.keys())
def test_tokens(client, payload, code, audit):
    answer = post(client, json.dumps(payload))
    assert answer.status_code == 401
    assert answer.json().keys() == {"code", "detail"}  # no hints about the contract
    assert answer.json()["code"] == code
    assert answer["WWW-Authenticate"].startswith('Bearer realm="cpsite"')
    (event,) = audit()
    assert (event.kind, event.reason, event.client) == ("refused", code, "")


@pytest.mark.parametrize("header", ["Bearer nobody-knows", "Bearer", "Bearer  "])
def test_an_unknown_bearer_token_is_refused_before_the_body_is_read(client, header):
    answer = post(client, b"not even JSON", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "token_unknown")


def test_an_empty_body_has_no_token(client):
    answer = client.generic("POST", "/", CONTENT_TYPE="application/json", CONTENT_LENGTH="0")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_missing")


def test_other_authorization_schemes_are_no_token(client):
    answer = post(
        client, json.dumps({"data": fields()}), headers={"Authorization": f"Basic {ALICE}"}
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "token_missing")


@pytest.mark.parametrize(("body", "errors"), CONTRACT.values(), ids=CONTRACT.keys())
def test_contract(client, body, errors, audit):
    answer = post(client, body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "contract_broken"
    found = {name: each[0]["code"] for name, each in answer.json()["errors"].items()}
    assert found == errors
    (event,) = audit()
    assert (event.kind, event.client) == ("refused", "alice")
    assert event.reason in {f"contract_{code}" for code in errors.values()}


def test_an_answer_names_only_some_of_many_unknown_fields(client):
    many = {f"extra{number}": "x" for number in range(5_000)}
    answer = post(client, json.dumps(envelope(data=fields() | many)))
    assert len(answer.json()["errors"]) == 5


def test_a_body_over_the_limit(client, settings, audit):
    answer = post(client, b"x" * (settings.MAX_BODY_BYTES + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert str(settings.MAX_BODY_BYTES) in answer.json()["detail"]
    assert audit()[0].reason == "body_too_large"


def test_a_chunked_body_without_length(client):
    answer = client.generic("POST", "/", CONTENT_TYPE="application/json", CONTENT_LENGTH="")
    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/json-patch+json",
        "application",
        "",
    ],
)
def test_a_wrong_content_type(client, content_type):
    answer = client.generic("POST", "/", json.dumps(envelope()), content_type=content_type)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


#: What the head of a request rules out, before its token is looked at.
RULED_OUT = {
    "a wrong content type": ({"CONTENT_TYPE": "text/plain"}, 415, "unsupported_media_type"),
    "a compressed body": ({"HTTP_CONTENT_ENCODING": "gzip"}, 415, "unsupported_media_type"),
    "a wrong Accept": ({"HTTP_ACCEPT": "text/csv"}, 406, "not_acceptable"),
    "too large a body": ({"CONTENT_LENGTH": "999999999"}, 413, "body_too_large"),
    "no length": ({"CONTENT_LENGTH": ""}, 411, "length_required"),
}


@pytest.mark.parametrize(("token", "of"), [(ALICE, "alice"), ("nobody-knows", ""), ("", "")])
@pytest.mark.parametrize(("head", "status", "code"), RULED_OUT.values(), ids=RULED_OUT.keys())
def test_what_the_head_rules_out_is_recorded_with_the_client_of_the_headers_token(
    client, audit, caplog, head, status, code, token, of
):
    caplog.set_level("INFO")
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {token}"} if token else {}
    head = {"CONTENT_TYPE": "application/json"} | bearer | head
    answer = client.generic("POST", "/", b"body", **head)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    (event,) = audit()
    assert (event.kind, event.reason, event.client) == ("refused", code, of)
    (line,) = [each for each in caplog.records if each.msg == "message_refused"]
    assert line.client == (of or None)
    assert not token or token not in f"{vars(line)} {vars(event)}"


def test_an_unknown_token_is_looked_at_once(client):
    before = metrics.tokens_total.labels("unknown")._value.get()
    post(client, b"{}", headers={"Authorization": "Bearer nobody-knows"})
    assert metrics.tokens_total.labels("unknown")._value.get() == before + 1


def test_without_tokens_what_the_head_rules_out_is_answered_the_same(client, audit, monkeypatch):
    def unavailable(_token):
        raise tokens.TokensUnavailable

    monkeypatch.setattr(tokens, "owner_of", unavailable)
    answer = client.post(
        "/", "x", content_type="text/plain", headers={"Authorization": f"Bearer {ALICE}"}
    )
    assert answer.status_code == 415
    assert audit()[0].client == ""


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_wrong_method(client, method):
    answer = client.generic(method, "/", json.dumps(envelope()), content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in answer["Allow"]


def test_a_body_that_ends_early(client, monkeypatch):
    def fail(self, *args, **kwargs):
        raise OSError("connection reset")

    monkeypatch.setattr("django.core.handlers.wsgi.LimitedStream.read", fail)
    answer = post(client, json.dumps(envelope()))
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


def test_refusals_have_a_log_line_without_content(client, caplog):
    caplog.set_level("DEBUG")
    post(client, json.dumps(envelope(token="guessed-token", data=fields(field1="private"))))
    post(client, _with(field1="private", field9="private"))
    lines = [record for record in caplog.records if record.getMessage() == "message_refused"]
    assert [line.reason for line in lines] == ["token_unknown", "contract_unknown"]
    everything = " ".join(str(vars(record)) for record in caplog.records)
    assert "guessed-token" not in everything
    assert "private" not in everything
    assert factories.ALICE not in everything


def test_an_unknown_field_with_half_a_character_for_a_name_is_a_400(client, queue):
    body = '{"token": "alice-token-1", "data": {"field1": "a", "x\\ud800": 1}}'
    answer = client.post("/", body, content_type="application/json")
    assert answer.status_code == 400
    assert "data.x\\ud800" in answer.json()["errors"]
