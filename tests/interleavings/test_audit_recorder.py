"""The audit recorder (cpsite/audit/recorder.py) with a database that fails in every way.

What must hold, whatever the database does, whoever closes, and if no thread can be started:

1. No event vanishes: when a close returns, each event that was recorded before it was called is
   written or counted as lost. (Where the machine holds up no thread; otherwise a moment later.)
2. No event is written twice, and none is counted twice.
3. An event that is written is not counted, with two exceptions: the time of a close was over while
   an INSERT with it was under way; or the answer to its COMMIT was lost, and the database gave none
   any more.
4. A close never raises, and returns within its time. So a stop that hangs is ended.
5. Without a close, everything is accounted for after a while: no wake-up is lost.
"""

import itertools
import logging
from collections import Counter, defaultdict

import pytest
from django.db import DataError, IntegrityError, InterfaceError, OperationalError

from tests.interleavings.primitives import Thread, load, no_hooks
from tests.interleavings.scheduler import Switch, note, sleep, switch, wait
from tests.interleavings.search import effort, explore, explore_at_random

module = load(
    "cpsite.audit.recorder",
    os=no_hooks("os", "register_at_fork"),
    atexit=no_hooks("atexit", "register"),
)
module.release_connection = switch
rows = load("cpsite.audit.rows")
rows.release_connection = switch

#: What the next INSERTs do; later ones work.
DATABASES = {
    "works": [],
    "is unavailable once": ["unavailable"],
    "is unavailable": ["unavailable", "broken"] * 9,
    "hangs": ["hangs"],
    "hangs, then fails": ["hangs, then unavailable"] * 3,
    "loses the answer to a COMMIT": ["answer lost"],
    "loses answers, and fails in between": ["answer lost", "unavailable", "answer lost"],
    "loses an answer, then hangs": ["answer lost", "hangs"],
    "loses a COMMIT": ["no commit"],
    "gives no ids": ["no ids", "answer lost"],
    "raises what nobody thought of": ["unexpected"],
}
ERRORS = {
    "unavailable": OperationalError,
    "broken": InterfaceError,
    "hangs, then unavailable": OperationalError,
    "unexpected": TypeError,
}
#: Longer than any close waits.
HANG = 30.0


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    Thread.failing_starts = set()


class Event:
    def __init__(self, name, *, is_bad=False):
        self.name, self.is_bad = name, is_bad

    def __repr__(self):
        return self.name


class Database:
    """One table. As with PostgreSQL, ids are known before the COMMIT, and none is given twice."""

    vendor = "postgresql"

    def __init__(self, kinds):
        self.kinds = list(kinds)
        self.rows = {}
        #: The number of the INSERT that wrote an event, for each time that it was written.
        self.written = defaultdict(list)
        #: Events whose INSERT is under way, and whose COMMIT had no answer.
        self.inserting, self.unanswered = [], set()
        self._ids, self._inserts = itertools.count(1), itertools.count(1)
        rows.connection = self
        rows._take_ids, rows._copy = self._take_ids, self._copy
        rows._insert_missing = self._insert_missing

    def insert(self, events, ids):
        self._kind = self.kinds.pop(0) if self.kinds else "works"
        note(f"INSERT {events}: {self._kind}")
        self.inserting = events
        try:
            rows.insert(events, ids)
        finally:
            self.inserting = []

    def _take_ids(self, number):
        switch()
        if self._kind == "no ids":
            raise OperationalError
        return list(itertools.islice(self._ids, number))

    def _copy(self, events, ids):
        self._insert(events, ids)

    def _insert_missing(self, events, ids):
        self._insert(events, ids, ignore_conflicts=True)

    def _insert(self, events, ids, *, ignore_conflicts=False):
        kind = self._kind
        number = next(self._inserts)
        switch()
        if kind.startswith("hangs"):
            sleep(HANG)
        if kind in ERRORS:
            raise ERRORS[kind]
        if any(event.is_bad for event in events):
            raise DataError
        assert len(ids) >= len(events)
        switch()
        if kind in {"no commit", "no ids"}:
            raise OperationalError
        batch = dict(zip(ids, events, strict=False))
        new = {taken: event for taken, event in batch.items() if taken not in self.rows}
        if len(new) < len(batch) and not ignore_conflicts:
            self.unanswered.clear()  # this is an answer
            raise IntegrityError
        self.rows |= new
        for event in new.values():
            self.written[event.name].append(number)
        if kind == "answer lost":
            self.unanswered |= {event.name for event in events}
            raise OperationalError
        self.unanswered -= {event.name for event in events}
        switch()


