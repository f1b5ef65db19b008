"""VALIDATOR_SERVES: the API for clients and the admin for operators, in one process or apart."""

import http.client
import subprocess
import sys

import pytest

from tests import factories
from tests.end_to_end.conftest import ROOT, Services
from tests.end_to_end.test_modules import PRINT_IMPORTS, imported

pytestmark = pytest.mark.end_to_end

MESSAGE = "/messages/6b1f1d5e-46d5-4c7c-9e5e-0d3f8f4f7c11/"
OF_THE_API = ("/", MESSAGE, "/docs/", "/schema/")
OF_THE_ADMIN = (
    "/admin/",
    "/admin/login/",
    "/admin/auth/user/",
    "/admin/audit/auditevent/",
    "/admin/uploader/deadletterentry/",
)
#: What an API's process never imports: pages, and what reads objects or dead letters.
ONLY_FOR_THE_ADMIN = {
    "cpsite.audit.admin",
    "cpsite.dead_letters.admin",
    "cpsite.dead_letters.queue",
    "cpsite.storage",
    "cpsite.web.admin_login",
    "django.contrib.auth.admin",
}
ONLY_FOR_THE_API = {"validator.views", "validator.publisher", "validator.openapi.view"}


def _ask(services: Services, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", services.port, timeout=20)
    try:
        connection.request(method, path, b"{}" if method == "POST" else None)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def _metrics(services: Services) -> str:
    port = int(services.environment["VALIDATOR_METRICS_PORT"])
    status, text = services.get("/metrics", port)
    assert status == 200
    return text.decode()


def test_the_api_alone_has_no_admin_and_needs_nothing_of_it(services: Services) -> None:
    for name in ("S3_BUCKET", "SQS_DLQ_URL", "DJANGO_SECRET_KEY"):
        del services.environment[name]
    process = services.validator(VALIDATOR_SERVES="api", **PRINT_IMPORTS)

    assert services.post(factories.fields())[0] == 202
    assert [services.get(path)[0] for path in OF_THE_API] == [200, 401, 200, 200]
    for path in OF_THE_ADMIN:
        for method in ("GET", "POST"):
            status, headers, body = _ask(services, method, path)
            assert (status, headers["Content-Type"]) == (404, "application/json"), path
            assert b"not_found" in body
            assert "Set-Cookie" not in headers
    assert services.get("/health/live")[0] == 200
    assert 'cpsite_build_info{revision="unknown",service="validator"} 1.0' in _metrics(services)
    assert imported(process) & ONLY_FOR_THE_ADMIN == set()


def test_the_admin_alone_takes_no_messages_and_needs_no_tokens(services: Services) -> None:
    del services.environment["API_TOKENS"]
    process = services.validator(VALIDATOR_SERVES="admin", **PRINT_IMPORTS)

    for path in OF_THE_API:
        for method in ("GET", "POST"):
            status, _, body = _ask(services, method, path)
            assert status == 404, path
            assert b"not_found" in body
    assert services.get("/admin/login/")[0] == 200
    assert [services.get(path)[0] for path in OF_THE_ADMIN] == [302, 200, 302, 302, 302]
    status, body = services.get("/health/ready")
    assert (status, body) == (200, b'{"status": "ok", "checks": {"database": "ok"}}')
    assert 'cpsite_build_info{revision="unknown",service="admin"} 1.0' in _metrics(services)
    assert imported(process) & ONLY_FOR_THE_API == set()


def _manage(services: Services, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=services.environment | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_commands_know_the_same_tables_whatever_is_served(services: Services) -> None:
    """A task of either service can migrate the database and make users."""
    plans = {
        serves: _manage(services, "showmigrations", "--plan", VALIDATOR_SERVES=serves)
        for serves in ("api", "admin", "both")
    }

    assert "sessions.0001_initial" in plans["both"]
    assert plans["api"] == plans["admin"] == plans["both"]
    for serves in ("api", "admin"):
        _manage(services, "check", "--deploy", VALIDATOR_SERVES=serves)


def test_another_word_is_refused_with_the_variables_name(services: Services) -> None:
    started = services._start(
        "validator",
        ["-m", "gunicorn", "--config", "python:cpsite.gunicorn"],
        VALIDATOR_SERVES="everything",
    )

    assert started.wait() != 0
    assert "VALIDATOR_SERVES" in started.log.read_text()
    assert "Traceback" not in started.log.read_text()
