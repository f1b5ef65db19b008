"""Each fault does what it says, between a client and a service that counts what it did."""

import http.client
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.chaos import proxy as proxy_module
from tests.chaos.dialects import S3, Container, Sqs, Sts
from tests.chaos.faults import Fault, Injector, Outage
from tests.chaos.proxy import Proxy


class Upstream:
    """A service that remembers the bodies it was sent, and answers as a queue does."""

    def __init__(self):
        self.bodies = []
        self.connections = set()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                upstream.bodies.append(body)
                upstream.connections.add(self.client_address)
                answer = upstream.answer(self.headers.get("x-amz-target", ""), body)
                self.send_response(200)
                if self.path == "/chunked":
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(answer), answer))
                else:
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def do_PUT(self):
                self.do_POST()

            def log_message(self, *_args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def answer(self, target, body):
        if target.endswith("Batch"):
            done = [{"Id": entry["Id"]} for entry in json.loads(body)["Entries"]]
            return json.dumps({"Successful": done, "Failed": []}).encode()
        if target.endswith("ReceiveMessage"):
            number = len(self.bodies)
            found = [
                {"MessageId": f"{number}-{index}", "ReceiptHandle": f"handle-{number}"}
                for index in range(json.loads(body)["MaxNumberOfMessages"])
            ]
            return json.dumps({"Messages": found}).encode()
        return b"done " + body

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def entries(self):
        return [[entry["Id"] for entry in json.loads(body)["Entries"]] for body in self.bodies]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    thread = threading.Thread(target=made.server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@contextmanager
def running(upstream, fault=None, dialect=None, outages=()):
    rates = {fault: 1.0} if fault else {}
    injector = Injector(random.Random(1), rates, outages)
    injector.start()
    with Proxy(upstream.url, dialect or Sqs(), injector) as running:
        yield running


def call(proxy, body=b"hello", target="AmazonSQS.SendMessage", *, method="POST", path="/"):
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    try:
        connection.request(method, path, body, {"X-Amz-Target": target})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def batch(proxy, action="SendMessageBatch", size=10):
    entries = [{"Id": str(number)} for number in range(size)]
    status, body = call(proxy, json.dumps({"Entries": entries}).encode(), f"AmazonSQS.{action}")
    assert status == 200
    answer = json.loads(body)
    return [each["Id"] for each in answer["Successful"]], answer["Failed"]


def receive(proxy, number=10):
    body = json.dumps({"MaxNumberOfMessages": number}).encode()
    return json.loads(call(proxy, body, "AmazonSQS.ReceiveMessage")[1])["Messages"]


def test_calls_pass_unchanged_and_connections_are_kept_on_both_sides(upstream):
    with running(upstream) as proxy:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
        for number in range(5):
            connection.request("POST", "/", b"x" * number * 50_000)
            answer = connection.getresponse()
            assert answer.read() == b"done " + b"x" * number * 50_000
        connection.close()
    assert len(upstream.connections) == 1
    assert not proxy.injector.counts


def test_an_answer_in_chunks_passes(upstream):
    with running(upstream) as proxy:
        assert call(proxy, path="/chunked") == (200, b"done hello")


def test_a_client_that_waits_for_continue_gets_it(upstream):
    with running(upstream) as proxy:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
        connection.putrequest("PUT", "/")
        connection.putheader("Expect", "100-continue")
        connection.putheader("Content-Length", "5")
        connection.endheaders()
        assert connection.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"hello")
        assert connection.getresponse().read() == b"done hello"
        connection.close()


def test_reset_before_forwarding_does_nothing(upstream):
    with running(upstream, Fault.RESET_BEFORE) as proxy, pytest.raises(ConnectionError):
        call(proxy)
    assert upstream.bodies == []
    assert proxy.injector.counts == {Fault.RESET_BEFORE: 1}


def test_reset_after_forwarding_loses_the_answer_alone(upstream):
    with running(upstream, Fault.RESET_AFTER) as proxy, pytest.raises(ConnectionError):
        call(proxy)
    assert upstream.bodies == [b"hello"]


def test_a_truncated_answer_is_shorter_than_it_says(upstream):
    with running(upstream, Fault.TRUNCATED) as proxy:
        outcomes = []
        for _ in range(20):
            try:
                outcomes.append(call(proxy)[1])
            except (http.client.HTTPException, ConnectionError) as exc:
                outcomes.append(type(exc).__name__)
    assert len(upstream.bodies) == 20
    assert b"done hello" not in outcomes
    assert "IncompleteRead" in outcomes


def test_a_slow_answer_comes(upstream, monkeypatch):
    monkeypatch.setattr(proxy_module, "SLOW_SECONDS", (0.0, 0.01))
    with running(upstream, Fault.SLOW) as proxy:
        assert call(proxy) == (200, b"done hello")


def test_no_answer_comes_until_the_faults_are_over(upstream):
    with running(upstream, Fault.HANG) as proxy:
        threading.Timer(0.5, proxy.injector.stop).start()
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            call(proxy)
        assert call(proxy) == (200, b"done hello")
    assert upstream.bodies == [b"hello"]


def test_errors_have_the_shape_of_sqs(upstream):
    with running(upstream, Fault.ERROR) as proxy:
        status, body = call(proxy)
    assert status in {500, 503}
    assert json.loads(body)["__type"].startswith("com.amazonaws.sqs#")
    with running(upstream, Fault.THROTTLED) as proxy:
        status, body = call(proxy)
    assert (status, json.loads(body)["__type"].endswith(("Throttled", "ThrottlingException"))) == (
        400,
        True,
    )
    assert upstream.bodies == []


def test_errors_have_the_shape_of_s3(upstream):
    with running(upstream, Fault.ERROR, S3()) as proxy:
        status, body = call(proxy, method="PUT")
    assert status in {500, 503}
    assert b"<Code>InternalError</Code>" in body or b"<Code>ServiceUnavailable</Code>" in body
    with running(upstream, Fault.THROTTLED, S3()) as proxy:
        status, body = call(proxy, method="PUT")
    assert status == 503
    assert b"<Code>SlowDown</Code>" in body
    assert upstream.bodies == []


@pytest.mark.parametrize(
    ("dialect", "fault", "statuses", "words"),
    [
        (S3(), Fault.EXPIRED, {400, 403}, {"ExpiredToken", "InvalidAccessKeyId"}),
        (S3(), Fault.DENIED, {403}, {"<Code>AccessDenied</Code>"}),
        (S3(), Fault.PAGE, {403}, {"<html>"}),
        (Sqs(), Fault.EXPIRED, {403}, {"ExpiredTokenException", "UnrecognizedClientException"}),
        (Container(), Fault.ERROR, {500, 503}, {"InternalServerError"}),
        (Container(), Fault.THROTTLED, {429}, {"Throttled"}),
        (Sts(), Fault.ERROR, {500, 503}, {"InternalFailure", "ServiceUnavailable"}),
        (Sts(), Fault.THROTTLED, {400}, {"<Code>Throttling</Code>"}),
    ],
    # Of no set: its order differs between the processes that share the tests.
    ids=lambda value: (
        type(value).__name__
        if hasattr(value, "answers")
        else " ".join(map(str, sorted(value)))
        if isinstance(value, set)
        else str(value)
    ),
)
def test_a_refusal_has_the_shape_of_its_service(upstream, dialect, fault, statuses, words):
    with running(upstream, fault, dialect) as proxy:
        answers = [call(proxy) for _ in range(20)]
    assert {status for status, _ in answers} == statuses
    assert {word for word in words for _, body in answers if word in body.decode()} == words
    assert upstream.bodies == []


def test_s3_refuses_only_the_objects_of_a_kms_key_that_is_disabled(upstream):
    outages = [Outage(0, 60, Fault.KEY_DISABLED)]
    with running(upstream, dialect=S3(), outages=outages) as proxy:
        for message_id, expected in (("03f", 400), ("04f", 200), ("f03", 200), ("03f", 400)):
            path = f"/bucket/messages/2026/11/26/{message_id}.json"
            status, body = call(proxy, method="PUT", path=path)
            assert status == expected
            assert (b"<Code>KMS.DisabledException</Code>" in body) == (expected == 400)
    assert len(upstream.bodies) == 2


@pytest.mark.parametrize(
    "action", ["SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"]
)
def test_a_partial_failure_does_only_what_it_does_not_report(upstream, action):
    with running(upstream, Fault.PARTIAL) as proxy:
        done, failed = batch(proxy, action)
    assert done
    assert failed
    assert upstream.entries() == [done] or sorted(upstream.entries()[0]) == sorted(done)
    assert {each["Id"] for each in failed} == set(map(str, range(10))) - set(done)
    assert not any(each["SenderFault"] for each in failed)


def test_a_batch_of_one_can_fail_without_being_forwarded(upstream):
    with running(upstream, Fault.PARTIAL) as proxy:
        assert batch(proxy, size=1)[0] == []
    assert upstream.bodies == []


def test_an_entry_that_is_not_mentioned_was_done_or_not(upstream):
    with running(upstream, Fault.UNMENTIONED) as proxy:
        for _ in range(20):
            done, failed = batch(proxy)
            assert (len(done), failed) == (9, [])
    assert {len(entries) for entries in upstream.entries()} == {9, 10}


def test_what_was_delivered_comes_once_more_under_its_old_handle(upstream):
    dialect = Sqs()
    with running(upstream, dialect=dialect) as proxy:
        first = receive(proxy, 3)
    with running(upstream, Fault.REDELIVERY, dialect) as proxy:
        second = receive(proxy)
        assert len(second) == 10
        (old,) = [each for each in second if each in first]
        assert old["ReceiptHandle"] == "handle-1"
        # With room for one, nothing is asked for.
        (only,) = receive(proxy, 1)
        assert only in first
    assert [json.loads(body)["MaxNumberOfMessages"] for body in upstream.bodies] == [3, 9]


def test_other_calls_are_left_alone_by_faults_of_batches(upstream):
    with running(upstream, Fault.PARTIAL) as proxy:
        assert call(proxy) == (200, b"done hello")
    with running(upstream, Fault.REDELIVERY) as proxy:
        assert len(receive(proxy)) == 10  # nothing was delivered before
    assert not proxy.injector.counts


def test_an_outage_meets_every_call_for_as_long_as_it_lasts():
    now = [100.0]
    injector = Injector(random.Random(1), {}, [Outage(5, 7, Fault.ERROR)], clock=lambda: now[0])
    assert injector.choose({Fault.ERROR}) is None
    injector.start()
    seen = []
    for now[0] in (104.9, 105.0, 106.9, 107.0):
        seen.append(injector.choose({Fault.ERROR}))
    assert seen == [None, Fault.ERROR, Fault.ERROR, None]
    assert injector.counts == {"5xx (outage)": 2}


def test_chance_follows_the_seed_and_the_rates():
    def draw():
        injector = Injector(random.Random(7), {Fault.ERROR: 0.2, Fault.SLOW: 0.1})
        injector.start()
        return [injector.choose({Fault.ERROR, Fault.SLOW}) for _ in range(1000)], injector.counts

    first, counts = draw()
    assert first == draw()[0]
    assert 150 < counts[Fault.ERROR] < 250
    assert 60 < counts[Fault.SLOW] < 140


def test_a_service_that_is_not_there_is_a_reset(upstream):
    injector = Injector(random.Random(1), {})
    with Proxy("http://127.0.0.1:9", Sqs(), injector) as proxy, pytest.raises(ConnectionError):
        call(proxy)
