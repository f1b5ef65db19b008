"""Answers of the real server: over http, on a dual-stack listener, to Java, to an encoding."""

import gzip
import http.client
import json
import socket
import struct
import sys
from contextlib import closing

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


#: Where Linux's `struct tcp_info` has `tcpi_data_segs_in` (linux/tcp.h), in bytes.
DATA_SEGMENTS_IN = 152


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's TCP_INFO")
@pytest.mark.parametrize("good", [True, False], ids=["accepted", "refused"])
def test_an_answer_arrives_whole(services, good):
    """Nobody who loses the connection has a status without its body."""
    services.validator(WEB_CONCURRENCY="1")
    body = json.dumps(factories.envelope() if good else {})
    with closing(http.client.HTTPConnection("127.0.0.1", services.port, timeout=30)) as connection:
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert json.loads(answer.read())
        assert answer.status == (202 if good else 401)
        info = connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        assert struct.unpack_from("I", info, DATA_SEGMENTS_IN) == (1,)
