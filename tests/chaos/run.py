"""One run: start everything, break things while clients send, mend all, and judge."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.chaos import contents, evidence, schedule
from tests.chaos.clients import Client, Shares
from tests.chaos.evidence import Evidence
from tests.chaos.faults import Upstream
from tests.chaos.havoc import Havoc
from tests.chaos.records import Journal
from tests.chaos.schedule import Schedule
from tests.chaos.stack import Options, Stack, running, seeded
from tests.chaos.verdict import Verdict, judge

#: Seconds in which the queue must be empty after the last disturbance.
DRAIN_SECONDS = 150.0
#: Seconds between two progress lines.
PROGRESS_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Result:
    seed: int
    schedule: Schedule
    product: str
    scratch: Path
    seconds: float
    evidence: Evidence
    verdict: Verdict
    faults: Mapping[Upstream, Mapping[str, int]]
    havoc: Mapping[str, int]
    notes: list[str]


def run(options: Options, scratch: Path, report: Callable[[str], object]) -> Result:
    """Run once; `report` is given lines about the progress. Raises CannotMeasure."""
    plan = schedule.draw(options.seed, options.shape)
    for line in plan.lines():
        report(line)
    started = time.monotonic()
    with running(options, plan, scratch) as stack:
        report(f"[{time.monotonic() - started:4.0f} s] all is up: {stack.aws.product}")
        disturbed = _disturb(stack, plan, report)
        report(f"[{time.monotonic() - started:4.0f} s] all is mended; waiting for the queue")
        left = _drain(stack, report)
        _stop_all(stack)
        found = _gather(stack, disturbed, left)
        product = f"{stack.aws.product}, {'PostgreSQL' if stack.database else 'SQLite'}"
    return Result(
        seed=options.seed,
        schedule=plan,
        product=product,
        scratch=scratch,
        seconds=time.monotonic() - started,
        evidence=found,
        verdict=judge(found),
        faults={name: injector.counts for name, injector in stack.injectors.items()},
        havoc=disturbed.havoc.counts,
        notes=_notes(stack),
    )


def _notes(stack: Stack) -> list[str]:
    notes = []
    if stack.clock is None:
        notes.append("clock: not stepped, libfaketime is not installed")
    if stack.database is None:
        notes.append("database: not stopped, PostgreSQL is not installed")
    return notes


@dataclass
class _Disturbed:
    clients: list[Client]
    havoc: Havoc
    poison: Sequence[str]


def _disturb(stack: Stack, plan: Schedule, report: Callable[[str], object]) -> _Disturbed:
    """Let clients send while things break; return when all is mended and all is sent."""
    stopped = threading.Event()
    poison = contents.poison(seeded(stack.options.seed, "poison"), len(plan.poison))
    havoc = Havoc(
        plan,
        stack.services,
        database=stack.database,
        clock=stack.clock,
        poison=poison,
        aws=stack.aws,
        stopped=stopped,
    )
    clients = _make_clients(stack, stopped)
    for injector in stack.injectors.values():
        injector.start()
    havoc.start()
    for client in clients:
        client.start()
    try:
        _watch(clients, stack, report)
        havoc.join()
    finally:
        # Where we are interrupted: what has begun ends, and nothing else begins.
        stopped.set()
        havoc.join()
        havoc.finish()
    for injector in stack.injectors.values():
        injector.stop()
    return _Disturbed(clients, havoc, poison)


def _make_clients(stack: Stack, stopped: threading.Event) -> list[Client]:
    shape, shares = stack.options.shape, Shares()
    if not stack.options.with_keys:
        shares = replace(shares, keyed=0.0)
    return [
        Client(
            number,
            ports=stack.ports,
            quota=shape.messages // shape.clients + (number < shape.messages % shape.clients),
            seconds=shape.seconds,
            rng=seeded(stack.options.seed, f"client/{number}"),
            shares=shares,
            stopped=stopped,
        )
        for number in range(shape.clients)
    ]


def _watch(clients: list[Client], stack: Stack, report: Callable[[str], object]) -> None:
    """Wait until all clients have ended, and tell how far they are."""
    started = time.monotonic()
    told = 0.0
    while any(client.is_alive() for client in clients):
        time.sleep(0.2)
        seconds = time.monotonic() - started
        if seconds - told < PROGRESS_SECONDS:
            continue
        told = seconds
        sent = sum(client.journal.messages for client in clients)
        accepted = sum(client.journal.answers["202"] for client in clients)
        faults = sum(sum(injector.counts.values()) for injector in stack.injectors.values())
        report(
            f"[{seconds:4.0f} s] sent {sent}, accepted {accepted}, "
            f"on the queue {'+'.join(map(str, stack.aws.depth()))}, faults {faults}"
        )


def _drain(stack: Stack, report: Callable[[str], object]) -> tuple[int, int, int]:
    """Wait until the queue is empty; return what is left on it."""
    started = time.monotonic()
    told = 0.0
    while any(left := stack.aws.depth()):
        seconds = time.monotonic() - started
        if seconds > DRAIN_SECONDS:
            break
        if seconds - told >= PROGRESS_SECONDS:
            told = seconds
            report(f"[{seconds:4.0f} s] on the queue {'+'.join(map(str, left))}")
        time.sleep(0.3)
    return left


def _stop_all(stack: Stack) -> None:
    """Stop all services as a deploy does."""
    threads = [
        threading.Thread(target=service.stop, daemon=True) for service in stack.services.values()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _gather(stack: Stack, disturbed: _Disturbed, left: tuple[int, int, int]) -> Evidence:
    journal = Journal()
    for client in disturbed.clients:
        journal.add(client.journal)
    logs = [
        evidence.read_log(life.log, name=life.name, was_killed=life.was_killed)
        for service in stack.services.values()
        for life in service.lives
    ]
    if stack.database is not None:
        logs.append(evidence.read_log(stack.database.log, name="postgresql", was_killed=False))
    return Evidence(
        journal=journal,
        objects=evidence.read_objects(stack.aws.objects()),
        dead_letters=stack.aws.dead_letters(),
        poison=disturbed.poison,
        audit=evidence.read_audit(stack.database_url),
        logs=logs,
        left=left,
        bad_stops=[
            f"{service.name}: {'did not end in time' if status is None else f'status {status}'}"
            for service in stack.services.values()
            for status in service.stops
            if status != 0
        ],
        deaths=[
            f"{life.name}: status {life.popen.returncode}"
            for service in stack.services.values()
            for life in service.deaths
        ],
        errors=disturbed.havoc.errors,
    )
