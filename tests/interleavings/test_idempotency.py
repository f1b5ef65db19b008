"""Requests with an Idempotency-Key and the pruner (validator/idempotency.py, models.py), in SQL.

The real claims run against the real database, SQLite or PostgreSQL, and are interrupted between any
two statements. Each statement is a transaction of its own, so running them one at a time shows all
all that statements can do to each other, but not what happens inside of one: for the pruner,
tests/validator/test_idempotency.py holds two connections of PostgreSQL against each other.

What must hold, whatever SQS, the database and the processes do:

1. Within the life of a key, all publishes have one id and one time of acceptance. The life begins
   again with each publish and lasts IDEMPOTENCY_KEY_SECONDS.
2. A 202 names an id that was published.
3. Once no request is in progress and 14 s have passed, a retry gets a 202, with that same id.
"""

import logging
import uuid
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone
from rest_framework.exceptions import APIException

from tests import factories
from tests.interleavings.scheduler import Scheduler, Switch, note, switch, wait
from tests.interleavings.search import effort, explore, explore_at_random
from validator import exceptions, idempotency, views
from validator.contracts import default
from validator.models import IdempotencyRecord

pytestmark = pytest.mark.django_db(transaction=True)

#: How a publish ends: with SQS's confirmation; without, and SQS has the message or has not; or with
#: the death of the process, before or after SQS has it. (One that is refused before SQS is asked
#: frees its key, and has a test of its own.)
PUBLISHES = ("confirmed", "not sent", "answer lost", "dies before", "dies after")
ONE_DAY = 86_400


class Death(BaseException):
    """The process dies."""


class Clock:
    """The clock of the processes, which goes with that of the database."""

    now = 0.0

    def monotonic(self):
        return self.now


clock = Clock()


@pytest.fixture(autouse=True)
def _one_connection(monkeypatch):
    """All requests share one connection, because only one statement runs at a time."""
    monkeypatch.setattr(settings, "IDEMPOTENCY_KEY_SECONDS", float(ONE_DAY))
    monkeypatch.setattr(idempotency.pruner, "_next", float("inf"))
    monkeypatch.setattr(idempotency, "time", clock)
    connection.ensure_connection()
    with monkeypatch.context() as patch, connection.execute_wrapper(_interrupted):
        patch.setattr(connection, "close", lambda: None)
        logging.disable(logging.CRITICAL)
        yield
        logging.disable(logging.NOTSET)


@contextmanager
def _uninterrupted():
    """Let no other task run before or after the statements within."""
    running, Scheduler.current = Scheduler.current, None
    try:
        yield
    finally:
        Scheduler.current = running


def _interrupted(execute, sql, params, many, context):
    """Let others run before and after a statement of a task, and break it if that is planned."""
    run = Scheduler.current
    task = run.running if run is not None else None
    if task is None or connection.in_atomic_block or sql.startswith("BEGIN"):
        return execute(sql, params, many, context)
    switch()
    number = run.statements[task.name] = run.statements.get(task.name, 0) + 1
    fault = run.faults.get((task.name, number), "")
    note(f"{sql.split()[0]} {fault}")
    if fault in {"lost", "dies before"}:
        _break(fault)
    answer = execute(sql, params, many, context)
    switch()
    if fault:
        _break(fault)
    return answer


def _break(fault):
    raise Death if fault.startswith("dies") else OperationalError(fault)


def _let_time_pass(seconds):
    """Move all times of the database into the past, by one statement that nothing interrupts.

    Not by a transaction: SQLite ends none while another task has not read all of its answer.
    """
    note(f"{seconds} s pass")
    clock.now += seconds
    passed = timedelta(seconds=seconds)
    with _uninterrupted():
        IdempotencyRecord.objects.update(
            claimed_until=F("claimed_until") - passed, expires_at=F("expires_at") - passed
        )


class _View(views.view_of(default())):
    """The end of the real view, with a queue of ours."""

    def __init__(self, publish):
        self._publish = publish

    def _duration_ms(self):
        return 0


class Requests:
    """Requests with one key, and what came of them."""

    def __init__(self, scheduler, *, faults=()):
        idempotency._breaker.cache_clear()
        with transaction.atomic():
            IdempotencyRecord.objects.all().delete()
        scheduler.faults = dict(faults)
        scheduler.statements = {}
        self.scheduler = scheduler
        self.published = []
        self.answers = {}

    def send(self, name, publish, *, seconds=0.0):
        def at_sqs(message):
            switch()
            note(f"publish: {publish}")
            if seconds:
                _let_time_pass(seconds)
            if publish in {"confirmed", "answer lost", "dies after"}:
                self.published.append((message.message_id, message.accepted_at))
            switch()
            if publish.startswith("dies"):
                raise Death
            if publish == "not asked":
                wait(lambda: self.published or self.answers)  # while another request is under way
                raise exceptions.QueueNotAsked
            if publish != "confirmed":
                raise exceptions.QueueUnavailable

        try:
            message = factories.accepted(client="alice", data=factories.fields())
            message, _ = _View(at_sqs)._publish_once(idempotency.claim("k", message))
            self.answers[name] = message.message_id
        except (Death, APIException) as error:
            self.answers[name] = type(error).__name__
        note(self.answers[name])

    def start(self, name, publish, *, after="", then=0.0, seconds=0.0):
        def work():
            if after:
                wait(lambda: all(earlier in self.answers for earlier in after))
                if then:
                    _let_time_pass(then)
            self.send(name, publish, seconds=seconds)

        self.scheduler.spawn(name, work)

    def start_pruner(self):
        self.scheduler.spawn("pruner", idempotency.pruner.prune)

    def problems(self):
        found = []
        if len(set(self.published)) > 1:
            found.append(f"{len(set(self.published))} messages for one key")
        ids = {message_id for message_id, _ in self.published}
        for name, answer in self.answers.items():
            if isinstance(answer, uuid.UUID) and answer not in ids:
                found.append(f"{name} got a 202 for a message that was not published")
        _let_time_pass(14)
        idempotency._breaker.cache_clear()
        self.send("retry", "confirmed")
        if not isinstance(self.answers["retry"], uuid.UUID):
            found.append(f"a retry gets {self.answers['retry']}")
        elif len({*ids, self.answers["retry"]}) > 1:
            found.append("a retry makes another message")
        return found


