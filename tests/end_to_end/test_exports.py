"""A CSV export costs the others nothing while its reader sleeps."""

import socket
import urllib.parse

import psycopg
import pytest

from tests import factories
from tests.end_to_end.conftest import Services
from tests.end_to_end.test_logins import Browser, make_superuser

pytestmark = pytest.mark.end_to_end

POOL = 2
#: More than the sockets of both sides buffer.
ROWS = 60_000


def _fill(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO audit_auditevent (occurred_at, kind, client, reason, object_key,"
            " payload_sha256) SELECT now() - n * interval '1 second', 'stored', 'alice', '',"
            " repeat('k', 200), repeat('a', 64) FROM generate_series(1, %s) AS n",
            [ROWS],
        )


def _sleeping_export(services: Services, browser: Browser) -> socket.socket:
    """Ask for all events, read the head of the answer, and no further."""
    path = "/admin/audit/auditevent/"
    _, page = browser.get(path)
    form = {
        "csrfmiddlewaretoken": browser.form_token(page),
        "action": "export_csv",
        "select_across": "1",
        "_selected_action": "1",
    }
    body = urllib.parse.urlencode(form).encode()
    head = "\r\n".join(
        (
            f"POST {path} HTTP/1.1",
            f"Host: 127.0.0.1:{services.port}",
            *(f"{name}: {value}" for name, value in browser.headers().items()),
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(body)}",
            "",
            "",
        )
    )
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    reader.settimeout(30)
    reader.connect(("127.0.0.1", services.port))
    reader.sendall(head.encode() + body)
    assert reader.recv(64).startswith(b"HTTP/1.1 200 OK")
    return reader


def test_sleeping_exports_hold_no_connection_of_the_pool(services: Services) -> None:
    if not services.environment["DATABASE_URL"].startswith("postgres"):
        pytest.skip("SQLite has no pool")
    _fill(services.environment["DATABASE_URL"])
    make_superuser(services)
    services.validator(WEB_CONCURRENCY="1", TRUSTED_PROXIES="1", DATABASE_POOL_SIZE=str(POOL))
    browser = Browser(services, "192.0.2.1")
    assert browser.log_in() == 302
    readers = [_sleeping_export(services, browser) for _ in range(POOL + 1)]
    try:
        for number in range(POOL + 1):
            key = {"Idempotency-Key": f"key-{number}"}
            assert services.post(factories.fields(), **key)[0] == 202
    finally:
        for reader in readers:
            reader.close()
