"""The promises of the main path, with real processes."""

import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import boto3
import pytest

from tests import factories
from tests.end_to_end.conftest import ROOT
from tests.gate import Gate
from tests.waiting import wait_for

pytestmark = pytest.mark.end_to_end


def _data(number):
    return factories.fields(field1=f"number {number} é😀\n")


def _objects(services):
    """Message id → stored document, of every object in the bucket."""
    paginator = services.bucket.client.get_paginator("list_objects_v2")
    keys = [
        item["Key"]
        for page in paginator.paginate(Bucket=services.bucket.name)
        for item in page.get("Contents", [])
    ]
    documents = {key: json.loads(services.bucket.read(key)) for key in keys}
    assert len({document["message_id"] for document in documents.values()}) == len(keys)
    return {document["message_id"]: document for document in documents.values()}


def test_a_message_travels_from_http_to_s3_and_the_audit_log(services):
    validator, uploader = services.validator(), services.uploader()
    status, accepted = services.post(_data(1))
    assert status == 202
    stored = wait_for(lambda: _objects(services), "the object")
    assert stored[accepted["message_id"]]["data"] == _data(1)
    (key,) = services.bucket.keys()
    assert key.startswith("messages/20")
    assert key.endswith(f"/{accepted['message_id']}.json")
    assert services.post(_data(2), token="unknown-token")[0] == 401
    assert services.post({"field1": "only"})[0] == 400
    assert services.manage("check_uploader").returncode == 0
    assert uploader.stop() == 0
    assert validator.stop() == 0
    # Both services have written what they had in memory before they ended.
    assert services.audit() == [
        ("accepted", accepted["message_id"]),
        ("stored", accepted["message_id"]),
        ("refused", "token_unknown"),
        ("refused", "contract_required"),
    ]
    assert services.manage("check_uploader").returncode == 1
    for process in (validator, uploader):
        text = process.log.read_text()
        assert "alice-token-1" not in text
        assert "trois" not in text


def test_an_audit_log_of_failures_alone(services):
    validator = services.validator(AUDIT_EVENTS="failures")
    uploader = services.uploader(AUDIT_EVENTS="failures")
    status, _ = services.post(_data(1))
    assert status == 202
    wait_for(lambda: _objects(services), "the object")
    assert services.post(_data(2), token="unknown-token")[0] == 401
    assert uploader.stop() == 0
    assert validator.stop() == 0
    assert services.audit() == [("refused", "token_unknown")]


def test_log_lines_carry_request_and_message_id(services):
    validator, uploader = services.validator(), services.uploader()
    _, accepted = services.post(_data(1))
    events = wait_for(
        lambda: [line for line in uploader.lines() if line["event"] == "message_stored"], "a line"
    )
    assert [line["message_id"] for line in events] == [accepted["message_id"]]
    (line,) = [line for line in validator.lines() if line["event"] == "message_accepted"]
    assert line["message_id"] == accepted["message_id"]
    assert len(line["request_id"]) == 32


def test_metrics_add_up_over_several_gunicorn_workers(services):
    services.validator(WEB_CONCURRENCY="3")
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda number: services.post(_data(number))[0], range(40)))
    assert statuses == [202] * 40
    name = 'validator_messages_total{result="accepted"}'
    # Any of the workers answers a scrape, each for all.
    scrapes = {services.metric("VALIDATOR_METRICS_PORT", name) for _ in range(10)}
    assert scrapes == {40.0}
    name = 'validator_publish_seconds_count{result="ok"}'
    assert services.metric("VALIDATOR_METRICS_PORT", name) == 40
    name = 'validator_request_seconds_count{status="202"}'
    assert services.metric("VALIDATOR_METRICS_PORT", name) == 40
    assert services.get("/metrics")[0] == 404  # never on the public port


@pytest.mark.slow(reason="starts several sets of processes")
def test_metrics_survive_the_death_of_a_gunicorn_worker(services):
    validator = services.validator(WEB_CONCURRENCY="2")
    for number in range(10):
        services.post(_data(number))
    boot, *_ = [line for line in validator.lines() if "Booting worker" in line["event"]]
    pid = int(boot["event"].rpartition(" ")[2].rstrip(")"))
    os.kill(pid, signal.SIGKILL)
    wait_for(
        lambda: sum("Booting worker" in line["event"] for line in validator.lines()) == 3,
        "a new worker",
    )
    wait_for(lambda: services.get("/health/live")[0] == 200, "the new worker")
    name = 'validator_messages_total{result="accepted"}'
    assert services.metric("VALIDATOR_METRICS_PORT", name) == 10


