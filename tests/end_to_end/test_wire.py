"""What unauthenticated callers may send: refused before it is read, counted, and quoted nowhere."""

import http.client
import json
import socket
from contextlib import closing, suppress

import pytest

from tests import factories
from tests.waiting import wait_for

pytestmark = pytest.mark.end_to_end

#: Would be found in any log line that quotes what a caller has sent.
MARK = "quoted-text-of-a-stranger"
DATA = factories.fields()
CSRF = "c" * 32
PATHS = (
    *("/", "/admin", "/admin/", "/admin/login/", "/admin/audit/auditevent/", "/administrator/"),
    *("/docs/", "/schema/", "/health/live", "/health/ready", "/messages/x/", "/nope", "//"),
    *(
        "/static/admin/css/base.css",
        "/static/nope",
        "/messages/6b1f1d5e-46d5-4c7c-9e5e-0d3f8f4f7c11/",
    ),
)
REFUSALS = 'validator_http_refusals_total{reason="%s"}'


def _send(services, *lines, body=b"", method="GET"):
    """Send a request's lines as they are; return the status, the headers and the body."""
    with closing(socket.create_connection(("127.0.0.1", services.port), 30)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        with suppress(OSError):  # answered before it was read
            connection.sendall(body)
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        return answer.status, answer.headers, answer.read()


def _code(answer):
    return answer[0], json.loads(answer[2]).get("code")


def _post(*headers, path="/"):
    return (f"POST {path} HTTP/1.1", "Host: x", *headers)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_strangers_write_few_lines_that_quote_nothing(services, log_format):
    process = services.validator(
        LOG_FORMAT=log_format, WEB_CONCURRENCY="1", THROTTLE_REFUSED_RATE="12/hour"
    )
    before = len(process.log.read_text().splitlines())
    for path in PATHS:
        _send(services, f"HEAD {path} HTTP/1.1", "Host: localhost", method="HEAD")
        assert len(process.log.read_text().splitlines()) <= before + 2, f"HEAD {path}"
    for _ in range(3):
        for path in PATHS:
            _send(services, f"GET {path} HTTP/1.1", f"Host: {MARK}")
            _send(services, f"GET {path} HTTP/1.1", f"Host: {MARK} x=1")
            _send(
                services,
                *(f"POST {path} HTTP/1.1", "Host: localhost", f"Origin: http://{MARK}"),
                *(f"Referer: http://{MARK}/", f"Cookie: csrftoken={MARK}; sessionid={MARK}"),
                *(f"X-CSRFToken: {MARK}", f"X-Request-ID: {MARK} x=1", "Content-Length: 2"),
                *(f"User-Agent: {MARK}", f"Idempotency-Key: {MARK}", f"Accept: {MARK}/x"),
                *(f"X-Forwarded-For: {MARK}", f"X-Forwarded-Host: {MARK}", f"{MARK}: {MARK}"),
                body=b"{}",
            )
        _send(services, f"GET /{MARK}%0AERROR%20forged HTTP/1.1", "Host: localhost")
        _send(services, f"{MARK} / HTTP/1.1", "Host: localhost")
        _send(services, f"GET / {MARK}", "Host: localhost")
        _send(services, *_post(f"Content-Length: {MARK}"))
        _send(services, *_post(f"Transfer-Encoding: {MARK}"))
    written = process.log.read_text()
    assert MARK not in written
    assert "Traceback" not in written
    assert "WSGI app sent" not in written
    lines = written.splitlines()[before:]
    # Of ours, and no more than the rate. The API's own refusals count, too.
    assert len(lines) <= 12 + 1, "\n".join(lines)
    assert all("request_refused" in line or "message_refused" in line for line in lines[:12])
    assert services.metric("VALIDATOR_METRICS_PORT", REFUSALS % "unreadable") >= 3 * len(PATHS)
    assert services.metric("VALIDATOR_METRICS_PORT", REFUSALS % "unacceptable") >= 3
    assert services.post(DATA)[0] == 202


#: Lengths that a path may be told: just over its bound, large, and of many digits.
TOO_LONG = ("327681", "99999999999", "9" * 100, "1" + "0" * 309, "9" * 5000, "0" * 300 + "9" * 100)


def test_no_body_is_read_that_is_longer_than_its_path_takes(services):
    services.validator(WEB_CONCURRENCY="1", THROTTLE_REFUSED_RATE="")
    form = "Content-Type: multipart/form-data; boundary=x"
    json_ = "Content-Type: application/json"
    token = f"Cookie: csrftoken={CSRF}"
    for length in TOO_LONG:
        for path in PATHS:
            method = "PUT" if path == "//" else "POST"
            for kind in (form, json_):
                if path == "/" and kind == form:
                    continue  # 415 comes first
                line = f"{method} {path} HTTP/1.1"
                # Nothing of the body is sent: an answer shows that nothing waited for it.
                answer = _send(
                    services, line, "Host: localhost", kind, token, f"Content-Length: {length}"
                )
                assert _code(answer) == (413, "body_too_large"), (length, path)
    for path in PATHS[1:]:
        answer = _send(services, *_post(form, token, "Content-Length: 32769", path=path))
        assert _code(answer) == (413, "body_too_large"), path
    port = int(services.environment["VALIDATOR_METRICS_PORT"])
    metrics = services.get("/metrics", port)[1].decode()
    sums = [
        float(line.split()[1]) for line in metrics.splitlines() if "body_total_bytes_sum" in line
    ]
    assert max(sums) <= len(TOO_LONG) * len(PATHS) * 3 * 327_681
    assert services.post(DATA)[0] == 202


def test_one_key_twice_is_not_another_key(services):
    services.validator(WEB_CONCURRENCY="1")
    body = json.dumps({"token": "alice-token-1", "data": DATA}).encode()
    head = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    for keys in (["K"] * 2, ['"K"'] * 2, ["K,K"] * 3, ["K", "L"], ["K", ""], ["", "K"], ["", ""]):
        lines = [f"Idempotency-Key: {key}" for key in keys]
        twice = _send(services, *_post(*head, *lines), body=body)
        assert _code(twice) == (400, "idempotency_key_invalid"), keys
    assert not services.queue.bodies()


def test_two_of_a_header_with_one_value_are_refused_and_named(services):
    services.validator(WEB_CONCURRENCY="1")
    body = json.dumps({"data": DATA}).encode()
    head = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    bearer = "Authorization: Bearer alice-token-1"
    for other in (bearer, "authorization: Bearer bob-token-1", "AUTHORIZATION: Basic x"):
        answer = _send(services, *_post(*head, bearer, other), body=body)
        assert _code(answer) == (400, "bad_request")
        assert b"Authorization" in answer[2]
    assert _send(services, *_post(*head, head[0], bearer), body=body)[0] == 400
    assert _send(services, *_post(*head, head[1], bearer), body=body)[0] == 400
    twice = ("X-Request-ID: a", "X-Request-ID: b")
    status, headers, _ = _send(services, *_post(*head, *twice, bearer), body=body)
    assert status == 202
    assert len(headers["X-Request-ID"]) == 32
    assert len(services.queue.bodies()) == 1


def test_the_host_and_the_size_of_the_head_are_demanded_and_named(services):
    services.validator(WEB_CONCURRENCY="1")
    for first in ("GET /health/live HTTP/1.1", "POST / HTTP/1.1", "GET /admin/ HTTP/1.1"):
        answer = _send(services, first)
        assert _code(answer) == (400, "bad_request")
        assert b"Host" in answer[2]
        assert _code(_send(services, first, "Host: a b")) == (400, "bad_request")
    assert _send(services, "GET /health/live HTTP/1.0")[0] == 200
    live = ("GET /health/live HTTP/1.1", "Host: x")
    assert _send(services, *live, "Cookie: " + "x" * 8_192)[0] == 200
    assert _send(services, *live, *["Cookies: " + "x" * 8_000] * 3)[0] == 200
    too_large = _send(services, *live, "Cookie: " + "x" * 16_384)
    assert too_large[0] == 431
    assert b"16384" in too_large[2]
    assert _send(services, *live, *["Cookies: " + "x" * 8_000] * 5)[0] == 431


def test_the_limit_of_a_header_can_be_set(services):
    services.validator(WEB_CONCURRENCY="1", MAX_HEADER_BYTES="40000")
    live = ("GET /health/live HTTP/1.1", "Host: x")
    assert _send(services, *live, "Cookie: " + "x" * 39_000)[0] == 200
    assert b"40000" in _send(services, *live, "Cookie: " + "x" * 41_000)[2]


def test_no_header_of_a_client_moves_its_path(services):
    services.validator(WEB_CONCURRENCY="1")
    for name in ("SCRIPT_NAME", "Script-Name", "X-Forwarded-Prefix", "PATH_INFO", "SCRIPT_URL"):
        moved = _send(
            services, "GET /static/admin/login/ HTTP/1.1", "Host: localhost", f"{name}: /static"
        )
        assert moved[0] == 404, name
    for name in ("X-Forwarded-Proto: https", "X-Forwarded-Ssl: on", "X-Forwarded-Protocol: ssl"):
        login = _send(services, "GET /admin/login/ HTTP/1.1", "Host: localhost", name)
        assert "Secure" not in str(login[1]["Set-Cookie"])
        assert login[0] == 200


@pytest.mark.parametrize(
    ("host", "metrics_host"), [("::1", "::1"), ("[::1]", "[::1]"), ("::", "::")]
)
def test_it_listens_on_ipv6(services, host, metrics_host):
    services._start(
        "validator",
        ["-m", "gunicorn", "--config", "python:cpsite.gunicorn"],
        HOST=host,
        METRICS_HOST=metrics_host,
        WEB_CONCURRENCY="1",
    )

    def get(port, path):
        connection = http.client.HTTPConnection("::1", int(services.environment[port]), timeout=20)
        with closing(connection), suppress(OSError):
            connection.request("GET", path)
            return connection.getresponse().status
        return 0

    wait_for(lambda: get("PORT", "/health/ready") == 200, "the validator")
    assert get("VALIDATOR_METRICS_PORT", "/metrics") == 200
