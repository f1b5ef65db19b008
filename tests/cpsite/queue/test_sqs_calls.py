"""Our calls to SQS beside boto3's own: the same requests, answers, errors and attempts."""

import functools
import gzip
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import botocore.endpoint
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)

from cpsite import aws
from cpsite.credentials import CredentialsUnavailable
from cpsite.queue import http_pool, sqs_calls
from cpsite.queue.sqs_calls import SqsCalls
from tests.stands.tls import make_certificates
from tests.stands.wire import Wire, answer, close, end, hang, raw, refusal, reset, then

QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/q"
HTML = "<html><body>Access blocked</body></html>"
CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#: Long enough for a busy machine, where nothing hangs, and short where something does.
PATIENT, IMPATIENT = 60.0, 0.3


def _config(*, attempts=2, timeout=PATIENT, **options):
    return Config(
        connect_timeout=timeout,
        read_timeout=timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        parameter_validation=False,
        max_pool_connections=4,
        user_agent="cpsite/1",
        **options,
    )


def _boto3(config):
    return aws.client("sqs", config=config)


def _ours(config):
    made = sqs_calls.new_client(config)
    assert isinstance(made, SqsCalls)
    return made


@pytest.fixture
def pauses(monkeypatch):
    """Return the pauses between attempts, which are not made."""
    made = []
    monkeypatch.setattr(botocore.endpoint, "time", types.SimpleNamespace(sleep=made.append))
    return made


def _outcome(client, pauses, **arguments):
    """Return what a call returns or raises, and how many attempts were made."""
    pauses.clear()
    outcome = {}
    try:
        outcome["returned"] = client.receive_message(QueueUrl=QUEUE, **arguments)
        outcome["returned"].pop("ResponseMetadata", None)
    except Exception as exc:
        outcome["raised"] = type(exc)
        if isinstance(exc, ClientError):
            outcome["error"] = exc.response.get("Error")
            outcome["operation"] = exc.operation_name
    return outcome | {"attempts": len(pauses) + 1}


MESSAGES = json.dumps(
    {"Messages": [{"MessageId": "m", "Body": "é\n", "Attributes": {"SentTimestamp": "1"}}]}
)