def _record(**changes):
    """A key that an earlier message, of unknown outcome, has left behind."""
    now = timezone.now()
    values = {
        **idempotency._values("k", factories.accepted(client="alice", data=factories.fields())),
        "is_queued": False,
        "claimed_until": now - timedelta(hours=1),
        **changes,
    }
    with transaction.atomic():
        return IdempotencyRecord.objects.create(**values)


@pytest.mark.parametrize("first", PUBLISHES)
def test_the_pruner_beside_a_key_that_is_used_again(first):
    """1, where it was broken: the record had expired, and the pruner saw it so."""

    def scenario(scheduler):
        requests = Requests(scheduler)
        _record(expires_at=timezone.now() - timedelta(hours=1))
        requests.start_pruner()
        requests.start("A", first)
        requests.start("B", "confirmed", after="A", then=14)
        return requests.problems

    explore(
        f"pruner, request, retry ({first})",
        scenario,
        switch=Switch.WAITS,
        bound=effort(1, 3),
        limit=effort(200, 1_500),
    )


@pytest.mark.parametrize("first", PUBLISHES)
def test_a_claim_that_is_taken_over_at_the_end_of_its_key(first):
    """1, where it was broken: the key expired a second after the publish of who took it over."""

    def scenario(scheduler):
        requests = Requests(scheduler)
        left = _record(expires_at=timezone.now() + timedelta(seconds=5))
        requests.start("A", first, seconds=8)
        requests.start("B", "confirmed", after="A", then=ONE_DAY - 30)
        requests.start_pruner()
        return lambda: [
            *requests.problems(),
            *([] if {m for m, _ in requests.published} == {left.message_id} else ["a new id"]),
        ]

    explore(
        f"take-over at the end of a key, retry a day later ({first})",
        scenario,
        switch=Switch.WAITS,
        bound=2,
        limit=effort(10, 400),
    )


def test_a_slow_publish_and_a_retry_a_day_after_it():
    """1: the life of a key begins with the publish, not with the claim before it."""

    def scenario(scheduler):
        requests = Requests(scheduler)
        requests.start("A", "answer lost", seconds=8)
        requests.start("B", "confirmed", after="A", then=ONE_DAY - 1)
        return requests.problems

    explore("a slow publish", scenario, switch=Switch.WAITS, bound=3, limit=effort(10, 300))


@pytest.mark.parametrize("second", PUBLISHES)
@pytest.mark.parametrize("first", PUBLISHES)
def test_two_requests_at_once(first, second):
    """1 to 3, with time for a claim to expire at any moment."""

    def scenario(scheduler):
        requests = Requests(scheduler)
        requests.start("A", first)
        requests.start("B", second)
        scheduler.spawn("clock", lambda: (switch(), _let_time_pass(14)))
        return requests.problems

    explore(
        f"two requests ({first}, {second}) and the clock",
        scenario,
        switch=Switch.WAITS,
        bound=effort(1, 2),
        limit=effort(6, 150),
    )


@pytest.mark.parametrize("seconds", [0.0, 14.0])
@pytest.mark.parametrize("second", PUBLISHES)
def test_a_key_that_is_freed_while_another_request_has_it(second, seconds):
    """1 to 3, when a request frees its key, before or after another one could take its claim over.

    Not where a request is held up between its INSERT and the next line for longer than its claim
    lasts: tests/validator/test_idempotency.py has that.
    """

    def scenario(scheduler):
        requests = Requests(scheduler)
        requests.start("A", "not asked", seconds=seconds)
        requests.start("B", second)
        return requests.problems

    explore(
        f"a key that is freed ({second})",
        scenario,
        switch=Switch.WAITS,
        bound=effort(1, 2),
        limit=effort(12, 100),
    )


def test_three_requests_and_a_failing_database():
    """1 to 3, when statements and their answers are lost and processes die at any statement."""

    def scenario(scheduler, chance):
        kinds = ["lost", "answer lost", "dies before", "dies after"]
        faults = {
            (chance.choice("ABC"), chance.randint(1, 5)): chance.choice(kinds)
            for _ in range(chance.randrange(3))
        }
        requests = Requests(scheduler, faults=faults)
        for name in "ABC":
            requests.start(name, chance.choice(PUBLISHES))
        ticks = chance.randrange(4)
        scheduler.spawn("clock", lambda: [(switch(), _let_time_pass(14)) for _ in range(ticks)])
        if chance.random() < 0.5:
            requests.start_pruner()
        return requests.problems

    explore_at_random("three requests, database faults", scenario, count=effort(40, 1_500))
