"""A message goes past the middleware of pages, and its answer is the same all the same."""

import json
import re

import pytest
from django.conf import settings as configured
from django.test import Client
from prometheus_client import REGISTRY

from tests import factories
from validator.views import MessageView

pytestmark = pytest.mark.django_db

SHORT_WAY = "validator.message_middleware.MessageMiddleware"
OF_PAGES = [name for name in configured.MIDDLEWARE if name != SHORT_WAY]

GOOD = json.dumps(factories.envelope())
REQUESTS = {
    "a message": (GOOD, {}),
    "a message without a token": (json.dumps(factories.envelope(token="")), {}),
    "text that is no JSON": ("{", {}),
    "a message for a caller that wants HTML": (GOOD, {"accept": "text/html"}),
    "a message for a caller that takes JSON among others": (
        GOOD,
        {"accept": "application/json;q=0.9, */*;q=0.1"},
    ),
    "a message over https": (GOOD, {"x-forwarded-proto": "https"}),
    "a message with a request id": (GOOD, {"x-request-id": "7f.1"}),
}


class Unwanted:
    """A middleware that no message may pass."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        answer = self.get_response(request)
        answer["X-Unwanted"] = "1"
        return answer


def _post(body, headers, path="/"):
    client = Client(raise_request_exception=False)
    return client.post(path, body, "application/json", headers=headers)


def _facts(answer):
    """Return an answer without its ids, which no two have in common."""
    headers = dict(answer.items())
    assert len(headers.pop("X-Request-ID")) in {4, 32}
    body = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "a message's id", answer.content.decode())
    return answer.status_code, headers, body


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("https", [False, True], ids=["http", "https"])
def test_the_answer_is_that_of_the_whole_chain(name, https, queue, settings):
    settings.SECURE_SSL_REDIRECT = https
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_HSTS_SECONDS = 60
    short = _facts(_post(*REQUESTS[name]))
    settings.MIDDLEWARE = OF_PAGES
    assert short == _facts(_post(*REQUESTS[name]))


def test_what_goes_wrong_in_a_view_is_the_same_500(queue, settings, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("secret")

    monkeypatch.setattr(MessageView, "dispatch", fail)
    short = _facts(_post(GOOD, {}))
    assert (short[0], json.loads(short[2])["code"]) == (500, "internal_error")
    assert "secret" not in str(short)
    settings.MIDDLEWARE = OF_PAGES
    assert short == _facts(_post(GOOD, {}))


def test_only_a_message_goes_past_the_middleware_of_pages(queue, settings):
    settings.MIDDLEWARE = [SHORT_WAY, f"{__name__}.Unwanted", *OF_PAGES]
    client = Client(raise_request_exception=False)
    assert "X-Unwanted" not in _post(GOOD, {})
    for method, path in [
        ("GET", "/"),
        ("PUT", "/"),
        ("HEAD", "/"),
        ("POST", "/docs/"),
        ("POST", "/messages/"),
        ("POST", "/nothing"),
        ("POST", "/admin/login/"),
        ("POST", "/health/live"),
    ]:
        assert "X-Unwanted" in client.generic(method, path), (method, path)


def _answers(status):
    return REGISTRY.get_sample_value("validator_request_seconds_count", {"status": str(status)})


def test_each_answer_is_counted_by_its_status(queue):
    bytes_before = REGISTRY.get_sample_value("validator_request_bytes_sum")
    before = {status: _answers(status) for status in (202, 400, 401)}
    _post(GOOD, {})
    _post("{", {})
    _post(GOOD, {"accept": "application/json;q=0.9, */*;q=0.1"})
    Client().get("/")
    assert {status: _answers(status) - before[status] for status in before} == {
        202: 2,
        400: 1,
        401: 0,
    }
    grown = REGISTRY.get_sample_value("validator_request_bytes_sum") - bytes_before
    assert grown == 2 * len(GOOD) + 1


def test_every_status_is_there_from_the_start():
    for status in (202, 400, 401, 403, 409, 411, 413, 415, 422, 429, 500, 503):
        assert _answers(status) is not None, status
