"""Any failure of SQS is a 503 with Retry-After, within the time limit, never a 500."""

import json
import socket
import threading
import time

import pytest
from botocore.exceptions import ClientError, NoCredentialsError, ReadTimeoutError

from cpsite.queue.group_commit import NotSent
from cpsite.queue.transport import Channel
from tests import factories
from validator import publisher
from validator.exceptions import QueueUnavailable
from validator.publisher import publish_message


def _post(client):
    return client.post("/", json.dumps(factories.envelope()), content_type="application/json")


def test_it_returns_once_sqs_has_the_message(queue):
    publish_message("body")
    assert queue.count() == {"visible": 1, "in_flight": 0}


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDenied"}}, "SendMessage"),
        ClientError({"Error": {"Code": "RequestThrottled"}}, "SendMessage"),
        ClientError({"Error": {"Code": "InternalFailure"}}, "SendMessage"),
        NoCredentialsError(),
        ReadTimeoutError(endpoint_url="https://sqs"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=repr,
)
def test_each_failure_is_a_503_with_retry_after(client, queue, monkeypatch, error, audit):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(publisher._producer().channel, "_put", fail)
    answer = _post(client)
    assert answer.status_code == 503
    assert answer.json()["code"] == "queue_unavailable"
    assert int(answer["Retry-After"]) > 0
    (event,) = audit()
    assert (event.kind, event.reason, event.client) == ("refused", "queue_unavailable", "alice")
    assert event.message_id is not None  # SQS may have the message all the same


def test_refusals_of_sqs_do_not_open_the_circuit_breaker(client, queue, monkeypatch):
    refusal = ClientError({"Error": {"Code": "InvalidParameterValue"}}, "SendMessage")
    with monkeypatch.context() as refusing:

        def refuse(*args, **kwargs):
            raise refusal

        refusing.setattr(publisher._producer().channel, "_put", refuse)
        assert {_post(client).status_code for _ in range(10)} == {503}
    assert _post(client).status_code == 202


def test_missing_answers_open_the_circuit_breaker(client, queue, monkeypatch):
    asked = []

    def fail(*args, **kwargs):
        asked.append(1)
        raise ConnectionResetError

    monkeypatch.setattr(publisher._breaker(), "_clock", lambda: 100.0)
    monkeypatch.setattr(publisher._producer().channel, "_put", fail)
    assert {_post(client).status_code for _ in range(10)} == {503}
    assert len(asked) == 3


def test_a_deleted_queue_is_a_503(client, queue):
    queue.client.delete_queue(QueueUrl=queue.url)
    assert _post(client).status_code == 503


def test_it_recovers_by_itself(client, queue, monkeypatch):
    with monkeypatch.context() as broken:

        def fail(*args, **kwargs):
            raise ConnectionResetError

        broken.setattr(publisher._producer().channel, "_put", fail)
        assert _post(client).status_code == 503
    assert _post(client).status_code == 202


@pytest.fixture
def black_hole(monkeypatch, settings):
    """An endpoint that accepts connections and never answers."""
    server = socket.create_server(("127.0.0.1", 0), backlog=50)
    port = server.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    settings.SQS_QUEUE_URL = f"http://127.0.0.1:{port}/000000000000/q"
    settings.SQS_PUBLISH_TIMEOUT_SECONDS = 2.0
    publisher._producer.cache_clear()
    yield
    publisher._producer.cache_clear()
    server.close()


def test_a_hanging_endpoint_does_not_hang_the_validator(black_hole):
    started = time.monotonic()
    with pytest.raises(QueueUnavailable):
        publish_message("body")
    # The limit plus a margin for a busy machine. With botocore's defaults it would be minutes.
    assert time.monotonic() - started < 20


def test_all_threads_share_one_client(queue, monkeypatch):
    created = []
    real = Channel.new_sqs_client

    def count(self, *args, **kwargs):
        created.append(1)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Channel, "new_sqs_client", count)
    publisher.warm_up()
    threads = [threading.Thread(target=publish_message, args=("body",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(created) == 1
    assert queue.count()["visible"] == 8


def test_messages_that_were_never_sent_do_not_open_the_circuit_breaker(client, queue, monkeypatch):
    with monkeypatch.context() as busy:

        def fail(*args, **kwargs):
            raise NotSent

        busy.setattr(publisher._producer().channel, "_put", fail)
        assert {_post(client).status_code for _ in range(10)} == {503}
    assert _post(client).status_code == 202


@pytest.mark.parametrize("seconds", [2.0, 3.0, 5.0, 8.0, 20.0])
def test_an_attempt_has_at_least_a_second(queue, settings, seconds):
    settings.SQS_PUBLISH_TIMEOUT_SECONDS = seconds
    publisher._producer.cache_clear()
    config = publisher._producer().channel.sqs(publisher._routing_key())._client.meta.config
    assert config.read_timeout >= 1.0
    attempts = config.retries["total_max_attempts"]
    call = attempts * (config.connect_timeout + config.read_timeout) + (attempts - 1) * 1.0
    assert call <= 0.75 * seconds + 0.001
