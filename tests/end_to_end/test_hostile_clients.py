"""Clients that mean harm, or know no better, take nothing away from those that do."""

import http.client
import json
import resource
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from types import SimpleNamespace

import gevent.socket
import pytest
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.unreader import SocketUnreader

from cpsite.web import connection as client_connection
from cpsite.web import in_flight
from tests import factories
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.slow(reason="hostile clients at length"),
]

GUNICORN = ["-m", "gunicorn", "--config"]
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

#: MAX_BODY_BYTES by default.
LONGEST = 327_680

#: What a slow client sends first, and then again and again for as long as it is let.
SLOW = {
    "nothing": (b"", b""),
    "headers": (HEAD + b"X-Slow: ", b"x"),
    "a body": (HEAD + b"Content-Length: 5000\r\n\r\n{", b" "),
    # It never reads an answer: they fill the buffers of both sides.
    "requests": (b"", b"GET /schema/ HTTP/1.1\r\nHost: x\r\n\r\n" * 20),
}


def _data(number=1):
    return factories.fields(field1=f"number {number}")


def _connect(port):
    connection = socket.socket()
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        connection.setsockopt(socket.SOL_SOCKET, buffer, 4096)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", port))
    return connection


def _answer(connection):
    """The answer, and whether the connection was closed behind it."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    body = answer.read()
    with suppress(ConnectionResetError):
        assert connection.recv(1) == b""
    return answer, json.loads(body)


class Crowd:
    """So many slow clients of a kind, each of which comes back when it is turned away."""

    def __init__(self, port, kind, number):
        self._port = port
        self._first, self._next = SLOW[kind]
        self._clients = [self._come() for _ in range(number)]
        self.turned_away = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _come(self):
        client = _connect(self._port)
        client.sendall(self._first)
        client.setblocking(False)
        return client

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._is_over.set()
        self._thread.join()
        for client in self._clients:
            client.close()

    def _run(self):
        while not self._is_over.wait(0.1):
            for index, client in enumerate(self._clients):
                if self._is_turned_away(client):
                    client.close()
                    self.turned_away += 1
                    self._clients[index] = self._come()

    def _is_turned_away(self, client):
        try:
            client.send(self._next)
            return len(self._next) < 2 and client.recv(1000) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


def test_slow_clients_make_room_for_good_ones(services):
    services.validator(WEB_CONCURRENCY="1", WEB_CONNECTIONS="4")
    for kind in SLOW:
        with Crowd(services.port, kind, 6) as crowd:
            for number in range(2):
                assert services.post(_data(number))[0] == 202, kind
            wait_for(lambda: crowd.turned_away, f"a client that sends {kind} slowly to be sent off")


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4_000, reason="not enough file descriptors"
)
def test_thousands_of_idle_connections_do_not_keep_out_a_good_client(services):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4_000), hard))
    services.validator(WEB_CONCURRENCY="1")
    with ExitStack() as stack:
        for number in range(1_500):
            connection = stack.enter_context(closing(_connect(services.port)))
            connection.sendall(HEAD[: number % len(HEAD)])
        for number in range(3):
            assert services.post(_data(number))[0] == 202


def _start(services, *lines, is_ready=None, **environment):
    """Start a validator of one process whose configuration has some lines more."""
    config = services.scratch / "config.py"
    config.write_text("\n".join(["from cpsite.gunicorn import *", *lines]))
    process = services._start(
        "validator", [*GUNICORN, str(config)], WEB_CONCURRENCY="1", **environment
    )
    wait_for(is_ready or (lambda: services.get("/health/ready")[0] == 200), "the validator")
    return process


def _start_impatient(services, **settings):
    """Start a validator with other bounds than ours, so that a test need not wait for those."""
    values = [f"connection.{name} = {value}" for name, value in settings.items()]
    imports = "from cpsite.web import connection"
    return _start(services, imports, *values, "keepalive = 2")


SERVICE = in_flight.Service(processes=1, connections=512, header_bytes=16_384)
#: Configuration lines of a validator whose memory has room for four of the longest bodies.
LITTLE_MEMORY = f"""
from cpsite.observability import resource_limits
resource_limits.find = lambda: resource_limits.Limits(
    cpu_cores=1.0,
    memory_bytes={SERVICE.memory_needed(LONGEST)}
)"""


def test_more_long_bodies_than_fit_into_memory_are_refused_before_they_are_read(services):
    head = HEAD + b"Content-Length: %d\r\n\r\n" % LONGEST
    long = json.dumps(factories.envelope(data=dict.fromkeys(_data(), "x" * 60_000))).encode()
    with ExitStack() as stack:
        # A queue that never answers: all messages stay in flight.
        hanging = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=20))
        _start(
            services,
            LITTLE_MEMORY,
            is_ready=lambda: services.get("/health/live")[0] == 200,
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{hanging.getsockname()[1]}",
            SQS_PUBLISH_TIMEOUT_SECONDS="600",
        )
        for _ in range(5):  # four of the longest bodies are five of these
            sender = stack.enter_context(closing(_connect(services.port)))
            sender.sendall(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(long), long))
        # All of them have been read by the worker once this one has been answered.
        assert services.post({"field1": "x"})[0] == 400
        late = [stack.enter_context(closing(_connect(services.port))) for _ in range(2)]
        for each in late:
            each.sendall(head)  # and nothing of the body
        # Short messages need no room.
        assert services.post({"field1": "x"})[0] == 400
        for each in late:
            answer, body = _answer(each)
            assert (answer.status, body["code"]) == (503, "overloaded")
            assert int(answer.headers["Retry-After"]) >= 1


def test_slow_bodies_make_room_for_long_ones(services):
    _start(services, LITTLE_MEMORY)
    long = dict.fromkeys(_data(), "x" * 60_000)
    with ExitStack() as stack:
        for _ in range(4):
            slow = stack.enter_context(closing(_connect(services.port)))
            slow.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % LONGEST)
        # All of them have been read by the worker once this one has been answered.
        assert services.post(_data())[0] == 202
        wait_for(lambda: services.post(long)[0] == 202, "room for a long message")
    for _ in range(9):  # what was in flight has been counted off
        assert services.post(long)[0] == 202


def _trickle(connection, piece):
    """Send a bit now and then until nobody takes it any more, from a thread."""

    def send():
        with suppress(OSError):
            while True:
                connection.sendall(piece)
                time.sleep(0.2)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def test_a_slow_client_has_its_time(services):
    """With room for all; and then it is sent off, told why, and its connection closed."""
    _start_impatient(services, BODY_SECONDS=2, ANSWER_SECONDS=2)
    slow = {kind: _connect(services.port) for kind in SLOW}
    for kind, (first, _) in SLOW.items():
        slow[kind].sendall(first)
    threads = {kind: _trickle(slow[kind], piece) for kind, (_, piece) in SLOW.items()}
    answer, body = _answer(slow["a body"])
    assert (answer.status, body["code"]) == (400, "malformed_json")
    assert body["detail"] == "The body came too slowly."
    assert answer.headers["Connection"] == "close"
    for kind in ("nothing", "headers"):
        assert slow[kind].recv(1) == b""
    # Nobody reads those answers, and they are no longer sent.
    wait_for(lambda: not threads["requests"].is_alive(), "the end of unread answers")
    assert services.post(_data())[0] == 202
    for connection in slow.values():
        connection.close()


def test_a_body_that_stalls_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(client_connection, "STALL_SECONDS", 0.1)
    ours, theirs = gevent.socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"half")
        body = Body(LengthReader(SocketUnreader(ours), 8))
        request = SimpleNamespace(body=body, must_close=False, readable_bytes=8)
        waits = client_connection.Waits(60, TimeoutError)
        reading = client_connection.Body(request, client_connection.Client(ours, waits), waits)
        assert not request.must_close  # what is left of it could be read
        with pytest.raises(TimeoutError):
            reading.read()
        assert request.must_close
        assert not list(waits)


def test_a_stop_ends_slow_bodies_and_leaves_time_for_the_audit_log(services):
    """Neither a client that trickles nor a queue that hangs keeps a worker until it is killed."""
    with socket.create_server(("127.0.0.1", 0), backlog=20) as hanging:
        process = services._start(
            "validator",
            [*GUNICORN, "python:cpsite.gunicorn", "--graceful-timeout", "10"],
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{hanging.getsockname()[1]}",
            SQS_PUBLISH_TIMEOUT_SECONDS="60",
            WEB_CONCURRENCY="1",
        )
        wait_for(lambda: services.get("/health/live")[0] == 200, "the validator")
        slow, sender = _connect(services.port), _connect(services.port)
        slow.sendall(SLOW["a body"][0])
        _trickle(slow, b" ")
        body = json.dumps(factories.envelope()).encode()
        sender.sendall(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        assert services.post({"field1": "x"})[0] == 400
        assert process.stop() == 0
        answer, body = _answer(slow)
        assert (answer.status, body["detail"]) == (400, "The body came too slowly.")
        slow.close()
        sender.close()
    assert "Worker exiting" in process.log.read_text()
    assert "audit_event_lost" not in process.log.read_text()
    refused = {what for kind, what in services.audit() if kind == "refused"}
    assert refused == {"contract_required", "malformed_json"}


def _raw(services, *pieces):
    """Send something that is not quite HTTP; return the status and the code of the answer."""
    with closing(_connect(services.port)) as connection:
        for piece in pieces:
            connection.sendall(piece)
        answer, body = _answer(connection)
        assert len(answer.headers["X-Request-ID"]) == 32
        return answer.status, body["code"]


def _send_on_and_on(services, head, piece):
    """Return a connection that sends as fast as it can, beside whatever else there is to do."""
    connection = _connect(services.port)
    connection.sendall(head)

    def send():
        with suppress(OSError):
            while True:
                connection.sendall(piece)

    def read():
        with suppress(OSError):
            while connection.recv(65_536):
                pass

    for target in (send, read):
        threading.Thread(target=target, daemon=True).start()
    return connection


def test_much_of_anything_is_refused_and_takes_no_turns_from_others(services):
    process = services.validator(WEB_CONCURRENCY="1")
    field = b"X-Field-%d: x\r\n"
    assert _raw(services, HEAD, *[field % number for number in range(100)], b"\r\n") == (
        *(431, "bad_request"),
    )
    assert _raw(services, HEAD, b"X: " + b"x" * 20_000 + b"\r\n\r\n") == (431, "bad_request")
    assert _raw(services, HEAD, b"X: " + b"x" * 700_000) == (431, "bad_request")
    assert _raw(services, b"GET /" + b"x" * 100_000) == (414, "bad_request")
    # All of a body that nobody wants, before a look at the answer.
    long = b"x" * 3_000_000
    head = HEAD + b"Content-Length: %d\r\n\r\n" % len(long)
    assert _raw(services, head, long) == (413, "body_too_large")
    assert _raw(services, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nabcde\r\n" * 9) == (
        *(411, "length_required"),
    )
    # A body without an end, and requests without an end.
    endless = [
        _send_on_and_on(services, HEAD + b"Content-Length: 99999999999\r\n\r\n", long),
        _send_on_and_on(services, b"", b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 500),
    ]
    for number in range(5):
        assert services.post(_data(number))[0] == 202
    for connection in endless:
        connection.close()
    assert "WORKER TIMEOUT" not in process.log.read_text()


def _flood(services, seconds=60):
    """Refusals of unknown tokens from four connections, until all get 429."""
    until = time.monotonic() + seconds

    def guess(number):
        statuses = []
        while time.monotonic() < until and statuses[-20:] != [429] * 20:
            statuses.append(services.post(_data(), token=f"guess-{number}-{len(statuses)}")[0])
        return statuses

    with ThreadPoolExecutor(4) as pool:
        return [status for statuses in pool.map(guess, range(4)) for status in statuses]


def test_a_flood_of_guesses_harms_no_client_at_the_same_address(services):
    validator = services.validator(WEB_CONCURRENCY="1", THROTTLE_REFUSED_RATE="20/hour")
    with ThreadPoolExecutor(1) as pool:
        guesses = pool.submit(_flood, services)
        good = 0
        while not guesses.done() or good < 5:
            assert services.post(_data(good))[0] == 202
            good += 1
    statuses = guesses.result()
    assert set(statuses) == {401, 429}
    assert statuses.count(401) == 20
    status, answer = services.post(_data(), token="one-more-guess")
    assert (status, answer["code"]) == (429, "throttled")
    assert validator.stop() == 0
    kinds = [kind for kind, _ in services.audit()]
    # What is refused after that is counted, and not written down.
    assert (kinds.count("refused"), kinds.count("accepted")) == (20, good)


def test_a_client_over_its_rate_takes_nothing_from_another(services):
    services.validator(WEB_CONCURRENCY="1", THROTTLE_CLIENT_RATE="5/hour")
    alice = [services.post(_data(number))[0] for number in range(8)]
    assert alice == [202] * 5 + [429] * 3
    assert services.post(_data(), token="bob-token-1")[0] == 202
