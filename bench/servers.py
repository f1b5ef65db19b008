"""The validators: ours and its peers, started and measured in the same way.

A measurement begins after the start and a warm-up, when the processes are quiet. It ends when they
are quiet again after the last answer. So the CPU time includes work that is done after the answer,
such as our audit log.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from bench import accounting, environment, load, text
from bench.emulators import Queue
from bench.errors import CannotMeasure
from bench.load import Load
from bench.processes import Process, free_port
from bench.progress import report
from bench.results import Result, Task, calls_per_message
from bench.stack import Stack

#: Requests before the measurement, over enough connections to reach each process.
_WARM_UP: Final = 400
_WARM_UP_CONNECTIONS: Final = 8


@dataclass(frozen=True, kw_only=True)
class Validator:
    """How to start one validator."""

    name: str
    command: tuple[str | Path, ...]
    is_ours: bool = False
    #: Ours, as it is in the checkout of --before.
    is_before: bool = False


VALIDATORS: Final = (
    Validator(
        name="cpsite",
        command=(environment.PYTHON, "-m", "gunicorn", "--config", "python:cpsite.gunicorn"),
        is_ours=True,
    ),
    Validator(
        name="Flask + boto3",
        command=(
            *(environment.PEER_PYTHON, "-m", "gunicorn"),
            *("--config", "python:bench.peers.flask_gunicorn"),
        ),
    ),
    Validator(
        name="Fastify + SDK v3",
        command=(environment.node(), environment.PEERS / "fastify_validator.mjs"),
    ),
)


BEFORE: Final = tuple(
    replace(each, name=f"{each.name} before", is_before=True) for each in VALIDATORS if each.is_ours
)


@dataclass(frozen=True)
class Server:
    """A started validator with the queue that it sends to."""

    validator: Validator
    process: Process
    port: int
    queue: Queue

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@contextmanager
def started(validator: Validator, stack: Stack) -> Iterator[Server]:
    """Start a validator. In the context it is ready, warmed up and quiet."""
    port = free_port()
    with stack.sqs.queue() as queue:
        make = stack.our_environment if validator.is_ours else stack.environment
        with stack.start(validator.name, validator.command, make(queue, port=port)) as process:
            process.wait_for_port(port)
            accounting.settle(process.session)
            yield Server(validator, process, port, queue)


def measure(server: Server, stack: Stack, case: str, work: Load, *, scenario: str) -> Result:
    """Send the load to a server; return its costs."""
    _warm_up(server, stack, work)
    session = server.process.session
    cpu = accounting.settle(session)
    queued, calls, events = server.queue.depth(), stack.sqs.calls(), stack.database.events()
    with accounting.peak_memory(session) as peak:
        outcome = load.put_on(server.url, work, stack.scratch)
    if server.validator.is_ours:
        server.process.wait_for(
            lambda: stack.database.events() - events >= work.requests, "the audit log", 120
        )
    cpu = accounting.settle(session) - cpu
    sent = server.queue.depth() - queued
    if sent != work.requests:
        raise CannotMeasure(
            f"{server.validator.name} accepted {work.requests} messages, and {sent} are queued."
        )
    return Result(
        scenario=scenario,
        variant=server.validator.name,
        case=case,
        messages=work.requests,
        cpu_ms=cpu * 1000 / work.requests,
        rate=work.requests / outcome.seconds,
        p50_ms=outcome.p50_ms,
        p99_ms=outcome.p99_ms,
        calls=calls_per_message(calls, stack.sqs.calls(), work.requests),
        peak_mib=peak.mib,
        is_ours=server.validator.is_ours and not server.validator.is_before,
    )


def _warm_up(server: Server, stack: Stack, work: Load) -> None:
    connections = max(work.connections, _WARM_UP_CONNECTIONS)
    requests = max(min(_WARM_UP, work.requests), connections)
    load.put_on(server.url, Load(connections, requests, work.body), stack.scratch)


def write_body(directory: Path, length: int = text.SHORT) -> Path:
    """Write the body of a request to a file; its fields have `length` characters each."""
    path = directory / f"body-{length}.json"
    body = {"token": environment.TOKEN, "data": text.fields(0, length)}
    path.write_text(json.dumps(body, separators=(",", ":")))
    return path


def tasks(
    stack: Stack,
    validators: Sequence[Validator],
    *,
    rounds: int,
    concurrency: Sequence[int],
    requests: int,
) -> Iterator[Task]:
    """Measure each validator with each concurrency, in interleaved rounds."""
    for number in range(1, rounds + 1):
        for validator in validators:
            yield partial(
                _measure_round,
                stack,
                validator,
                f"round {number}/{rounds}",
                concurrency=concurrency,
                requests=requests,
            )


def _measure_round(
    stack: Stack, validator: Validator, title: str, *, concurrency: Sequence[int], requests: int
) -> Iterator[Result]:
    """Measure one validator with each concurrency, all after one start."""
    body = write_body(stack.scratch)
    stack = stack.of(is_before=validator.is_before)
    with started(validator, stack) as server:
        for connections in concurrency:
            case = f"c={connections}"
            report("validator", title, validator.name, case)
            work = Load(connections, max(requests, connections), body)
            yield measure(server, stack, case, work, scenario="validator")
