"""The uploader's threads (uploader/, all but its start) with queues and storages of ours.

One worker or two on one queue, the deadline of a stop, the audit recorder and the heartbeat: real
modules, and Python's own thread pool. SQS hides what it delivers for VISIBILITY seconds, and takes
a change of visibility only for the last delivery of a message that is still hidden.

What must hold, whatever SQS and the storage do, and whenever a stop comes:

1. Nothing is deleted before it is stored.
2. No delivery is both deleted and given back, and none is given back twice or deleted twice.
3. What was given back is not hidden anew. So after a stop, what is not stored is visible at once.
4. A message is written once for each of its deliveries at most.
5. A worker returns, with nothing in flight, and its counts add up.
6. Where no thread is held up by the machine and SQS answers: a message in flight is delivered to
   nobody else, and a part that works is never reported as stuck.
7. A stop ends within its time, even if the storage or the database hangs, and then every audit
   event is written or counted.
"""

import gzip
import logging
import types
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cpsite.aws import QueueRefused
from cpsite.message import Message
from tests import factories
from tests.interleavings.primitives import Thread, futures, load, no_hooks
from tests.interleavings.scheduler import Switch, note, now, sleep, switch, wait
from tests.interleavings.search import effort, explore, explore_at_random


def _loaded():
    """Return the uploader's modules on the scheduler, by their last names."""
    hooks = {
        "os": no_hooks("os", "register_at_fork", "getpid", "_exit"),
        "atexit": no_hooks("atexit", "register"),
    }
    chance = types.ModuleType("random")
    chance.uniform = lambda _least, most: most
    others = {"concurrent__futures": futures, "random": chance}
    found = {}
    for name in (
        *("cpsite.queue.delivery", "cpsite.audit.recorder"),
        *(
            "cpsite.observability.notices",
            "uploader.backoff",
            "uploader.heartbeat",
            "uploader.layouts",
        ),
        *("uploader.storage_outage", "uploader.acknowledger", "uploader.in_flight"),
        *("uploader.receiver", "uploader.visibility", "uploader.accounting", "uploader.handler"),
        *("uploader.worker", "uploader.stop_deadline"),
    ):
        more = hooks if name == "cpsite.audit.recorder" else {}
        found[name.rpartition(".")[2]] = others[name.replace(".", "__")] = load(
            name, **others, **more
        )
    found["handler"].accounting = found["accounting"]
    return types.SimpleNamespace(**found)


uploader = _loaded()
uploader.recorder.release_connection = switch

#: Short, so that some extensions happen in each run.
VISIBILITY = 4
#: As UPLOADER_STOP_SECONDS: audit events have three of them.
STOP_SECONDS = 10.0
MESSAGES = [
    factories.message(
        message_id=uuid.UUID(int=number),
        accepted_at=datetime(2026, 1, 1, tzinfo=UTC),
        client="c",
        data={"f": "x"},
    )
    for number in range(1, 9)
]
BODIES = {message.message_id: message.encode().encode() for message in MESSAGES}


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    Thread.failing_starts = set()


class KombuMessage:
    """One delivery, as far as cpsite/queue/delivery.py asks for it."""

    def __init__(self, sqs, number, attempts, *, is_foreign):
        self.sqs = sqs
        self.delivery_tag = handle(number, attempts)
        self.body = b"foreign" if is_foreign else BODIES[MESSAGES[number].message_id]
        self.headers = {}
        attributes = {"ApproximateReceiveCount": attempts, "SentTimestamp": 0}
        self.delivery_info = {"sqs_message": {"MessageId": number, "Attributes": attributes}}

    def ack(self):
        (failure,) = self.sqs.delete_messages("", [self.delivery_tag])
        if failure is not None:
            raise failure


def handle(number, attempts):
    """Return the receipt handle of a delivery: the message's number, and how often it came."""
    return f"{number}.{attempts}"


