"""Programs are served without DRF's request handling. The answers must be the same as with it."""

import json

import pytest

from tests import factories
from validator import views

BODIES = {
    "a good one": json.dumps(factories.envelope()),
    "no token": json.dumps({"data": factories.fields()}),
    "wrong token": json.dumps(factories.envelope(token="nobodys")),
    "a field missing": json.dumps(factories.envelope(data={"field1": "x"})),
    "a field too many": json.dumps(factories.envelope(data=factories.fields(field9="x"))),
    "not JSON": "{",
    "a list": "[]",
    "empty": "",
}


def _answers(client, monkeypatch, **request):
    """Return the answer without DRF's request handling, and the one with it."""
    straight = client.post("/", **request)
    monkeypatch.setattr(views, "PLAIN_ACCEPT", set())
    return straight, client.post("/", **request)


def _without_ids(answer):
    body = answer.json()
    body.pop("message_id", None)
    # DRF adds Allow to each answer. Only a 405 must have it (RFC 9110, section 15.5.6).
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name not in {"X-Request-ID", "Allow"}
    }
    return answer.status_code, body, headers


@pytest.mark.parametrize("accept", sorted(views.PLAIN_ACCEPT))
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_both_ways_answer_the_same(client, queue, monkeypatch, audit, body, accept):
    straight, drf = _answers(
        client,
        monkeypatch,
        data=body,
        content_type="application/json",
        headers={"accept": accept} if accept else {},
    )
    assert _without_ids(straight) == _without_ids(drf)
    first, second = audit()
    assert (first.kind, first.reason, first.client) == (second.kind, second.reason, second.client)


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": ""},
        {"content-type": "application/json; charset=utf-8"},
        {"content-type": "application/json", "authorization": f"Bearer {factories.ALICE}"},
        {"content-type": "application/json", "authorization": f"Bearer {factories.BOB}"},
        {"content-type": "application/json", "authorization": "Bearer nobodys"},
    ],
    ids=str,
)
def test_headers_mean_the_same_both_ways(client, queue, monkeypatch, headers):
    content_type = headers.pop("content-type")
    straight, drf = _answers(
        client,
        monkeypatch,
        data=BODIES["a good one"],
        content_type=content_type,
        headers=headers,
    )
    assert _without_ids(straight) == _without_ids(drf)


def test_an_unexpected_error_is_a_500_without_details(client, monkeypatch, audit):
    def fail(body):
        raise RuntimeError("private words")

    monkeypatch.setattr(views, "publish_message", fail)
    straight, drf = _answers(
        client, monkeypatch, data=BODIES["a good one"], content_type="application/json"
    )
    assert straight.status_code == 500
    assert _without_ids(straight) == _without_ids(drf)


def test_fields_keep_nothing_of_a_request(client, queue):
    """All requests share the serializer's fields."""
    wrong = json.dumps(factories.envelope(data=factories.fields(field2=7)))
    for _ in range(3):
        answer = client.post("/", wrong, content_type="application/json")
        assert list(answer.json()["errors"]) == ["data.field2"]
        good = client.post("/", BODIES["a good one"], content_type="application/json")
        assert good.status_code == 202


def test_the_limit_of_a_field_follows_the_settings(client, queue, settings):
    body = json.dumps(factories.envelope(data=factories.fields(field1="x" * 20)))
    for limit, status in ((10, 400), (20, 202), (19, 400)):
        settings.MAX_FIELD_LENGTH = limit
        assert client.post("/", body, content_type="application/json").status_code == status