def test_kill_minus_nine_of_the_uploader_loses_nothing(services):
    services.validator()
    uploader = services.uploader("--concurrency", "4")
    with ThreadPoolExecutor(8) as pool:
        sent = pool.map(lambda number: (services.post(_data(number)), number), range(60))
        accepted = {answer["message_id"]: number for (_, answer), number in sent}
    wait_for(lambda: len(services.bucket.keys()) >= 5, "some objects")
    uploader.kill()
    while any(services.queue.count().values()):
        services.queue.make_visible()
        assert services.uploader("--drain").wait() == 0
    stored = _objects(services)
    assert stored.keys() == accepted.keys()
    for message_id, number in accepted.items():
        assert stored[message_id]["data"] == _data(number)


def _lines(services):
    """Every line of every batch in the bucket, as documents."""
    return [
        json.loads(line)
        for key in services.bucket.keys()  # noqa: SIM118 - not a dict
        for line in gzip.decompress(services.bucket.read(key)).splitlines()
    ]


@pytest.mark.slow(reason="starts several sets of processes")
def test_batches_lose_nothing_to_kill_minus_nine_and_are_flushed_by_sigterm(services):
    services.validator()
    batches = {"UPLOADER_LAYOUT": "batch", "UPLOADER_BATCH_MESSAGES": "25"}
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda number: services.post(_data(number)), range(60))
        accepted = {answer["message_id"] for _, answer in answers}
    killed = services.uploader("--receivers", "2", **batches)
    wait_for(services.bucket.keys, "the first batch")
    killed.kill()
    services.queue.make_visible()
    stopped = services.uploader(UPLOADER_BATCH_SECONDS="60", **batches)
    wait_for(lambda: services.queue.count()["visible"] == 0, "the messages to be in hand")
    assert stopped.stop() == 0
    # A poll of the killed process may have taken some along after all.
    while any(services.queue.count().values()):
        services.queue.make_visible()
        assert services.uploader("--drain", **batches).wait() == 0
    documents = _lines(services)
    assert {document["message_id"] for document in documents} == accepted
    # What is there twice was delivered twice, and is the same.
    assert len({json.dumps(document, sort_keys=True) for document in documents}) == 60


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow(reason="as SIGTERM, once more")),
    ],
)
def test_a_signal_drains_the_uploader_and_it_exits_0(services, number):
    services.validator()
    accepted = {services.post(_data(index))[1]["message_id"] for index in range(20)}
    uploader = services.uploader("--concurrency", "2")
    wait_for(services.bucket.keys, "the first object")
    uploader.signal(number)
    assert uploader.wait() == 0
    # Nothing is left hidden: what was not stored is back at once.
    assert services.queue.count() == {
        "visible": 20 - len(services.bucket.keys()),
        "in_flight": 0,
    }
    assert services.uploader("--drain").wait() == 0
    assert _objects(services).keys() == accepted


def test_a_second_signal_quits_at_once_and_loses_nothing(services, aws_endpoint):
    hanging = socket.create_server(("127.0.0.1", 0), backlog=20)
    s3 = f"http://127.0.0.1:{hanging.getsockname()[1]}"
    services.queue.send(factories.kombu_envelope(factories.message().encode()))
    uploader = services.uploader(AWS_ENDPOINT_URL_S3=s3)
    hanging.settimeout(60)
    write, _ = hanging.accept()  # the message is in flight in the uploader, not only in SQS
    uploader.signal(signal.SIGTERM)
    wait_for(lambda: b"second signal quits" in uploader.log.read_bytes(), "the first signal")
    uploader.signal(signal.SIGTERM)
    assert uploader.wait() == 128 + signal.SIGTERM
    assert services.queue.count() == {"visible": 0, "in_flight": 1}
    write.close()
    hanging.close()


