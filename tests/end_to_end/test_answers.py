"""Answers of the real server: over http, on a dual-stack listener, to Java, to an encoding."""

import gzip
import http.client
import json
import socket

import pytest

from tests import databases, factories

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6"),
]

JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"  # HttpURLConnection
HTTPS = {"X-Forwarded-Proto": "https"}


def _ask(port, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Content-Type": "application/json"} | headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_clients_get_what_tells_them_what_to_do(services):
    services.validator(WEB_CONCURRENCY="1", HOST="[::]", DJANGO_HTTPS="true")
    port, body = services.port, json.dumps(factories.envelope())

    status, headers, answer = _ask(port, "POST", "/", body, Host="messages.example.com")
    assert (status, json.loads(answer)["code"]) == (403, "https_required")
    assert headers["Cache-Control"] == "no-store"
    status, headers, _ = _ask(port, "GET", "/docs", Host="messages.example.com")
    assert (status, headers["Location"]) == (301, "https://messages.example.com/docs")

    status, headers, answer = _ask(port, "POST", "/", body, Accept=JAVA, **HTTPS)
    assert (status, headers["Content-Type"]) == (202, "application/json")
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    message_id = json.loads(answer)["message_id"]
    bearer = {"Authorization": f"Bearer {factories.ALICE}"}
    for spelt in (message_id.upper(), f"urn:uuid:{message_id}"):
        path = f"/messages/{spelt}"
        status, _, answer = _ask(port, "GET", path, Accept=JAVA, **bearer, **HTTPS)
        assert status == 200 or json.loads(answer)["code"] == "message_unknown"

    for encoded in (body.encode(), gzip.compress(body.encode(), mtime=0)):
        status, headers, answer = _ask(port, "POST", "/", encoded, Content_Encoding="gzip", **HTTPS)
        assert (status, headers["Accept-Encoding"]) == (415, "identity")
        assert "Content-Encoding" in json.loads(answer)["detail"]

    assert services.started[0].stop() == 0
    query = "SELECT kind, reason, source_ip FROM audit_auditevent ORDER BY id"
    rows = databases.rows(services.environment["DATABASE_URL"], query)
    assert ("refused", "https_required") in {(kind, reason) for kind, reason, _ in rows}
    assert {str(address) for _, _, address in rows} == {"127.0.0.1"}
    assert len(services.queue.bodies()) == 1
