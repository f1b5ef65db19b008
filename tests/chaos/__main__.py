"""The chaos suite: `make chaos SEED=1`, or `.venv/bin/python -m tests.chaos --help`."""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.errors import CannotMeasure
from tests.chaos import aws, report, run, schedule
from tests.chaos.run import Result
from tests.chaos.sabotage import SABOTAGES, is_caught
from tests.chaos.stack import Options

ALL_RIGHT, OFFENCES, CANNOT_RUN, INTERRUPTED = 0, 1, 2, 130


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    sabotages = "\n".join(f"  {name:<24} {what}" for name, (what, _) in SABOTAGES.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Runs gunicorn and several uploaders behind proxies that disturb their calls\n"
        "to SQS, S3 and what issues credentials, kills processes, stops the database and\n"
        "steps a clock, while clients send messages; then counts what is in the bucket.\n"
        "All traffic is on loopback. It takes three to four minutes.",
        epilog=f"sabotages:\n{sabotages}\n\n"
        "exit status: 0 all is right, 1 something is not, 2 it cannot run here, 130 interrupted",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="what all chance is drawn from (default: %(default)s)"
    )
    parser.add_argument(
        "--messages",
        type=_positive,
        metavar="N",
        help=f"good messages to send (default: {schedule.FULL.messages}; "
        f"{schedule.SHORT.messages} with --short)",
    )
    parser.add_argument(
        "--short",
        action="store_true",
        help="what `make test-slow` runs: fewer things, half a minute",
    )
    parser.add_argument("--no-keys", action="store_true", help="send no Idempotency-Key")
    parser.add_argument(
        "--sabotage",
        choices=SABOTAGES,
        metavar="NAME",
        default="",
        help="switch one protection of the services off, to see that the run fails",
    )
    parser.add_argument("--keep", action="store_true", help="keep the logs even if all is right")
    return parser.parse_args(given)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _options(arguments: argparse.Namespace) -> Options:
    shape = schedule.SHORT if arguments.short else schedule.FULL
    return Options(
        seed=arguments.seed,
        shape=replace(shape, messages=arguments.messages or shape.messages),
        is_short=arguments.short,
        with_keys=not arguments.no_keys,
        sabotage=arguments.sabotage,
    )


def _status(result: Result, sabotage: str) -> int:
    if sabotage:
        caught = is_caught(sabotage, result.verdict)
        print(f"sabotage {sabotage}: {'caught' if caught else 'NOT CAUGHT'}")
    return OFFENCES if result.verdict.offences else ALL_RIGHT


def main(given: Sequence[str] | None = None) -> int:
    arguments = _arguments(given)
    if missing := aws.missing(is_short=arguments.short):
        print(f"{missing[0]} is missing: `make chaos` and `make test-slow` install it.")
        return CANNOT_RUN
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    scratch = Path(tempfile.mkdtemp(prefix="cpsite-chaos-"))
    keep = True
    try:
        result = run.run(_options(arguments), scratch, lambda line: print(line, flush=True))
        report.print_result(result)
        status = _status(result, arguments.sabotage)
        keep = arguments.keep or status != ALL_RIGHT
    except KeyboardInterrupt:
        keep = arguments.keep
        print("interrupted: nothing is proven")
        status = INTERRUPTED
    except CannotMeasure as exc:
        print(f"cannot run: {exc}")
        status = CANNOT_RUN
    finally:
        if keep:
            print(f"logs: {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