ANSWERS = {
    "messages": answer(200, MESSAGES),
    "no messages": answer(200, "{}"),
    "null for none": answer(200, '{"Messages":null}'),
    "null inside": answer(200, '{"Messages":[{"MessageId":"m","Body":null}]}'),
    "null in a body": answer(200, '{"Messages":[{"Body":"{\\"a\\":null}"}]}'),
    "an empty body": answer(200, ""),
    "white space": answer(200, " \n"),
    "HTML": answer(200, HTML),
    "a list": answer(200, "[1]"),
    "a text": answer(200, '"x"'),
    "a number": answer(200, "1"),
    "null": answer(200, "null"),
    "not UTF-8": answer(200, b'{"Messages":[{"Body":"\xff"}]}'),
    "UTF-16": answer(200, '{"Messages":[]}'.encode("utf-16")),
    "a byte order mark": answer(200, '\ufeff{"Messages":[]}'),
    "deep nesting": answer(200, '{"a":' * 100_000),
    "a number that is too long": answer(200, '{"a":' + "9" * 5_000 + "}"),
    "compressed": answer(200, gzip.compress(MESSAGES.encode()), "Content-Encoding: gzip"),
    "truncated": then(answer(200, MESSAGES[:20], length=len(MESSAGES)), close),
    "truncated chunks": then(raw(f"{CHUNKED}40\r\n{MESSAGES[:20]}".encode()), close),
    "chunks": raw(f"{CHUNKED}{len(MESSAGES.encode()):x}\r\n{MESSAGES}\r\n0\r\n\r\n".encode()),
    "until the end": then(raw(f"HTTP/1.1 200 OK\r\n\r\n{MESSAGES}".encode()), close),
    "HTTP/1.0": then(raw(f"HTTP/1.0 200 OK\r\n\r\n{MESSAGES}".encode()), close),
    "continue, then the answer": then(raw(b"HTTP/1.1 100 Go on\r\n\r\n"), answer(200, MESSAGES)),
    "another success": answer(202, MESSAGES),
    "no content": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "status 300": answer(300, MESSAGES),
    "status 301": answer(301, "", "Location: http://127.0.0.1:1/"),
    "status 307": answer(307, HTML, "Location: http://127.0.0.1:1/"),
    "refused": refusal(400, "InvalidAddress"),
    "refused by the older code": refusal(
        400,
        "QueueDoesNotExist",
        "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender",
    ),
    "refused by an unreadable code": refusal(400, "QueueDoesNotExist", "x-amzn-query-error: x"),
    "refused without a code": answer(400, '{"message": "because"}'),
    "refused with a code that is no text": answer(400, '{"__type": 7}'),
    "refused by a list": answer(400, "[]"),
    "refused by HTML": answer(403, HTML),
    "refused by nothing": answer(403, ""),
    "not found by a proxy": answer(404, HTML),
    "too large": answer(413, "too large"),
    "expired": refusal(403, "ExpiredToken"),
    "unknown key": refusal(403, "InvalidClientTokenId"),
    "a wrong clock": refusal(403, "SignatureDoesNotMatch"),
    "throttled": refusal(400, "RequestThrottled"),
    "throttled by the older code": refusal(
        403, "RequestThrottled", "x-amzn-query-error: RequestThrottled;Sender"
    ),
    "throttled by status": answer(429, ""),
    "throttled by a proxy": answer(429, HTML, "Retry-After: 5", "x-amz-retry-after: 200"),
    "timed out there": refusal(400, "RequestTimeout"),
    "internal error": refusal(500, "InternalError"),
    "unavailable by JSON": refusal(503, "ServiceUnavailable"),
    "unavailable by HTML": answer(503, HTML),
    "unavailable by nothing": answer(503, ""),
    "unavailable by words": answer(503, "try later"),
    "bad gateway": answer(502, HTML),
    "gateway timed out": answer(504, HTML),
    "not implemented": answer(501, HTML),
    "status 599": answer(599, "{}"),
    "no HTTP": raw(b"SSH-2.0-OpenSSH\r\n\r\n"),
    "a status that is none": then(raw(b"HTTP/1.1 banana\r\n\r\n"), close),
    "a head without end": then(raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000), close),
    "too many headers": answer(200, "{}", *(f"X-{number}: x" for number in range(200))),
    "a length that is none": then(raw(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}"), close),
    "headers twice": answer(200, MESSAGES, "X: 1", "X: 2"),
    "closed": close,
    "reset": reset,
    "reset inside": then(answer(200, MESSAGES[:20], length=len(MESSAGES)), reset),
}


