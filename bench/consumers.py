"""The uploaders: ours and its peers, each with the same backlog and measured in the same way.

A process starts and stores a few messages. When it has emptied the queue and is quiet, its CPU time
is read. Then it is paused (SIGSTOP) while the backlog is sent, so that it finds all of it at once
and sending takes no CPU from it. It continues (SIGCONT) until the queue is empty, and when it is
quiet its CPU time is read again. So the difference excludes the start and includes the audit log.
"""

import itertools
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from bench import accounting, environment, stored, text
from bench.emulators import Queue
from bench.processes import Command, Process, run
from bench.progress import report
from bench.results import Result, Task, calls_per_message
from bench.stack import MANAGE, Stack

#: Seconds that storing a message may take on average. Otherwise the run fails.
_PATIENCE: Final = 0.1

_runs = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Uploader:
    """How to start one uploader."""

    name: str
    command: tuple[str | Path, ...]
    is_ours: bool = False
    #: Ours, as it is in the checkout of --before.
    is_before: bool = False
    in_batches: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


UPLOADERS: Final = (
    Uploader(
        name="cpsite",
        command=(*MANAGE, "run_uploader"),
        is_ours=True,
        environment={"UPLOADER_LAYOUT": "object"},
    ),
    Uploader(
        name="cpsite batch",
        command=(*MANAGE, "run_uploader"),
        is_ours=True,
        in_batches=True,
        environment={"UPLOADER_LAYOUT": "batch"},
    ),
    Uploader(
        name="boto3 loop",
        command=(environment.PEER_PYTHON, environment.PEERS / "boto3_uploader.py"),
    ),
    Uploader(
        name="sqs-consumer",
        command=(environment.node(), environment.PEERS / "sqs_consumer_uploader.mjs"),
    ),
)


BEFORE: Final = tuple(
    replace(each, name=f"{each.name} before", is_before=True) for each in UPLOADERS if each.is_ours
)


@dataclass(frozen=True)
class Backlog:
    """Messages to store, each with four fields of `length` characters."""

    messages: int
    length: int = text.SHORT


#: Stored before the measurement, to warm up.
_WARM_UP: Final = Backlog(100)


@dataclass(frozen=True)
class Worker:
    """A started uploader, with its queue and the prefix of its objects."""

    uploader: Uploader
    stack: Stack
    process: Process
    queue: Queue
    prefix: str
    #: Lists all messages that were sent to it, and what must be stored of each.
    manifest: Path

    def send(self, backlog: Backlog) -> None:
        """Put a backlog on its queue."""
        options = {
            "--messages": backlog.messages,
            "--length": backlog.length,
            "--manifest": self.manifest,
        }
        arguments = [part for name, value in options.items() for part in (name, str(value))]
        command: Command = [environment.PYTHON, "-m", "bench.backlog", *arguments]
        run("backlog", command, self.stack.our_environment(self.queue))

    def finish(self, messages: int, events: int) -> float:
        """Wait until the queue is empty and, for our uploader, until the audit log is written.

        Return the time at which the queue was empty (monotonic clock). `events` is the number of
        audit events before.
        """
        patience = 60 + messages * _PATIENCE
        self.process.wait_for(lambda: self.queue.depth() == 0, "an empty queue", patience)
        emptied = time.monotonic()
        if self.uploader.is_ours:
            database = self.stack.database
            self.process.wait_for(lambda: database.events() - events >= messages, "the audit log")
        return emptied


@contextmanager
def started(uploader: Uploader, stack: Stack) -> Iterator[Worker]:
    """Start an uploader. In the context it is warmed up, quiet and waiting for messages."""
    number = next(_runs)
    prefix, manifest = f"run-{number}/", stack.scratch / f"manifest-{number}"
    with stack.sqs.queue() as queue:
        make = stack.our_environment if uploader.is_ours else stack.environment
        env = {**make(queue, s3_prefix=prefix), **uploader.environment}
        before = stack.sqs.calls()
        with stack.start(uploader.name, uploader.command, env) as process:
            process.wait_for(lambda: _receives(stack) > before.get("ReceiveMessage", 0), "messages")
            worker = Worker(uploader, stack, process, queue, prefix, manifest)
            events = stack.database.events()
            worker.send(_WARM_UP)
            worker.finish(_WARM_UP.messages, events)
            yield worker


def _receives(stack: Stack) -> int:
    return stack.sqs.calls().get("ReceiveMessage", 0)


def measure(
    uploader: Uploader, stack: Stack, case: str, backlog: Backlog, *, scenario: str
) -> Result:
    """Let an uploader store a backlog; return its costs."""
    with started(uploader, stack) as worker:
        process, messages = worker.process, backlog.messages
        cpu = accounting.settle(process.session)
        process.signal(signal.SIGSTOP)
        worker.send(backlog)
        calls, puts, events = stack.sqs.calls(), stack.s3.puts(), stack.database.events()
        with accounting.peak_memory(process.session) as peak:
            begun = time.monotonic()
            process.signal(signal.SIGCONT)
            seconds = worker.finish(messages, events) - begun
        cpu = accounting.settle(process.session) - cpu
        result = Result(
            scenario=scenario,
            variant=uploader.name,
            case=case,
            messages=messages,
            cpu_ms=cpu * 1000 / messages,
            rate=messages / seconds,
            calls=calls_per_message(calls, stack.sqs.calls(), messages),
            puts=(stack.s3.puts() - puts) / messages,
            peak_mib=peak.mib,
            is_ours=uploader.is_ours and not uploader.is_before,
        )
        stored.check(stack.s3, worker.prefix, worker.manifest, in_batches=uploader.in_batches)
        return result


def tasks(
    stack: Stack, uploaders: Sequence[Uploader], *, rounds: int, messages: int
) -> Iterator[Task]:
    """Measure each uploader on the same backlog, in interleaved rounds."""
    backlog = Backlog(messages)
    for number in range(1, rounds + 1):
        for uploader in uploaders:
            title = f"round {number}/{rounds}"
            yield partial(_measure_round, stack, uploader, title, backlog)


def _measure_round(
    stack: Stack, uploader: Uploader, title: str, backlog: Backlog
) -> Iterator[Result]:
    case = f"{backlog.messages:,} messages"
    report("uploader", title, uploader.name, case)
    own = stack.of(is_before=uploader.is_before)
    yield measure(uploader, own, case, backlog, scenario="uploader")
