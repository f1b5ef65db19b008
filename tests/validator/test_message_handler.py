"""A message goes past the middleware of pages, and its answer is the same all the same."""

import json
import re

import pytest
from prometheus_client import REGISTRY
from werkzeug.test import Client

from cpsite.web.wsgi_handler import Handler
from tests import factories
from validator.message_handler import MessageHandler
from validator.views import MessageView

pytestmark = pytest.mark.django_db

GOOD = json.dumps(factories.envelope())
REQUESTS = {
    "a message": (GOOD, {}),
    "a message without a token": (json.dumps(factories.envelope(token=None)), {}),
    "a message without a field": (json.dumps({"token": factories.ALICE, "data": {}}), {}),
    "text that is no JSON": ("{", {}),
    "no body": ("", {}),
    "a message for a caller that wants HTML": (GOOD, {"Accept": "text/html"}),
    "a message for a caller that takes JSON among others": (
        GOOD,
        {"Accept": "application/json;q=0.9, */*;q=0.1"},
    ),
    "a message for a caller that takes no JSON": (GOOD, {"Accept": "image/png"}),
    "a message over https": (GOOD, {"X-Forwarded-Proto": "https"}),
    "a message with a request id": (GOOD, {"X-Request-ID": "7f.1"}),
    "a message of another type": (GOOD, {"Content-Type": "text/plain"}),
    "a message of an unreadable type": (GOOD, {"Content-Type": "application/json; charset*=x'"}),
    "a message with a bad key": (GOOD, {"Idempotency-Key": " "}),
}


class Unwanted:
    """A middleware that no message may pass."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        answer = self.get_response(request)
        answer["X-Unwanted"] = "1"
        return answer


def _ask(application, method, path, body="", **headers):
    headers = {"Content-Type": "application/json", "Host": "localhost"} | headers
    return Client(application).open(path, method=method, data=body, headers=headers)


def _facts(answer):
    """Return an answer without its ids, which no two have in common."""
    headers = sorted((name, value) for name, value in answer.headers if name != "X-Request-ID")
    assert len(answer.headers["X-Request-ID"]) in {4, 32}
    body = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "a message's id", answer.text)
    return answer.status, headers, body


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("https", [False, True], ids=["http", "https"])
def test_the_answer_is_that_of_the_long_way(name, https, queue, settings):
    settings.SECURE_SSL_REDIRECT = https
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_HSTS_SECONDS = 60
    body, headers = REQUESTS[name]
    pages = Handler()
    short = _facts(_ask(MessageHandler(pages), "POST", "/", body, **headers))
    assert short == _facts(_ask(pages, "POST", "/", body, **headers))


@pytest.mark.django_db(transaction=True)
def test_the_connection_to_the_database_goes_back_after_each_message(queue, monkeypatch):
    pages, given_back = Handler(), []
    monkeypatch.setattr(
        "validator.message_handler.close_old_connections", lambda: given_back.append(1)
    )
    first = _ask(MessageHandler(pages), "POST", "/", GOOD, **{"Idempotency-Key": "once"})
    second = _ask(MessageHandler(pages), "POST", "/", GOOD, **{"Idempotency-Key": "once"})
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert first.json == second.json
    assert given_back == [1, 1]


def test_what_goes_wrong_in_a_view_is_the_same_500(queue, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("secret")

    monkeypatch.setattr(MessageView, "dispatch", fail)
    pages = Handler()
    short = _facts(_ask(MessageHandler(pages), "POST", "/", GOOD))
    assert (short[0], json.loads(short[2])["code"]) == (
        "500 Internal Server Error",
        "internal_error",
    )
    assert "secret" not in str(short)
    assert short == _facts(_ask(pages, "POST", "/", GOOD))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/"), ("PUT", "/"), ("HEAD", "/"), ("POST", "/docs/"), ("POST", "/messages/")),
        *(("POST", "/nothing"), ("POST", "/admin/login/"), ("POST", "/health/live")),
    ],
)
def test_only_a_message_goes_past_the_middleware_of_pages(method, path, queue, settings):
    settings.MIDDLEWARE = [f"{__name__}.Unwanted", *settings.MIDDLEWARE]
    application = MessageHandler(Handler())
    assert "X-Unwanted" not in _ask(application, "POST", "/", GOOD).headers
    assert "X-Unwanted" in _ask(application, method, path).headers


def _sample(name, **labels):
    return REGISTRY.get_sample_value(f"validator_request_{name}", labels)


def test_each_answer_is_counted_by_its_status(queue):
    application = MessageHandler(Handler())
    statuses = (202, 400, 401)
    before = [_sample("seconds_count", status=str(status)) for status in statuses]
    bytes_before = _sample("bytes_sum")
    _ask(application, "POST", "/", GOOD)
    _ask(application, "POST", "/", "{")
    _ask(application, "POST", "/", GOOD, Accept="application/json;q=0.9, */*;q=0.1")
    _ask(application, "GET", "/")
    after = [_sample("seconds_count", status=str(status)) for status in statuses]
    assert [new - old for new, old in zip(after, before, strict=True)] == [2, 1, 0]
    assert _sample("bytes_sum") - bytes_before == 2 * len(GOOD) + 1


def test_every_status_is_there_from_the_start():
    for status in (202, 400, 401, 403, 406, 409, 411, 413, 415, 422, 429, 500, 503):
        assert _sample("seconds_count", status=str(status)) is not None, status