class Sqs:
    """One queue. Messages have numbers."""

    def __init__(self, scheduler, count, *, deletes=(), foreign=()):
        self.scheduler = scheduler
        self.visible_at = dict.fromkeys(range(count), 0.0)
        self.attempts = Counter()
        self.stored = Counter()
        self.deleted, self.released, self.delayed = Counter(), Counter(), set()
        self.foreign = foreign
        self.found = []
        self._deletes = list(deletes)
        #: Whether a second delivery must mean that the first was given back.
        self.is_exclusive = not (deletes or foreign)

    def receive(self, limit):
        switch()
        numbers = [n for n, at in self.visible_at.items() if at <= now()][:limit]
        for number in numbers:
            self._must_be_free(number)
            self.visible_at[number] = now() + VISIBILITY
            self.attempts[number] += 1
        note(f"receives {numbers}")
        taken = [
            KombuMessage(self, n, self.attempts[n], is_foreign=n in self.foreign) for n in numbers
        ]
        switch() if numbers else sleep(0.5)
        return taken

    def _must_be_free(self, number):
        times = self.attempts[number]
        is_free = not times or self.released[handle(number, times)]
        if self.is_exclusive and self.scheduler.is_punctual and not is_free:
            self.found.append(f"{number} was delivered, though somebody has it in flight")

    def delete_messages(self, _url, handles):
        kind = self._deletes.pop(0) if self._deletes else "works"
        note(f"deletes {handles}: {kind}")
        switch()
        if kind == "raises":
            raise OSError
        if kind == "refused":
            return [QueueRefused("X", sender_fault=False)] * len(handles)
        for each in handles:
            number = int(each.partition(".")[0])
            if not self.stored[number]:
                self.found.append(f"{each} was deleted before it was stored")
            self.deleted[each] += 1
            self.visible_at.pop(number, None)
        switch()
        return [None] * len(handles)

    def change_visibility(self, _url, handles, seconds):
        switch()
        note(f"hides {handles} for {seconds} s")
        return [self._hide(each, seconds) for each in handles]

    def _hide(self, each, seconds):
        number = int(each.partition(".")[0])
        is_last = each == handle(number, self.attempts[number])
        if not is_last or self.visible_at.get(number, 0.0) < now():
            return QueueRefused("NotInFlight")
        if seconds == VISIBILITY and self.released[each]:
            self.found.append(f"{each} was given back, and is hidden anew")
        if seconds != VISIBILITY:
            self.released[each] += 1
            self.delayed |= {number} if seconds else set()
        self.visible_at[number] = now() + seconds
        return None


class Receiver(uploader.receiver.Receiver):
    """The real one, with a queue of ours instead of Kombu's connection."""

    def __init__(self, sqs):
        self.sqs = sqs
        self.settings = types.SimpleNamespace(
            hidden_seconds=VISIBILITY, visibility_timeout_seconds=VISIBILITY, max_receive_count=3
        )
        self._changing = uploader.receiver.threading.Lock()
        self.is_closed = False

    def receive(self, limit):
        return [
            uploader.delivery.Delivery(message, hidden_seconds=VISIBILITY)
            for message in self.sqs.receive(limit)
        ]

    def read_settings(self):
        return self.settings

    @property
    def _client(self):
        return self.sqs

    @staticmethod
    def _forget(_delivery):
        pass

    def close(self):
        self.is_closed = True


class Heartbeat(uploader.heartbeat.Heartbeat):
    """The real one, without a file."""

    def __init__(self, **options):
        super().__init__(Path("/nowhere"), **options)
        self.written_at = []
        self.was_stuck = False

    def check(self):
        super().check()
        self.was_stuck = self.was_stuck or bool(self._stuck)

    def _write(self, now):
        self.written_at.append(now)


class Audit:
    """The audit recorder's database, which works or hangs, and what became of the events."""

    def __init__(self, *, hangs=False):
        self.hangs = hangs
        self.recorded, self.accounted = [], set()
        module = uploader.recorder
        module.rows = self
        module._lose = lambda events, _cause: self.accounted.update(map(id, events))
        self.recorder = module.AuditRecorder()
        self.close = self.recorder.close
        uploader.stop_deadline.recorder = self

    def record(self, event):
        self.recorder.record(event)
        self.recorded.append(event)

    def insert(self, events, _ids):
        note(f"INSERT of {len(events)}")
        switch()
        if self.hangs:
            sleep(1000.0)
        self.accounted.update(map(id, events))

    def open(self):
        return [event for event in self.recorded if id(event) not in self.accounted]