class Recording:
    """A recorder, those who use it, and what came of their events."""

    def __init__(self, scheduler, kinds=()):
        self.scheduler = scheduler
        self.database = Database(kinds)
        self.recorded, self.found = [], []
        self.lost = Counter()
        #: Those that may be written and counted: without an answer; and, for each close whose
        #: time was over, those of one INSERT.
        self.unanswered, self.stopped = set(), []
        #: When the time of the close of a task is over.
        self.closing_until = {}
        module.rows = self.database
        module._lose = self.lose
        self.recorder = module.AuditRecorder()

    def lose(self, events, cause):
        note(f"lost {events}: {cause}")
        names = {event.name for event in events}
        self.lost.update(names)
        self.unanswered |= names & self.database.unanswered
        if cause == "stopped" and self.scheduler.now >= self.closing_until[self.scheduler.running]:
            if self.scheduler.is_punctual:
                names &= {event.name for event in self.database.inserting}
            self.stopped.append(names)

    def record(self, *names, pause=0.0, is_bad=False):
        for name in names:
            if pause:
                sleep(pause)
            self.recorder.record(Event(name, is_bad=is_bad))
            self.recorded.append(name)
            note(f"recorded {name}")

    def close(self, timeout, *, after=0.0):
        if after:
            sleep(after)
        before, begun = list(self.recorded), self.scheduler.now
        self.closing_until[self.scheduler.running] = begun + timeout
        note(f"closes within {timeout} s")
        self.recorder.close(timeout)
        note("closed")
        if self.scheduler.is_punctual:
            self.found += [f"{name} vanished in a close" for name in before if self.is_open(name)]
            if self.scheduler.now - begun > timeout:
                self.found.append("a close took too long")

    def is_open(self, name):
        return not (self.database.written[name] or self.lost[name])

    def then_exit(self, tasks):
        """Close once more when these have ended, as the interpreter does at its exit.

        Then let the thread end, which may have been hanging.
        """

        def work():
            wait(lambda: all(task.is_done for task in tasks))
            self.close(5.0)
            wait(lambda: self.recorder._thread is None)
            self.found += [f"{name} vanished" for name in self.recorded if self.is_open(name)]

        self.scheduler.spawn("exit", work)

    def problems(self):
        found = list(self.found)
        written, excused = self.database.written, set(self.unanswered)
        for names in self.stopped:
            both = {name for name in names if written[name]}
            if len({written[name][0] for name in both}) <= 1:
                excused |= both
        for name in self.recorded:
            if len(written[name]) > 1:
                found.append(f"{name} was written twice")
            if self.lost[name] > 1:
                found.append(f"{name} was counted twice")
            if written[name] and self.lost[name] and name not in excused:
                found.append(f"{name} was written, and is counted as lost")
        return found


def _closers(recording, *timeouts, events="ab"):
    """Spawn a producer of `events`, a closer for each timeout, and the exit."""
    spawn = recording.scheduler.spawn
    tasks = [spawn("p", lambda: recording.record(*events))]
    tasks += [
        spawn(f"closer{number}", lambda t=timeout: recording.close(t))
        for number, timeout in enumerate(timeouts)
    ]
    recording.then_exit(tasks)
    return recording.problems


@pytest.mark.parametrize("switches", list(Switch), ids=lambda level: level.name.lower())
@pytest.mark.parametrize("kinds", DATABASES.values(), ids=DATABASES)
def test_a_producer_and_a_stop(kinds, switches):
    """1 to 4, for two events, the close of a stop and that of the interpreter's exit."""
    explore(
        "recorder: a producer, a stop, the exit",
        lambda scheduler: _closers(Recording(scheduler, kinds), 5.0),
        switch=switches,
        bound=effort(1, 2) if switches is Switch.WAITS else 1,
        limit=effort(15, 2_000),
    )


