"""The side-by-side benchmark: `make bench`, or `.venv/bin/python -m bench --help`."""

import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from bench import arguments, consumers, environment, growth, output, overload, servers, stack
from bench.arguments import Arguments
from bench.errors import CannotMeasure
from bench.progress import report
from bench.results import Result, Task
from bench.stack import Stack


@dataclass
class Run:
    """The results so far. A part that fails does not affect the others."""

    results: list[Result] = field(default_factory=list)
    failures: int = 0

    def do(self, task: Task) -> None:
        try:
            self.results.extend(task())
        except CannotMeasure as exc:
            self.failures += 1
            report("FAILED", str(exc))


def _tasks(chosen: Arguments, running: Stack) -> Iterator[Task]:
    our_validators = [each for each in servers.VALIDATORS if each.is_ours]
    our_uploaders = [each for each in consumers.UPLOADERS if each.is_ours]
    validators = our_validators if chosen.skip_peers else servers.VALIDATORS
    uploaders = our_uploaders if chosen.skip_peers else consumers.UPLOADERS
    if chosen.before is not None:
        validators, uploaders = [*validators, *servers.BEFORE], [*uploaders, *consumers.BEFORE]
    if "validator" in chosen.only:
        yield from servers.tasks(
            running,
            validators,
            rounds=chosen.rounds,
            concurrency=chosen.concurrency,
            requests=chosen.requests,
        )
    if "overload" in chosen.only:
        before = servers.BEFORE if chosen.before is not None else ()
        yield from overload.tasks(
            running,
            [*our_validators, *before],
            rounds=chosen.rounds,
            requests=chosen.requests,
        )
    if "uploader" in chosen.only:
        yield from consumers.tasks(
            running,
            uploaders,
            rounds=chosen.rounds,
            messages=chosen.messages,
        )
    if "backlog" in chosen.only:
        yield from growth.backlog_tasks(
            running, our_uploaders, rounds=chosen.rounds, full=chosen.full
        )
    if "size" in chosen.only:
        yield from growth.size_tasks(running, our_validators, our_uploaders, rounds=chosen.rounds)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    # Ignore further signals: ending what was started takes seconds and must not be interrupted.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(number).name)


def _measure(chosen: Arguments) -> int:
    run = Run()
    environment.check()
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as scratch:
        report("starting SQS, S3 and the database")
        starting = stack.running(
            Path(scratch), chosen.ours, sqs_delay_ms=chosen.sqs_delay, before=chosen.before
        )
        with starting as running:
            for task in _tasks(chosen, running):
                run.do(task)
            facts = output.facts(running)
    report("done")
    if not run.results:
        raise CannotMeasure("nothing could be measured")
    output.show(run.results, facts, chosen)
    return 1 if run.failures else 0


def main() -> None:
    chosen = arguments.parse()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _interrupt)
    try:
        sys.exit(_measure(chosen))
    except CannotMeasure as exc:
        sys.exit(f"bench: {exc}")
    except KeyboardInterrupt as exc:
        sys.exit(f"bench: ended by {exc}")


if __name__ == "__main__":
    main()
