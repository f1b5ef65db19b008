import threading

import pytest
from django.db import OperationalError
from django.test import Client

from cpsite.web import health
from cpsite.web.health import readiness
from validator import tokens


def test_live_asks_for_nothing(client):
    answer = client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_ready_when_everything_answers(client, queue):
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "checks": {"tokens": "ok", "queue": "ok", "database": "ok"},
    }


@pytest.mark.django_db
def test_not_ready_without_the_queue(client, queue, settings):
    settings.SQS_QUEUE_URL += "-gone"
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["queue"] == "unavailable"


@pytest.mark.django_db
def test_not_ready_without_tokens(client, queue, monkeypatch):
    def fail():
        raise tokens.TokensUnavailable

    monkeypatch.setitem(readiness.required, "tokens", fail)
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["status"] == "unavailable"


def test_without_the_database_it_is_degraded_but_takes_messages(client, queue, monkeypatch):
    def fail():
        raise OperationalError

    monkeypatch.setitem(readiness.optional, "database", fail)
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "degraded",
        "checks": {"tokens": "ok", "queue": "ok", "database": "unavailable"},
    }


def test_an_optional_probe_that_hangs_hangs_nobody(monkeypatch):
    monkeypatch.setattr(health, "CACHE_SECONDS", 0.0)
    monkeypatch.setattr(health, "OPTIONAL_SECONDS", 0.05)
    asked, go_on = [], threading.Event()

    def hang():
        asked.append(1)
        go_on.wait(30)

    watched = health.Readiness(optional={"database": hang})
    for _ in range(3):
        assert watched.results() == {"database": "unavailable"}
    assert len(asked) == 1  # one thread that hangs, not one for each health check
    go_on.set()
    watched._hanging["database"].join(30)
    assert watched.results() == {"database": "ok"}


def test_probes_are_asked_at_most_every_few_seconds(monkeypatch):
    asked = []
    watched = health.Readiness(required={"it": lambda: asked.append(1)})
    now = 100.0
    monkeypatch.setattr(health.time, "monotonic", lambda: now)
    watched.results()
    watched.results()
    assert len(asked) == 1
    now += health.CACHE_SECONDS
    watched.results()
    assert len(asked) == 2


@pytest.mark.parametrize("method", ["post", "put", "options", "trace", "delete"])
@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_other_methods_are_not_allowed(method, path):
    answer = getattr(Client(enforce_csrf_checks=True), method)(path)
    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"
    assert answer.headers["Allow"] == "GET, HEAD"
