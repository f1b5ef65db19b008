"""What the HTTP process reports of the queues: of which, from which process, and in which time."""

import logging
import math
import os
import threading
import uuid
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from cpsite.audit.models import AuditEvent, Kind
from cpsite.observability.queue_depth import queue_messages
from cpsite.web import queue_watch
from cpsite.web.queue_watch import FirstProcess, QueueWatch, oldest_message_age_seconds
from tests.waiting import wait_for


def depth(queue, state="visible"):
    return queue_messages.labels(queue, state)._value.get()


def age():
    return oldest_message_age_seconds._value.get()


def errors(caplog):
    return [line.error for line in caplog.records if line.msg == "oldest_message_unknown"]


@pytest.fixture
def watch(tmp_path):
    """Return a function that makes what a process of the service would have."""
    for name in ("messages", "dead_letters"):
        queue_messages.labels(name, "visible").set(-1)
    oldest_message_age_seconds.set(-1)
    return lambda: QueueWatch(FirstProcess(tmp_path / "lock"))


@pytest.fixture
def waiting(monkeypatch):
    """Return a function that has the audit log say since how many seconds a message waits."""

    def say(seconds):
        monkeypatch.setattr(
            queue_watch,
            "oldest_waiting",
            lambda now: None if seconds is None else now - timedelta(seconds=seconds),
        )

    say(None)
    return say


@pytest.mark.parametrize(
    ("serves", "depths"),
    [("both", (1, 1)), ("api", (1, -1)), ("admin", (-1, 1))],
)
def test_each_service_asks_for_what_its_role_may(queue, watch, waiting, settings, serves, depths):
    settings.SERVES_API, settings.SERVES_ADMIN = serves != "admin", serves != "api"
    queue.send("x")
    queue.client.send_message(QueueUrl=queue.dlq_url, MessageBody="x")
    waiting(7)
    watch().sample()
    assert (depth("messages"), depth("dead_letters")) == depths
    assert age() == pytest.approx(-1 if serves == "admin" else 7)


def test_without_a_dead_letter_queue_only_the_queue_is_sampled(queue, watch, waiting, settings):
    settings.SQS_DLQ_URL = ""
    watch().sample()
    assert (depth("messages"), depth("dead_letters")) == (0, -1)


def test_only_the_first_process_asks_until_it_ends(queue, watch, waiting, tmp_path):
    first, second = watch(), watch()
    first.sample()
    assert depth("messages") == 0
    queue.send("x")
    second.sample()
    assert depth("messages") == 0
    first.sample()
    assert depth("messages") == 1
    # As the end of its process does.
    os.close(first._first._descriptor)
    queue.send("x")
    second.sample()
    assert depth("messages") == 2


def test_on_an_empty_queue_nothing_waits_whatever_the_log_says(queue, watch, waiting):
    """Such as a message whose `stored` event was lost, or a dead letter."""
    waiting(600)
    watch().sample()
    assert age() == 0


def test_when_the_log_knows_of_no_message_that_waits_it_is_zero(queue, watch, waiting):
    queue.send("a foreign body")
    watch().sample()
    assert age() == 0


def test_while_sqs_does_not_answer_the_log_is_asked_all_the_same(queue, watch, waiting, settings):
    waiting(600)
    settings.SQS_QUEUE_URL = f"{queue.url}-none"
    watch().sample()
    assert math.isnan(depth("messages"))
    assert age() == pytest.approx(600)


def test_without_the_database_the_age_is_unknown_and_the_depth_is_not(
    queue, watch, monkeypatch, caplog
):
    def fail(_now):
        raise OperationalError("no connection to host secret-host")

    monkeypatch.setattr(queue_watch, "oldest_waiting", fail)
    queue.send("x")
    watch().sample()
    assert math.isnan(age())
    assert depth("messages") == 1
    assert errors(caplog) == ["OperationalError"]
    assert "secret-host" not in caplog.text


def test_an_unexpected_error_is_logged_and_the_age_is_unknown(queue, watch, monkeypatch, caplog):
    monkeypatch.setattr(queue_watch, "oldest_waiting", lambda _now: 1 / 0)
    queue.send("x")
    watch().sample()
    assert math.isnan(age())
    assert "oldest_message_failed_unexpectedly" in caplog.text
    assert errors(caplog) == []


def test_a_database_that_hangs_is_waited_for_once(queue, watch, waiting, monkeypatch, caplog):
    answers, asked = threading.Event(), []

    def hang(now):
        asked.append(now)
        answers.wait(60)

    monkeypatch.setattr(queue_watch, "oldest_waiting", hang)
    monkeypatch.setattr(queue_watch, "DATABASE_SECONDS", 0.01)
    queue.send("x")
    watching = watch()
    for _ in range(3):
        watching.sample()
        assert math.isnan(age())
    assert depth("messages") == 1
    assert len(asked) == 1
    assert errors(caplog) == ["timed_out"]
    answers.set()
    watching._oldest._looking.join(60)
    waiting(5)
    monkeypatch.setattr(queue_watch, "DATABASE_SECONDS", 60)
    watching.sample()
    assert age() == pytest.approx(5)


@pytest.mark.django_db(transaction=True)
def test_the_age_is_that_of_the_audit_log(queue, watch):
    AuditEvent.objects.create(
        kind=Kind.ACCEPTED,
        message_id=uuid.uuid4(),
        occurred_at=timezone.now() - timedelta(seconds=900),
    )
    queue.send("x")
    watch().sample()
    assert age() == pytest.approx(900, abs=60)


def test_it_runs_aside_and_an_error_of_the_file_is_only_logged(
    queue, waiting, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("cpsite.observability.queue_depth.INTERVAL", 0.01)
    queue_messages.labels("messages", "visible").set(-1)
    caplog.set_level(logging.ERROR)
    made = queue_watch.start(tmp_path / "later")
    wait_for(lambda: "queue_depth_failed_unexpectedly" in caplog.text, "an error")
    (tmp_path / "later").mkdir()
    wait_for(lambda: depth("messages") == 0, "a sample")
    made.stop()
    made._thread.join(60)
    assert not made._thread.is_alive()