@pytest.mark.parametrize("behaviour", ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("then_works", [False, True], ids=["always", "once"])
def test_each_answer_is_what_boto3_makes_of_it(monkeypatch, pauses, behaviour, then_works):
    after = [answer(200, MESSAGES)] if then_works else []
    outcomes, requests = [], []
    for make in (_boto3, _ours):
        # A server that closes ends both its attempts: each has a connection of its own.
        with Wire(behaviour, *after) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
            client = make(_config())
            outcomes.append(_outcome(client, pauses))
            requests.append(len(server.requests))
    assert outcomes[1] == outcomes[0]
    assert requests[1] == requests[0] == outcomes[0]["attempts"]


HANGS = {
    "no answer": hang,
    "half a head": raw(b"HTTP/1.1 200 OK\r\nContent-"),
    "half a body": answer(200, MESSAGES[:20], length=len(MESSAGES)),
    "half a chunk": raw(f"{CHUNKED}40\r\n{MESSAGES[:20]}".encode()),
}


@pytest.mark.parametrize("behaviour", HANGS.values(), ids=HANGS.keys())
def test_an_answer_that_does_not_come_times_out_as_with_boto3(monkeypatch, pauses, behaviour):
    outcomes = []
    for make in (_boto3, _ours):
        with Wire(behaviour) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
            outcomes.append(_outcome(make(_config(timeout=IMPATIENT)), pauses))
    assert outcomes[0] == outcomes[1] == {"raised": ReadTimeoutError, "attempts": 2}


def _nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def full():
    """The URL of a listener that takes no more connections."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        try:
            while True:
                waiting.append(socket.create_connection(listener.getsockname(), timeout=0.5))
        except TimeoutError:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for connection in waiting:
            connection.close()


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (_nobody_listens, EndpointConnectionError),
        (lambda: "http://no-such-host.invalid", EndpointConnectionError),
        (lambda: "https://no-such-host.invalid", EndpointConnectionError),
    ],
    ids=["refused", "no such host", "no such host, TLS"],
)
def test_a_connection_that_cannot_be_made_fails_as_with_boto3(monkeypatch, pauses, url, kind):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", url())
    outcomes = [_outcome(make(_config()), pauses) for make in (_boto3, _ours)]
    assert outcomes[0] == outcomes[1] == {"raised": kind, "attempts": 2}


def test_a_connection_that_is_not_accepted_times_out_as_with_boto3(monkeypatch, pauses, full):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", full)
    outcomes = [_outcome(make(_config(timeout=IMPATIENT)), pauses) for make in (_boto3, _ours)]
    assert outcomes[0] == outcomes[1] == {"raised": ConnectTimeoutError, "attempts": 2}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("tls"))


TRUST = {
    "trusted": ("AWS_CA_BUNDLE", "bundle", "127.0.0.1", None),
    "trusted otherwise": ("REQUESTS_CA_BUNDLE", "bundle", "127.0.0.1", None),
    "not trusted": ("AWS_CA_BUNDLE", None, "127.0.0.1", SSLError),
    "for another host": ("AWS_CA_BUNDLE", "bundle", "localhost", SSLError),
    "no certificate": ("AWS_CA_BUNDLE", "text", "127.0.0.1", SSLError),
}


@pytest.mark.parametrize(("variable", "bundle", "host", "raised"), TRUST.values(), ids=TRUST.keys())
def test_a_server_is_trusted_as_boto3_trusts_it(
    monkeypatch, pauses, certificates, tmp_path, variable, bundle, host, raised
):
    authority, certificate = certificates
    (tmp_path / "text").write_text("no certificate")
    paths = {"bundle": authority, "text": tmp_path / "text"}
    if bundle:
        monkeypatch.setenv(variable, str(paths[bundle]))
    with Wire(answer(200, MESSAGES), certificate=certificate) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", f"https://{host}:{server.port}")
        outcomes = [_outcome(make(_config()), pauses) for make in (_boto3, _ours)]
    expected = {"raised": raised} if raised else {"returned": json.loads(MESSAGES)}
    assert outcomes[0] == outcomes[1] == {**expected, "attempts": 2 if raised else 1}


def test_a_bundle_that_is_not_there_fails_calls_and_no_start(
    monkeypatch, pauses, certificates, tmp_path
):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none"))
    with Wire(answer(), certificate=certificates[1]) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
        outcomes = [_outcome(make(_config()), pauses) for make in (_boto3, _ours)]
    assert outcomes[0].keys() == outcomes[1].keys() == {"raised", "attempts"}
    assert outcomes[1]["raised"] is SSLError


@pytest.mark.parametrize(
    ("behaviour", "kinds"),
    [
        (hang, {ReadTimeoutError}),
        (answer(), {SSLError}),
        # An end or a reset, as it happens to come.
        (close, {SSLError, ConnectionClosedError}),
    ],
    ids=["not answered", "answered without TLS", "closed"],
)
def test_tls_that_fails_does_so_as_with_boto3(monkeypatch, pauses, behaviour, kinds):
    for make in (_boto3, _ours):
        with Wire(behaviour, unread=True) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", f"https://127.0.0.1:{server.port}")
            outcome = _outcome(make(_config(timeout=1.0)), pauses)
        assert outcome.pop("raised") in kinds
        assert outcome == {"attempts": 2}


@pytest.fixture
def new_credentials():
    """Return a function that has credentials looked for as in a new process; so begins a test."""

    def forget():
        aws.credentials.cache_clear()
        aws._session.cache_clear()

    forget()
    yield forget
    forget()


CALLS = {
    "send_message": {"MessageBody": 'é"\n\u2028', "DelaySeconds": 1},
    "send_message_batch": {"Entries": [{"Id": "0", "MessageBody": "x"}]},
    "receive_message": {
        "MaxNumberOfMessages": 10,
        "WaitTimeSeconds": 5,
        "VisibilityTimeout": 30,
        "MessageSystemAttributeNames": ["ApproximateReceiveCount"],
    },
    "delete_message": {"ReceiptHandle": "h"},
    "delete_message_batch": {"Entries": [{"Id": "0", "ReceiptHandle": "h"}]},
    "change_message_visibility": {"ReceiptHandle": "h", "VisibilityTimeout": 0},
    "change_message_visibility_batch": {
        "Entries": [{"Id": "0", "ReceiptHandle": "h", "VisibilityTimeout": 0}]
    },
    "get_queue_attributes": {"AttributeNames": ["QueueArn"]},
    # No frequent one.
    "purge_queue": {},
}
#: Of each request of its own, and what botocore says about its retries.
_OF_ONE_REQUEST = {"x-amz-date", "authorization", "amz-sdk-invocation-id", "amz-sdk-request"}


@pytest.mark.parametrize(("method", "arguments"), CALLS.items(), ids=CALLS.keys())
@pytest.mark.parametrize("token", [None, "session-token"])
def test_each_call_is_the_request_that_boto3_makes(
    monkeypatch, new_credentials, method, arguments, token
):
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    with Wire(answer()) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
        for make in (_boto3, _ours):
            getattr(make(_config()), method)(QueueUrl=QUEUE, **arguments)
    (theirs, their_body), (ours, our_body) = server.requests
    assert our_body == their_body
    assert {name: value for name, value in ours.items() if name not in _OF_ONE_REQUEST} == {
        name: value for name, value in theirs.items() if name not in _OF_ONE_REQUEST
    }
    assert ours.get("x-amz-security-token") == token
    signed = [headers["authorization"].partition("Signature")[0] for headers in (theirs, ours)]
    assert signed[0] == signed[1]


def test_a_call_that_succeeds_asks_nothing_of_botocore(monkeypatch):
    with Wire(answer(200, MESSAGES)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
        client = _ours(_config())
        monkeypatch.setattr(client, "_client", None)
        assert client.receive_message(QueueUrl=QUEUE) == json.loads(MESSAGES)


def _attempts(make, pauses, behaviours, calls):
    """Return how many attempts each of `calls` calls has taken."""
    with Wire(*behaviours) as server:
        client = make(server.url)
        return [_outcome(client, pauses)["attempts"] for _ in range(calls)]


def test_the_quota_for_retries_is_used_up_and_recovers_as_boto3s(monkeypatch, pauses):
    """500 for a client; a retry takes 14, and a call that succeeds at once gives 1 back."""
    failing, working = answer(500, "{}"), answer(200, MESSAGES)
    behaviours = [failing] * (2 * 35 + 5) + [working] * 20 + [failing]

    def made(make, url):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", url)
        return make(_config())

    theirs, ours = (
        _attempts(functools.partial(made, make), pauses, behaviours, 70) for make in (_boto3, _ours)
    )
    assert ours == theirs
    assert ours == [2] * 35 + [1] * 5 + [1] * 20 + [2] * 2 + [1] * 8


@pytest.mark.parametrize("code", sorted(aws.REFUSED_CREDENTIALS))
def test_refused_credentials_are_looked_for_again(monkeypatch, code):
    distrusted = []
    monkeypatch.setattr(type(aws.credentials()), "distrust", lambda self: distrusted.append(code))
    with Wire(refusal(403, code)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
        with pytest.raises(ClientError, match=code):
            _ours(_config()).send_message(QueueUrl=QUEUE, MessageBody="x")
    assert distrusted == [code]


def test_new_credentials_sign_the_next_call(monkeypatch, new_credentials):
    with Wire(answer()) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
        client = _ours(_config())
        for key in ("first", "second"):
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
            aws.credentials.cache_clear()
            client.send_message(QueueUrl=QUEUE, MessageBody="x")
    signed = [headers["authorization"].split("/")[0] for headers, _ in server.requests]
    assert signed == [f"AWS4-HMAC-SHA256 Credential={key}" for key in ("first", "second")]


def test_without_credentials_nothing_is_sent(monkeypatch):
    with Wire(answer()) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
        client = _ours(_config())
        monkeypatch.setattr(type(aws.credentials()), "get_frozen_credentials", _no_credentials)
        with pytest.raises(CredentialsUnavailable):
            client.send_message(QueueUrl=QUEUE, MessageBody="x")
    assert server.requests == []


def _no_credentials(_self):
    raise CredentialsUnavailable("none")


def test_an_outcome_that_botocore_did_not_take_is_not_the_next_calls(monkeypatch, pauses):
    """Credentials expire between our attempt and botocore's signature."""
    with Wire(answer(500, "{}"), answer(200, MESSAGES)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
        client = _ours(_config())
        real, calls = aws.credentials().get_frozen_credentials, []

        def once(_self):
            calls.append(1)
            return real() if len(calls) == 1 else _no_credentials(_self)

        with monkeypatch.context() as patch:
            patch.setattr(type(aws.credentials()), "get_frozen_credentials", once)
            with pytest.raises(CredentialsUnavailable):
                client.receive_message(QueueUrl=QUEUE)
        # No frequent call, and so botocore's from the beginning.
        assert client.list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_no_error_quotes_a_credential(monkeypatch, new_credentials, pauses):
    """A token with a line break, as from a file, can be no header."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "secret\r\ntoken")
    with Wire(answer()) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
        with pytest.raises(HTTPClientError) as raised:
            _ours(_config()).send_message(QueueUrl=QUEUE, MessageBody="x")
    assert "secret" not in str(raised.value)
    assert raised.value.__suppress_context__
    assert server.requests == []


def test_an_answer_has_a_greatest_length(monkeypatch, pauses):
    monkeypatch.setattr(http_pool, "ANSWER_BYTES", 100)
    outcomes = []
    for body in ("{}" + " " * 98, "{}" + " " * 99):
        with Wire(answer(200, body)) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
            outcomes.append(_outcome(_ours(_config()), pauses))
    assert outcomes == [
        {"returned": {}, "attempts": 1},
        {"raised": HTTPClientError, "attempts": 2},
    ]


PLACES = {
    "a region": ({}, "eu-west-1", "https://sqs.eu-west-1.amazonaws.com/"),
    "GovCloud": ({}, "us-gov-west-1", "https://sqs.us-gov-west-1.amazonaws.com/"),
    "China": ({}, "cn-north-1", "https://sqs.cn-north-1.amazonaws.com.cn/"),
    "FIPS": (
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        "us-east-1",
        "https://sqs-fips.us-east-1.amazonaws.com/",
    ),
    "dualstack": (
        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
        "us-east-1",
        "https://sqs.us-east-1.api.aws/",
    ),
    "an endpoint": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}, "us-east-1", None),
    "its own endpoint": (
        {"AWS_ENDPOINT_URL": "http://other", "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:4566"},
        "us-east-1",
        None,
    ),
    "IPv6": ({"AWS_ENDPOINT_URL": "http://[::1]:4566"}, "us-east-1", "http://[::1]:4566/"),
    "no proxy for it": (
        {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": ".amazonaws.com"},
        "eu-west-1",
        "https://sqs.eu-west-1.amazonaws.com/",
    ),
}


@pytest.fixture
def place(monkeypatch, settings):
    """Return a function that sets variables and the region."""

    def at(variables, region="us-east-1"):
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"):
            monkeypatch.delenv(name, raising=False)
        for name in ("http_proxy", "https_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.AWS_REGION = region

    return at


@pytest.mark.parametrize(("variables", "region", "url"), PLACES.values(), ids=PLACES.keys())
def test_calls_go_where_boto3_sends_them(place, variables, region, url):
    place(variables, region)
    endpoint = _ours(_config())._endpoint
    assert endpoint.url == (url or "http://127.0.0.1:4566/")
    assert endpoint.signer._region == region


OTHERWISE = {
    "through a proxy": ({"HTTPS_PROXY": "http://127.0.0.1:1"}, {}),
    "through a proxy, to an emulator": (
        {"http_proxy": "http://127.0.0.1:1", "AWS_ENDPOINT_URL": "http://emulator:4566"},
        {},
    ),
    "to a path": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:4566/sqs"}, {}),
    "unsigned": ({}, {"signature_version": UNSIGNED}),
}


@pytest.mark.parametrize(("variables", "options"), OTHERWISE.values(), ids=OTHERWISE.keys())
def test_boto3_makes_the_calls_that_it_makes_otherwise(place, variables, options):
    place(variables)
    made = sqs_calls.new_client(_config(**options))
    assert type(made).__name__ == "SQS"


def test_a_connection_is_used_again(monkeypatch):
    with Wire(answer()) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
        client = _ours(_config())
        for _ in range(5):
            client.receive_message(QueueUrl=QUEUE)
    assert (server.connections, len(server.requests)) == (1, 5)


@pytest.mark.parametrize("tls", [False, True])
def test_a_connection_that_was_closed_meanwhile_is_not_used(monkeypatch, certificates, pauses, tls):
    authority, certificate = certificates
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
    with Wire(answer(), certificate=certificate if tls else None) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
        client = _ours(_config())
        for _ in range(3):
            client.receive_message(QueueUrl=QUEUE)
            end(server.open[-1])
    assert (server.connections, len(server.requests), pauses) == (3, 3, [])


def test_a_server_that_closes_after_each_answer_gets_new_connections(monkeypatch, pauses):
    with Wire(answer(200, "{}", "Connection: close")) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
        client = _ours(_config())
        for _ in range(3):
            client.receive_message(QueueUrl=QUEUE)
    assert (server.connections, pauses) == (3, [])


def test_threads_get_their_own_answers_and_few_connections_stay(monkeypatch):
    class Digests(Wire):
        """Answers each connection with the digest of what it was sent."""

        def _read(self, connection):
            return self._respond(connection) if super()._read(connection) else False

        def _respond(self, connection):
            sent = json.loads(self.last[connection])["MessageBody"]
            digest = hashlib.md5(sent.encode()).hexdigest()
            answer(200, json.dumps({"MD5OfMessageBody": digest}))(connection)
            return True

    with Digests(hang) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
        client = _ours(_config())

        def call(number):
            answered = client.send_message(QueueUrl=QUEUE, MessageBody=str(number))
            return answered["MD5OfMessageBody"]

        with ThreadPoolExecutor(16) as pool:
            got = list(pool.map(call, range(400)))
    assert got == [hashlib.md5(str(number).encode()).hexdigest() for number in range(400)]
    assert len(client._pool._idle) <= 4


def test_a_forked_process_uses_no_connection_of_its_parent(monkeypatch):
    with Wire(answer()) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.url)
        client = _ours(_config())
        client.receive_message(QueueUrl=QUEUE)
        child = os.fork()
        if child == 0:
            try:
                client.receive_message(QueueUrl=QUEUE)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        client.receive_message(QueueUrl=QUEUE)
    assert (server.connections, len(server.requests)) == (2, 3)


_GREENLETS = """
from gevent import monkey
monkey.patch_all()
import os, sys
import django
django.setup()
# The settings of tests keep what comes from outside away.
os.environ["AWS_ENDPOINT_URL_SQS"], os.environ["AWS_CA_BUNDLE"] = sys.argv[1:]
import gevent
from botocore.config import Config
from cpsite.queue import sqs_calls
client = sqs_calls.new_client(Config(max_pool_connections=20, retries={"total_max_attempts": 1}))
assert isinstance(client, sqs_calls.SqsCalls)
for _ in range(2):
    calls = [
        gevent.spawn(client.send_message, QueueUrl="q", MessageBody=str(number))
        for number in range(20)
    ]
    gevent.joinall(calls, raise_error=True)
"""


@pytest.mark.parametrize("tls", [False, True])
def test_greenlets_wait_side_by_side(certificates, tls):
    """The server answers none before all twenty have asked. Then they use its connections again."""
    together = threading.Barrier(20)

    def after_all(connection):
        together.wait(60)
        answer()(connection)

    authority, certificate = certificates
    with Wire(after_all, certificate=certificate if tls else None) as server:
        subprocess.run(
            [sys.executable, "-c", _GREENLETS, server.url, authority],
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
            check=True,
            timeout=120,
        )
    assert (server.connections, len(server.requests)) == (20, 40)
