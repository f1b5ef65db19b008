"""Real parts for tests: AWS by moto's server over HTTP, a queue and a bucket for each test."""

import functools
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import hypothesis
import pytest
from botocore.loaders import JSONFileLoader
from django.core.cache import cache
from moto.server import ThreadedMotoServer
from moto.sqs import sqs_backends
from moto.sqs.models import Queue as MotoQueue
from moto.sqs.models import SQSBackend
from rest_framework.test import APIClient

from cpsite.audit.models import AuditEvent
from cpsite.audit.recorder import AuditRecorder, recorder
from cpsite.web.health import readiness
from tests import logged
from validator import idempotency, publisher, tokens

# Machines are shared and noisy: no test may fail because one example took long.
hypothesis.settings.register_profile("shared-machine", deadline=None)
# HYPOTHESIS_PROFILE=thorough pytest tests/…/test_…_fuzz.py: some minutes each, now and then.
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=10_000)
# For a second run of the same tests, under another Python.
hypothesis.settings.register_profile("brief", deadline=None, max_examples=10)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "shared-machine"))

#: Deliveries before moto moves a message to the dead-letter queue.
MAX_RECEIVE_COUNT = 3


def _make_queues_safe_for_threads() -> None:
    """Give moto's queues a lock, or concurrent calls lose, revive and double messages.

    A receive looks for visible messages and hides them in two steps, and a delete replaces the
    list that a send appends to. SQS does deliver twice, but tests that count could not tell why.
    """
    lock = threading.RLock()
    look = SQSBackend.receive_message

    def receive(
        self: Any, queue_name: str, count: int, wait_seconds_timeout: int, *options: Any
    ) -> list[Any]:
        until = time.monotonic() + wait_seconds_timeout
        while True:
            with lock:
                found: list[Any] = look(self, queue_name, count, 0, *options)
            left = until - time.monotonic()
            if found or left <= 0:
                return found
            self.get_queue(queue_name).wait_for_messages(min(1.0, left))

    SQSBackend.receive_message = receive  # type: ignore[method-assign]
    for name in ("add_message", "delete_message"):
        setattr(MotoQueue, name, _locked(lock, getattr(MotoQueue, name)))


def _locked(lock: threading.RLock, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*arguments: Any) -> Any:
        with lock:
            return method(*arguments)

    return call


_make_queues_safe_for_threads()

_read = functools.partial(JSONFileLoader.load_file, JSONFileLoader())
# botocore reads megabytes of JSON for the first client of a session. A service has one session;
# tests have hundreds, because the settings of each bring a storage of its own.
JSONFileLoader.load_file = staticmethod(functools.cache(_read))  # type: ignore[assignment, method-assign]


@functools.cache
def client(service: str, endpoint: str) -> Any:
    """Return the tests' own client, as the outside would have one."""
    return boto3.client(service, region_name="us-east-1", endpoint_url=endpoint)  # type: ignore[call-overload]


@pytest.fixture(scope="session")
def aws_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
    yield os.environ["AWS_ENDPOINT_URL"]
    del os.environ["AWS_ENDPOINT_URL"]
    server.stop()


@dataclass
class Queue:
    """A queue with its dead-letter queue, as the outside sees them."""

    client: Any
    url: str
    dlq_url: str

    def bodies(self) -> list[str]:
        """What is on the queue, taken off it."""
        found = []
        while received := self.client.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10
        ).get("Messages"):
            for item in received:
                found.append(item["Body"])
                self.client.delete_message(QueueUrl=self.url, ReceiptHandle=item["ReceiptHandle"])
        return found

    def send(self, body: str) -> None:
        self.client.send_message(QueueUrl=self.url, MessageBody=body)

    def count(self, *, dead: bool = False) -> dict[str, int]:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.client.get_queue_attributes(
            QueueUrl=self.dlq_url if dead else self.url, AttributeNames=names
        )
        visible, hidden = (int(answer["Attributes"][name]) for name in names)
        return {"visible": visible, "in_flight": hidden}

    def make_visible(self) -> None:
        """Let hidden messages come back now instead of after the visibility timeout."""
        for message in self._messages():
            message.change_visibility(0)

    def hidden_for(self) -> list[float]:
        """Return for how many seconds SQS (moto) still hides each message."""
        return [message.visible_at / 1000 - time.time() for message in self._messages()]

    def deliveries(self) -> list[int]:
        """Return how often each message was delivered."""
        return [message.approximate_receive_count for message in self._messages()]

    def _messages(self) -> list[Any]:
        backend = sqs_backends["123456789012"]["us-east-1"]
        return list(backend.queues[self.url.rpartition("/")[2]]._messages)


@pytest.fixture
def queue(aws_endpoint: str, settings: Any) -> Iterator[Queue]:
    sqs = client("sqs", aws_endpoint)
    name = f"q-{uuid.uuid4().hex[:12]}"
    dlq_url = sqs.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dlq_url, AttributeNames=["QueueArn"])
    redrive = {
        "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
        "maxReceiveCount": MAX_RECEIVE_COUNT,
    }
    url = sqs.create_queue(
        QueueName=name,
        Attributes={"RedrivePolicy": json.dumps(redrive), "VisibilityTimeout": "30"},
    )["QueueUrl"]
    settings.SQS_QUEUE_URL, settings.SQS_DLQ_URL = url, dlq_url
    publisher._producer.cache_clear()
    yield Queue(sqs, url, dlq_url)
    publisher._producer.cache_clear()


@dataclass
class Bucket:
    client: Any
    name: str

    def keys(self) -> list[str]:
        return [
            item["Key"]
            for item in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        ]

    def read(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return body


@pytest.fixture
def bucket(aws_endpoint: str, settings: Any) -> Bucket:
    s3 = client("s3", aws_endpoint)
    name = f"b-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    messages = settings.STORAGES["messages"]
    settings.S3_BUCKET = name
    settings.STORAGES = {
        **settings.STORAGES,
        "messages": {**messages, "OPTIONS": {**messages["OPTIONS"], "bucket_name": name}},
    }
    return Bucket(s3, name)


@pytest.fixture(autouse=True)
def _fresh_process_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What lives as long as a process must not travel from test to test."""
    # Tests write the audit log themselves, in their own transaction. A close without a thread would
    # count as lost what they have not written yet.
    monkeypatch.setattr(AuditRecorder, "_start_thread", lambda self: None)
    monkeypatch.setattr(AuditRecorder, "close", lambda self, timeout=0.0: None)
    # A thread that looks for credentials may wait for its turn on a busy machine.
    monkeypatch.setattr("cpsite.credentials.WAIT_SECONDS", 20.0)
    cache.clear()
    tokens.store.cache_clear()
    publisher._breaker.cache_clear()
    idempotency._breaker.cache_clear()
    readiness.forget()
    yield
    recorder._start_afresh()


@pytest.fixture(autouse=True)
def _events_have_known_names() -> Iterator[None]:
    """Fail a test in which our code logs an event of another name than operators look for."""
    events = logged.Events()
    logging.getLogger().addHandler(events)
    yield
    logging.getLogger().removeHandler(events)
    assert events.names <= logged.EVENTS


@pytest.fixture
def audit(db: None) -> Callable[[], list[AuditEvent]]:
    """Return a function that gives the audit events so far, oldest first."""

    def events() -> list[AuditEvent]:
        recorder.write_pending()
        return list(AuditEvent.objects.order_by("id"))

    return events


@pytest.fixture
def api() -> APIClient:
    return APIClient()