class Uploader:
    """A worker on a queue that it may share, with a storage that does what `stores` says."""

    def __init__(
        self,
        sqs,
        *,
        stores=(),
        layout="object",
        concurrency=1,
        receivers=1,
        drain=False,
        record=lambda _event: None,
        **heart,
    ):
        self.scheduler, self.sqs = sqs.scheduler, sqs
        self.stores = iter(stores)
        uploader.accounting.recorder = types.SimpleNamespace(record=record)
        self.found = []
        self.counts = None
        self.receivers = [Receiver(sqs) for _ in range(receivers)]
        self.heartbeat = Heartbeat(**heart)
        batcher = uploader.layouts.Batcher(max_messages=2, max_bytes=10**6, max_seconds=2.0)
        self.worker = uploader.worker.Worker(
            receiver=self.receivers[0],
            more_receivers=self.receivers[1:],
            store=self.store,
            heartbeat=self.heartbeat,
            concurrency=concurrency,
            batcher=batcher if layout == "batch" else None,
            drain=drain,
        )

    def store(self, key, body):
        kind = next(self.stores, "works")
        lines = gzip.decompress(body).splitlines() if key.endswith(".gz") else [body]
        numbers = [Message.decode(line).message_id.int - 1 for line in lines]
        note(f"stores {numbers}: {kind}")
        switch()
        if kind == "fails":
            raise OSError
        if kind != "works":
            sleep({"slow": 3.0, "slower": 3.2, "very slow": 9.0, "hangs": 1000.0}[kind])
        self.sqs.stored.update(numbers)
        switch()

    def run(self):
        self.counts = self.worker.run()
        note("has returned")

    def stop(self, after):
        sleep(after)
        note("is to stop")
        self.worker.stop()

    def start(self, name="main", *, stop_after=None):
        tasks = [self.scheduler.spawn(name, self.run)]
        if stop_after is not None:
            tasks.append(self.scheduler.spawn(f"stop {name}", lambda: self.stop(stop_after)))
        return tasks

    def problems(self):
        found, counts = list(self.found), self.counts
        if counts is None:
            return [*found, "a worker has not returned"]
        if counts.received != counts.stored + counts.failed + counts.released:
            found.append(f"the counts do not add up: {counts.as_dict()}")
        if self.worker.in_flight or self.worker._in_flight._bytes:
            found.append("something is left in flight")
        if not all(receiver.is_closed for receiver in self.receivers):
            found.append("a receiver is left open")
        if self.heartbeat.was_stuck and self.scheduler.is_punctual:
            found.append("what works was reported as stuck")
        return found


def problems(*uploaders, all_deletes_work=True):
    """Return what was broken by these, which share a queue."""
    sqs = uploaders[0].sqs
    found = [*sqs.found, *(problem for each in uploaders for problem in each.problems())]
    ends = sqs.deleted + sqs.released
    found += [f"{each} was ended twice" for each, times in ends.items() if times > 1]
    for number, visible_at in sqs.visible_at.items():
        is_stored = sqs.stored[number]
        if sqs.stored[number] > sqs.attempts[number]:
            found.append(f"{number} was written more often than delivered")
        if not is_stored and number not in sqs.delayed and visible_at > sqs.scheduler.now:
            found.append(f"{number} is hidden, though nobody has it")
        if is_stored and all_deletes_work and sqs.scheduler.is_punctual:
            found.append(f"{number} was stored, and is not deleted")
    return found


LEVELS = pytest.mark.parametrize("switches", list(Switch)[:2], ids=lambda s: s.name.lower())
LAYOUTS = pytest.mark.parametrize("layout", ["object", "batch"])


@LEVELS
@LAYOUTS
def test_a_stop_at_any_moment(layout, switches):
    """1 to 6, for two messages, of which one is slow."""

    def scenario(scheduler):
        one = Uploader(Sqs(scheduler, 2), stores=["slow"], layout=layout)
        one.start(stop_after=0.0)
        return lambda: problems(one)

    explore(
        f"uploader: two messages, a stop ({layout})",
        scenario,
        switch=switches,
        bound=effort(1, 2),
        limit=effort(10, 300),
    )


def test_a_stop_while_visibility_is_extended():
    """3, where it was broken: the visibility thread has read the book before a message is released.

    One message is written slowly, and the other waits for its thread. Both are extended when the
    stop comes.
    """

    def scenario(scheduler, _chance):
        one = Uploader(Sqs(scheduler, 2), stores=["slower"])
        one.start(stop_after=3.0)
        return lambda: problems(one)

    explore_at_random(
        "uploader: a stop while visibility is extended", scenario, count=effort(120, 1_000)
    )


@LAYOUTS
def test_two_receivers_until_the_queue_is_empty(layout):
    """1 to 6, for three messages and a worker that ends by itself."""

    def scenario(scheduler):
        one = Uploader(
            Sqs(scheduler, 3),
            stores=["slow"],
            layout=layout,
            receivers=2,
            concurrency=2,
            drain=True,
        )
        one.start()
        return lambda: problems(one)

    explore(
        f"uploader: three messages, two receivers, drained ({layout})",
        scenario,
        switch=Switch.CALLS,
        bound=1,
        limit=effort(10, 300),
    )


@pytest.mark.parametrize("failing", [{6}, {7}, {6, 7}], ids=["first", "second", "both"])
def test_an_upload_thread_cannot_be_started(failing):
    """1 to 6, 4 where it was broken: the pool has queued the message before its thread fails."""

    def scenario(scheduler):
        Thread.starts, Thread.failing_starts = 0, failing
        one = Uploader(Sqs(scheduler, 3), stores=["slow"], concurrency=2)
        one.start(stop_after=6.0)
        return lambda: problems(one)

    explore(
        "uploader: an upload thread cannot be started",
        scenario,
        switch=Switch.CALLS,
        bound=1,
        limit=effort(10, 250),
    )


