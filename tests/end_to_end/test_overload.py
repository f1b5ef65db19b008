"""More messages than the validator can answer: some are refused at once, none is lost."""

import http.client
import json
import socket
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager

import pytest

from cpsite.web.load_shedding import ALWAYS
from tests import factories
from tests.waiting import wait_for

pytestmark = pytest.mark.end_to_end

GUNICORN = ["-m", "gunicorn", "--config", "python:cpsite.gunicorn"]
BODY = json.dumps(factories.envelope(token="alice-token-1")).encode()
HEAD = (
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    % len(BODY)
)
MESSAGE = HEAD + b"\r\n" + BODY
#: Refused with 400 where there is room, and never sent to SQS.
PROBE = {"field1": "x"}


def _connect(services):
    return closing(socket.create_connection(("127.0.0.1", services.port), 60))


def _read(connection):
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.headers, json.loads(answer.read())


@contextmanager
def _full(services):
    """A validator that works on as many messages as it takes: SQS answers none of them."""
    with ExitStack() as stack:
        hanging = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=200))
        process = services._start(
            "validator",
            GUNICORN,
            WEB_CONCURRENCY="1",
            WEB_CONNECTIONS=str(2 * ALWAYS),
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{hanging.getsockname()[1]}",
            SQS_PUBLISH_TIMEOUT_SECONDS="600",
        )
        wait_for(lambda: services.get("/health/live")[0] == 200, "the validator")
        for _ in range(ALWAYS):
            stack.enter_context(_connect(services)).sendall(MESSAGE)
        wait_for(lambda: services.post(PROBE)[0] == 503, "the validator to be full")
        yield process


def test_what_is_too_much_is_refused_at_once_on_a_connection_that_is_kept(services):
    with _full(services) as process, _connect(services) as connection:
        for number in range(3):
            connection.sendall(HEAD + b"X-Request-ID: mine-%d\r\n\r\n" % number + BODY)
            status, headers, body = _read(connection)
            assert (status, body["code"]) == (503, "overloaded")
            assert int(headers["Retry-After"]) >= 1
            assert headers["Connection"] == "keep-alive"
            assert headers["X-Request-ID"] == f"mine-{number}"
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert _read(connection)[0] == 200
        lines = [line for line in process.lines() if line.get("reason") == "overloaded"]
        assert lines
        assert {line["cause"] for line in lines} <= {"connections", "saturated"}
        refused = 'validator_http_refusals_total{reason="overloaded"}'
        assert services.metric("VALIDATOR_METRICS_PORT", refused) >= 3
        process.kill()


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"Expect: 100-continue\r\n\r\n",
        HEAD + b"Connection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
    ],
    ids=["a client that waits", "one that wants to close", "long", "without a length", "HTTP/1.0"],
)
def test_a_connection_that_cannot_be_kept_is_closed(services, head):
    with _full(services) as process, _connect(services) as connection:
        connection.sendall(head)
        status, headers, body = _read(connection)
        assert (status, body["code"]) == (503, "overloaded")
        assert headers["Connection"] == "close"
        assert connection.recv(1) == b""
        process.kill()


def test_bodies_that_are_yet_to_come_take_no_room(services):
    services.validator(WEB_CONCURRENCY="1", WEB_CONNECTIONS=str(2 * ALWAYS))
    with ExitStack() as stack:
        slow = [stack.enter_context(_connect(services)) for _ in range(ALWAYS + 8)]
        for connection in slow:
            connection.sendall(HEAD + b"\r\n" + BODY[:-1])
        time.sleep(1)  # they have all been read by now, or what follows shows nothing
        wait_for(lambda: services.post(factories.fields())[0] == 202, "room for a message")
        for connection in slow:
            connection.sendall(BODY[-1:])
        assert {_read(connection)[0] for connection in slow} <= {202, 503}
        wait_for(lambda: services.post(factories.fields())[0] == 202, "room for a message")


def test_each_of_many_messages_at_once_is_queued_or_refused(services):
    services.validator(WEB_CONCURRENCY="1", WEB_CONNECTIONS=str(2 * ALWAYS))
    with ExitStack() as stack:
        connections = []
        for _ in range(700):
            connections.append(stack.enter_context(_connect(services)))
            connections[-1].sendall(MESSAGE)
        answers = [_read(connection) for connection in connections]
    codes = Counter(body.get("code", status) for status, _, body in answers)
    # SQS may not keep up with so many, either.
    assert set(codes) <= {202, "overloaded", "queue_unavailable"}
    assert codes[202] >= ALWAYS
    assert codes["overloaded"]
    accepted = {body["message_id"] for status, _, body in answers if status == 202}
    queued = {
        json.loads(json.loads(body)["body"])["message_id"] for body in services.queue.bodies()
    }
    assert accepted <= queued
