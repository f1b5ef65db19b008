"""With DJANGO_HTTPS nothing but HTTPS is served, and no answer says more than it should."""

import json
import os
import subprocess
import sys

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.end_to_end.conftest import ROOT
from tests.factories import ALICE, envelope
from validator import metrics

in_process = settings(
    max_examples=settings().max_examples // 2, suppress_health_check=list(HealthCheck)
)

BODY = json.dumps(envelope())
SECURE = {"x-forwarded-proto": "https"}


@pytest.fixture(autouse=True)
def _https(settings):
    settings.THROTTLE_REFUSED_RATE = None
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_REDIRECT_EXEMPT = [r"^health/"]
    settings.ALLOWED_HOSTS = ["admin.example.com"]


hosts = st.sampled_from(
    ["admin.example.com", "messages.example.com", "10.0.0.7:8000", "[::1]:8000", "localhost"]
)
methods = st.sampled_from(["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"])
paths = st.sampled_from(
    [
        "/",
        "/messages/",
        "/docs/",
        "/schema",
        "/admin/",
        "/admin/login/",
        "/static/x",
        "/nothing",
        "//",
    ]
)
schemes = st.sampled_from([{}, {"x-forwarded-proto": "http"}, {"x-forwarded-proto": ""}])


@in_process
@given(methods, paths, hosts, schemes)
def test_whatever_sends_something_over_http_is_refused(method, path, host, scheme):
    answer = Client().generic(
        method, "/", BODY, "application/json", PATH_INFO=path, headers=scheme | {"host": host}
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "https_required")
    assert answer.json().keys() == {"code", "detail"}
    assert "https://" in answer.json()["detail"]
    assert answer["Cache-Control"] == "no-store"
    assert answer["X-Request-ID"]


@in_process
@given(st.sampled_from(["GET", "HEAD"]), paths, hosts, schemes, st.sampled_from(["", "a=1&b=%2F"]))
def test_who_only_looks_is_redirected_whatever_the_host(method, path, host, scheme, query):
    answer = Client().generic(
        method, "/", PATH_INFO=path, QUERY_STRING=query, headers=scheme | {"host": host}
    )
    assert answer.status_code == 301
    assert answer["Location"] == f"https://{host}{path}{'?' if query else ''}{query}"


@pytest.mark.parametrize("host", ["", "a_b", "a b", "a/b", "user@host", "host:port", "[::1", "é"])
def test_a_host_that_is_none_is_not_redirected_to(host):
    answer = Client().get("/", headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "https_required")


def test_over_https_and_for_health_checks_nothing_changes(queue):
    answer = Client().post("/", BODY, content_type="application/json", headers=SECURE)
    assert answer.status_code == 202
    assert Client().get("/health/live").status_code == 200
    assert len(queue.bodies()) == 1


def test_a_message_over_http_is_counted_logged_and_audited_as_any_refusal(
    audit, caplog, settings, queue
):
    settings.THROTTLE_REFUSED_RATE = "2/min"
    caplog.set_level("INFO")
    counter = metrics.messages_total.labels("https_required")
    before = counter._value.get()
    answers = [Client().post("/", BODY, content_type="application/json") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [403, 403, 429, 429]
    assert counter._value.get() == before + 2
    assert caplog.text.count("message_refused") == 2
    assert [(event.kind, event.reason, event.source_ip) for event in audit()] == [
        ("refused", "https_required", "127.0.0.1")
    ] * 2
    assert ALICE not in caplog.text
    assert queue.bodies() == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "max-age=31536000"),
        ({"DJANGO_HSTS_SECONDS": "60"}, "max-age=60"),
        ({"DJANGO_HSTS_INCLUDE_SUBDOMAINS": "true"}, "max-age=31536000; includeSubDomains"),
        (
            {"DJANGO_HSTS_INCLUDE_SUBDOMAINS": "true", "DJANGO_HSTS_PRELOAD": "true"},
            "max-age=31536000; includeSubDomains; preload",
        ),
        ({"DJANGO_HSTS_SECONDS": "0"}, "None"),
    ],
)
def test_hsts_speaks_for_this_host_alone_unless_asked(environment, expected):
    script = (
        "import django; django.setup()\n"
        "from django.test import Client\n"
        "answer = Client().get('/health/live', headers={'x-forwarded-proto': 'https'})\n"
        "print(answer.get('Strict-Transport-Security'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ
        | {"DJANGO_SETTINGS_MODULE": "tests.settings", "DJANGO_HTTPS": "true"}
        | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected


# --- Caching --------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/", "/docs/", "/schema/", "/health/live", "/nothing", "/messages"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
def test_no_answer_is_cached(method, path):
    answer = Client().generic(method, path, "{}", "application/json", headers=SECURE)
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.django_db
@pytest.mark.parametrize("token", [None, "nobodys-token", ALICE])
def test_no_answer_about_a_message_is_cached(token, settings):
    headers = SECURE if token is None else SECURE | {"authorization": f"Bearer {token}"}
    path = "/messages/6b1f1d5e-46d5-4c7c-9e5e-0d3f8f4f7c11/"
    settings.THROTTLE_REFUSED_RATE = "1/min"
    settings.THROTTLE_CLIENT_RATE = "1/min"
    answers = [Client().get(path, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [404 if token == ALICE else 401, 429]
    assert {answer["Cache-Control"] for answer in answers} == {"no-store"}


def test_assets_are_cached_as_before(client):
    answer = client.get("/static/validator/pages.css", headers=SECURE)
    assert answer.status_code == 200
    assert "no-store" not in answer["Cache-Control"]


@pytest.mark.parametrize(("token", "of"), [(ALICE, "alice"), ("nobody-knows", "")])
def test_a_refusal_over_http_names_the_client_whose_token_was_sent(client, audit, token, of):
    client.post("/", BODY, "application/json", headers={"authorization": f"Bearer {token}"})
    (event,) = audit()
    assert (event.reason, event.client) == ("https_required", of)