@LEVELS
def test_two_uploaders_on_one_queue(switches):
    """1 to 6, for three messages and two workers, of which one is stopped while both are busy."""

    def scenario(scheduler):
        sqs = Sqs(scheduler, 3)
        one = Uploader(sqs, stores=["very slow"])
        other = Uploader(sqs, stores=["works", "slow"])
        one.start("one", stop_after=3.0)
        other.start("other", stop_after=14.0)
        return lambda: problems(one, other)

    explore(
        "uploader: two of them, one is stopped",
        scenario,
        switch=switches,
        bound=1,
        limit=effort(10, 400),
    )


@pytest.mark.parametrize("database", ["works", "hangs"])
@pytest.mark.parametrize("store", ["slow", "very slow", "hangs"])
def test_the_deadline_of_a_stop(store, database):
    """7, for the whole end of the process: the worker, its deadline and the audit recorder."""

    def scenario(scheduler):
        audit = Audit(hangs=database == "hangs")
        one = Uploader(
            Sqs(scheduler, 2), stores=["works", store], concurrency=2, record=audit.record
        )
        begun, ended = scheduler.now, []

        def end(how):
            if not ended:
                ended.append(scheduler.now)
                note(f"{how}; the process ends")

        deadline = uploader.stop_deadline.StopDeadline(
            one.worker, seconds=STOP_SECONDS, end=lambda _status: end("the time is over")
        )

        def main():
            deadline.start()
            try:
                one.run()
            finally:
                audit.close()
                deadline.finished()
            end("all is done")

        def process():
            sleep(1.0)
            one.worker.stop()
            wait(lambda: ended)

        scheduler.spawn("main", main, background=True)
        scheduler.spawn("process", process)

        def problems():
            found = list(one.sqs.found)
            if scheduler.is_punctual and ended[0] > begun + 1.0 + STOP_SECONDS:
                found.append("the stop took too long")
            if scheduler.is_punctual and audit.open():
                found.append("an audit event has vanished")
            return found

        return problems

    explore(
        f"uploader: the end of a process (a write {store}, the database {database})",
        scenario,
        switch=Switch.CALLS,
        bound=1,
        limit=effort(8, 200),
    )


def test_a_write_that_hangs_ends_the_heartbeat():
    """The file gets no younger than the time that a part may be silent. 6 is for what works."""

    def scenario(scheduler):
        one = Uploader(Sqs(scheduler, 2), stores=["works", "hangs"], stuck_seconds=6.0)
        scheduler.spawn("main", one.run, background=True)
        scheduler.spawn("clock", lambda: sleep(30.0))
        silent = scheduler.now + 6.0 + uploader.heartbeat.INTERVAL

        def problems():
            at_ends = one.heartbeat.written_at[:1], one.heartbeat.written_at[-1:]
            is_right = at_ends[0] and at_ends[1][0] <= silent
            return [] if is_right or not scheduler.is_punctual else [f"heartbeats {at_ends}"]

        return problems

    explore(
        "uploader: the heartbeat of a write that hangs",
        scenario,
        switch=Switch.CALLS,
        bound=effort(0, 1),
        limit=effort(3, 100),
    )


def test_anything_at_random():
    """1 to 6, with everything above together, foreign messages, and a storage and SQS that fail."""

    def scenario(scheduler, chance):
        count, receivers = chance.randint(1, 2), chance.randint(1, 2)
        Thread.starts, Thread.failing_starts = 0, set()
        if count == receivers == 1 and chance.random() < 0.5:
            Thread.failing_starts = {chance.randint(6, 8)}  # after the five of a worker's start
        deletes = chance.choice([[], [], [chance.choice(["raises", "refused"]) for _ in range(3)]])
        sqs = Sqs(
            scheduler,
            chance.randint(1, 5),
            deletes=deletes,
            foreign={0} if chance.random() < 0.2 else (),
        )
        made = []
        for name in ["one", "other"][:count]:
            kinds = ["works", "works", "slow", "fails", "very slow"]
            each = Uploader(
                sqs,
                stores=[chance.choice(kinds) for _ in range(chance.randrange(5))],
                layout=chance.choice(["object", "batch"]),
                concurrency=chance.randint(1, 3),
                receivers=receivers,
            )
            each.start(name, stop_after=chance.choice([0.0, 0.3, 1.2, 2.1, 3.0, 5.0, 8.0]))
            made.append(each)
        return lambda: problems(*made, all_deletes_work=not deletes)

    explore_at_random("uploader: anything at random", scenario, count=effort(15, 1_000))