@pytest.mark.parametrize("kinds", DATABASES.values(), ids=DATABASES)
def test_a_stop_and_its_deadline(kinds):
    """1 to 4, when the deadline of a stop closes, too: the process ends when its close returns."""
    explore(
        "recorder: a producer, a stop and its deadline, the exit",
        lambda scheduler: _closers(Recording(scheduler, kinds), 5.0, 1.5, events="a"),
        switch=Switch.STATEMENTS,
        bound=1,
        limit=effort(25, 1_000),
    )


@pytest.mark.parametrize("failing", [{1}, {1, 2}, {2}, set(range(9))], ids=str)
def test_no_thread_can_be_started(failing):
    """1 to 4, when starts of a thread fail."""

    def scenario(scheduler):
        Thread.starts, Thread.failing_starts = 0, failing
        return _closers(Recording(scheduler), 5.0)

    explore(
        "recorder: a thread cannot be started",
        scenario,
        switch=Switch.STATEMENTS,
        bound=1,
        limit=effort(25, 1_500),
    )


@pytest.mark.parametrize("switches", list(Switch), ids=lambda level: level.name.lower())
def test_without_a_close(switches):
    """5, for two producers, of which one comes while the thread goes to sleep."""

    def scenario(scheduler):
        recording = Recording(scheduler)
        scheduler.spawn("p", lambda: recording.record("a"))
        scheduler.spawn("q", lambda: recording.record("b", pause=module.GATHER_SECONDS))
        scheduler.spawn("clock", lambda: sleep(60.0))
        return lambda: (
            recording.problems()
            + [
                f"{name} was forgotten"
                for name in recording.recorded
                if recording.is_open(name) and scheduler.is_punctual
            ]
        )

    explore(
        "recorder: without a close",
        scenario,
        switch=switches,
        bound=effort(1, 2),
        limit=effort(400, 3_000),
    )


def test_an_event_while_the_thread_ends(monkeypatch):
    """1 to 4, when an event comes while a close ends the thread: another thread may write it."""
    monkeypatch.setattr(module, "BATCH_SIZE", 1)  # so that no thread waits for more

    def scenario(scheduler):
        recording = Recording(scheduler)

        def late():
            wait(lambda: recording.recorded and not recording.is_open("a"))
            recording.record("b")

        recording.then_exit(
            [
                scheduler.spawn("p", lambda: recording.record("a")),
                scheduler.spawn("closer", lambda: recording.close(5.0)),
                scheduler.spawn("q", late),
            ]
        )
        return recording.problems

    explore(
        "recorder: an event while the thread ends",
        scenario,
        switch=Switch.STATEMENTS,
        bound=1,
        limit=effort(400, 4_000),
    )


def test_anything_at_random(monkeypatch):
    """1 to 4, with everything above together, and bad rows, small batches and a small buffer."""
    kinds = ["works", *{kind for kinds in DATABASES.values() for kind in kinds}]

    def scenario(scheduler, chance):
        monkeypatch.setattr(module, "CAPACITY", chance.choice([2, 1000]))
        monkeypatch.setattr(module, "BATCH_SIZE", chance.choice([1, 2, 500]))
        Thread.starts = 0
        Thread.failing_starts = {chance.randint(1, 4) for _ in range(chance.randrange(3))}
        recording = Recording(scheduler, [chance.choice(kinds) for _ in range(chance.randrange(9))])
        tasks = []
        for number in range(chance.randint(1, 3)):
            names = [f"{number}.{event}" for event in range(chance.randint(1, 4))]
            pause, is_bad = chance.choice([0.0, 0.05, 0.3, 3.0]), chance.random() < 0.2
            tasks.append(
                scheduler.spawn(
                    f"p{number}",
                    lambda n=names, p=pause, b=is_bad: recording.record(*n, pause=p, is_bad=b),
                )
            )
        for number in range(chance.randrange(3)):
            after, timeout = chance.choice([0.0, 0.05, 0.3, 9.0]), chance.choice([1.5, 5.0])
            tasks.append(
                scheduler.spawn(
                    f"closer{number}", lambda t=timeout, a=after: recording.close(t, after=a)
                )
            )
        recording.then_exit(tasks)
        return recording.problems

    explore_at_random("recorder: anything at random", scenario, count=effort(300, 15_000))