@pytest.mark.slow(reason="waits for bounds to pass")
def test_a_stop_while_s3_hangs_ends_in_its_time_and_loses_nothing(services):
    hanging = socket.create_server(("127.0.0.1", 0), backlog=20)
    s3 = f"http://127.0.0.1:{hanging.getsockname()[1]}"
    services.queue.send(factories.kombu_envelope(factories.message().encode()))
    uploader = services.uploader(
        AWS_ENDPOINT_URL_S3=s3, UPLOADER_STOP_SECONDS="4", S3_TIMEOUT_SECONDS="14"
    )
    hanging.settimeout(60)
    write, _ = hanging.accept()  # the message is in flight in the uploader, not only in SQS
    assert uploader.stop() == 0
    write.close()
    hanging.close()
    assert [
        line["in_flight"] for line in uploader.lines() if line["event"].startswith("stop_")
    ] == [1]
    services.queue.make_visible()
    assert services.uploader("--drain").wait() == 0
    assert len(services.bucket.keys()) == 1


@pytest.mark.slow(reason="waits for bounds to pass")
def test_an_outage_of_s3_costs_no_delivery_and_ends_by_itself(services, aws_endpoint):
    """However long it is, no good message gets nearer to the dead letters."""
    services.validator()
    accepted = {services.post(_data(number))[1]["message_id"] for number in range(12)}
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    uploader = services.uploader(AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{port}")
    wait_for(
        lambda: [line for line in uploader.lines() if line["event"] == "storage_is_away"],
        "the outage",
    )
    assert services.manage("check_uploader").returncode == 0
    assert services.metric("UPLOADER_METRICS_PORT", "uploader_storage_available") == 0
    with closing(Gate(aws_endpoint, port)):
        wait_for(lambda: len(services.bucket.keys()) == 12, "the objects", 120)
        assert uploader.stop() == 0
    assert _objects(services).keys() == accepted
    attempts = [line["attempts"] for line in uploader.lines() if line["event"] == "message_stored"]
    assert attempts == [1] * 12
    assert services.queue.count(dead=True) == {"visible": 0, "in_flight": 0}


@pytest.mark.slow(reason="starts several sets of processes")
def test_a_wedged_uploader_turns_check_uploader_red(services):
    uploader = services.uploader()
    wait_for(lambda: services.manage("check_uploader").returncode == 0, "a green check")
    uploader.signal(signal.SIGSTOP)
    wait_for(
        lambda: services.manage("check_uploader", "--max-age", "4").returncode == 1, "a red check"
    )
    uploader.signal(signal.SIGCONT)
    wait_for(
        lambda: services.manage("check_uploader", "--max-age", "4").returncode == 0, "green again"
    )


def test_requests_under_way_are_finished_at_a_stop(services):
    validator = services.validator()
    answers = []
    connection = socket.create_connection(("127.0.0.1", services.port))
    body = json.dumps(factories.envelope(data=_data(1))).encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    connection.sendall(head + body[:10])
    time.sleep(0.5)
    stopping = threading.Thread(target=lambda: answers.append(validator.stop()))
    stopping.start()
    time.sleep(0.5)
    connection.sendall(body[10:])
    assert b"202 Accepted" in connection.recv(100)
    connection.close()
    stopping.join()
    assert answers == [0]
    assert services.queue.count()["visible"] == 1


def test_idle_connections_do_not_delay_a_stop(services):
    """A load balancer keeps connections open; gunicorn would wait for its graceful timeout.

    Here that is longer than `stop` waits.
    """
    validator = services.validator(GUNICORN_CMD_ARGS="--graceful-timeout 300")
    idle = []
    for _ in range(4):
        connection = http.client.HTTPConnection("127.0.0.1", services.port)
        connection.request("GET", "/health/live")
        assert connection.getresponse().read()
        idle.append(connection)
    assert validator.stop() == 0
    for connection in idle:
        assert connection.sock.recv(1) == b""  # closed in an orderly way
        connection.close()


def test_idle_connections_make_room_for_a_health_check(services):
    services.validator(WEB_CONCURRENCY="1", WEB_CONNECTIONS="4")
    idle = [socket.create_connection(("127.0.0.1", services.port)) for _ in range(6)]
    assert services.get("/health/live")[0] == 200
    assert services.post(_data(1))[0] == 202
    for connection in idle:
        connection.close()


@pytest.mark.slow(reason="waits for bounds to pass")
def test_tokens_rotate_without_a_restart(services, aws_endpoint):
    ssm = boto3.client("ssm", region_name="us-east-1", endpoint_url=aws_endpoint)
    name = f"/cpsite/{services.bucket.name}"

    def put(tokens):
        ssm.put_parameter(Name=name, Value=json.dumps(tokens), Type="SecureString", Overwrite=True)

    put({"alice": ["alice-token-1"]})
    services.environment.pop("API_TOKENS")
    services.validator(API_TOKENS_PARAMETER=name, API_TOKENS_REFRESH_SECONDS="1")
    assert services.post(_data(1))[0] == 202
    assert services.post(_data(1), token="alice-token-2")[0] == 401
    put({"alice": ["alice-token-1", "alice-token-2"]})
    wait_for(lambda: services.post(_data(2), token="alice-token-2")[0] == 202, "the new token")
    put({"alice": ["alice-token-2"]})
    wait_for(lambda: services.post(_data(3))[0] == 401, "the end of the old token")
    ssm.delete_parameter(Name=name)
    time.sleep(2.5)
    assert services.post(_data(4), token="alice-token-2")[0] == 202


@pytest.mark.slow(reason="waits for bounds to pass")
def test_without_the_database_intake_and_storing_go_on(services, tmp_path):
    services.environment["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/nothing"
    # A pool would wait for five seconds at each try of the audit log.
    services.environment["DATABASE_POOL_SIZE"] = "0"
    validator, uploader = services.validator(), services.uploader()
    status, accepted = services.post(_data(1))
    assert status == 202
    wait_for(services.bucket.keys, "the object")
    assert json.loads(services.get("/health/ready")[1])["status"] == "degraded"
    lost = wait_for(
        lambda: [line for line in validator.lines() if line["event"] == "audit_event_lost"],
        "the gap to be told",
    )
    assert (lost[0]["kind"], lost[0]["message_id"]) == ("accepted", accepted["message_id"])
    assert services.metric("VALIDATOR_METRICS_PORT", "audit_write_failures_total") == 1
    wait_for(
        lambda: services.metric("UPLOADER_METRICS_PORT", "audit_write_failures_total") == 1,
        "the uploader's gap",
    )
    assert uploader.stop() == 0


def test_concurrent_retries_to_several_processes_are_one_message(services):
    """Whichever process they reach, the database decides."""
    services.validator(WEB_CONCURRENCY="4")

    def send(number):
        return services.post(_data(number // 8), **{"Idempotency-Key": f"order-{number // 8}"})

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(40)))
    for order in range(5):
        of_one = answers[order * 8 : order * 8 + 8]
        assert {status for status, _ in of_one} <= {202, 409}
        assert len({body["message_id"] for status, body in of_one if status == 202}) == 1
    assert services.queue.count()["visible"] == 5


@pytest.mark.slow(reason="starts several sets of processes")
def test_without_the_database_keyed_requests_are_503_and_come_through_later(services):
    url = services.environment["DATABASE_URL"]
    services.validator(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    key = {"Idempotency-Key": "order-1"}
    status, answer = services.post(_data(1), **key)
    assert (status, answer["code"]) == (503, "idempotency_unavailable")
    assert services.post(_data(2))[0] == 202
    services.started[-1].kill()
    services.validator(DATABASE_URL=url)
    first, second = services.post(_data(1), **key), services.post(_data(1), **key)
    assert first == second
    assert first[0] == 202
    assert services.queue.count()["visible"] == 2


def test_hostile_http_gets_a_4xx_and_reaches_no_queue(services):
    validator = services.validator(THROTTLE_REFUSED_RATE="10000/min")

    def raw(text, *, shutdown=False):
        with socket.create_connection(("127.0.0.1", services.port), timeout=20) as connection:
            connection.sendall(text)
            if shutdown:
                connection.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status, answer.read()

    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    body = json.dumps(factories.envelope()).encode()
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    status, answer = raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked)
    assert (status, json.loads(answer)["code"]) == (411, "length_required")
    status, answer = raw(head + b"Content-Length: 999999999\r\n\r\n" + body)
    assert (status, json.loads(answer)["code"]) == (413, "body_too_large")
    status, answer = raw(head + b"Content-Length: 5000\r\n\r\n" + body, shutdown=True)
    assert status == 400
    assert raw(head + b"Content-Length: -5\r\n\r\n" + body)[0] == 400
    assert raw(head + b"Content-Length: five\r\n\r\n" + body)[0] == 400
    assert raw(b"POST /" + b"x" * 5_000 + b" HTTP/1.1\r\n\r\n")[0] in {400, 414}
    assert raw(head + b"X-Long: " + b"x" * 20_000 + b"\r\n\r\n")[0] in {400, 431}
    assert raw(b"nonsense\r\n\r\n")[0] == 400
    assert services.queue.count() == {"visible": 0, "in_flight": 0}
    assert services.post(_data(1))[0] == 202
    # What is left of a body after its Content-Length is no request, and none of it may be told.
    secret = json.dumps(
        {"data": factories.fields(field1="private words"), "token": "alice-token-1"}
    )
    cases = [
        head + b"Content-Length: 5\r\n\r\n" + secret.encode(),
        b"GET / HTTP/1.1\r\nAuthorization Bearer alice-token-1\r\n\r\n",
        secret.encode() + b"\r\n\r\n",
    ]
    for case in cases:
        with socket.create_connection(("127.0.0.1", services.port), timeout=20) as connection:
            connection.sendall(case)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        assert b" 400 " in answer
        assert b"alice-token" not in answer
        assert b"private" not in answer
    log = validator.log.read_text()
    assert "request_refused" in log
    assert "alice-token" not in log
    assert "private" not in log


@pytest.mark.slow(reason="waits for bounds to pass")
def test_bodies_that_stall_do_not_hold_the_threads(services):
    services.validator(WEB_CONCURRENCY="1", WEB_CONNECTIONS="2")
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    stalled = [socket.create_connection(("127.0.0.1", services.port)) for _ in range(2)]
    for connection in stalled:
        connection.sendall(head + b"Content-Length: 100\r\n\r\n{")
    assert services.get("/health/live")[0] == 200
    for connection in stalled:
        assert b" 400 " in connection.recv(100)
        connection.close()


def _connections(server: socket.socket) -> int:
    """Return how many connections a server has that nobody has accepted."""
    server.setblocking(False)
    number = 0
    with suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            number += 1
    return number


@pytest.mark.slow(reason="starts several sets of processes")
def test_while_sqs_hangs_health_checks_are_answered(services):
    services.validator(WEB_CONCURRENCY="1", WEB_CONNECTIONS="4", SQS_PUBLISH_TIMEOUT_SECONDS="2")
    hanging = socket.create_server(("127.0.0.1", 0), backlog=100)
    services.started[-1].kill()
    wrong = f"http://127.0.0.1:{hanging.getsockname()[1]}"
    services._start(
        "hanging",
        ["-m", "gunicorn", "--config", "python:cpsite.gunicorn"],
        AWS_ENDPOINT_URL=wrong,
        WEB_CONCURRENCY="1",
        WEB_CONNECTIONS="4",
        SQS_PUBLISH_TIMEOUT_SECONDS="2",
    )
    wait_for(lambda: services.get("/health/live")[0] == 200, "the validator")
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda number: services.post(_data(number)), range(48)))
    assert {status for status, _ in answers} == {503}
    assert {answer["code"] for _, answer in answers} == {"queue_unavailable"}
    # Four threads found out by waiting; the rest was told at once, and asked nobody.
    assert _connections(hanging) <= 6  # 12 without the circuit breaker
    assert services.get("/health/live")[0] == 200
    hanging.close()


@pytest.mark.slow(reason="waits for bounds to pass")
def test_a_stop_is_heard_when_nobody_reads_the_log_any_more(services):
    heartbeat = services.scratch / "heartbeat"
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "run_uploader"],
        cwd=ROOT,
        env=services.environment,
        stdout=subprocess.DEVNULL,
        stderr=write,
    )
    os.close(write)
    wait_for(heartbeat.exists, "the uploader")
    os.close(read)
    process.terminate()
    assert process.wait(60) == 0
