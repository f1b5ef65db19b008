"""The benchmark's command line."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SCENARIOS: Final = ("validator", "overload", "uploader", "backlog", "size")

_DESCRIPTION: Final = """\
Compare cpsite with other implementations of the same job: CPU, rate, latency, calls and memory for
each message. SQS is fauxqs and S3 is SeaweedFS, both on this machine. The audit log goes to
PostgreSQL if initdb is found, else to SQLite. Everything listens on loopback only and ends with the
run.

scenarios:
  validator  messages accepted, under each concurrency; ours, Flask + boto3, Fastify + AWS SDK v3
  overload   twice as many messages a second as our validator accepts under 64 connections
  uploader   a backlog stored; ours in both layouts, a plain boto3 loop, Node's sqs-consumer
  backlog    what a message costs ours behind a backlog of 1,000 and 10,000 (--full: 100,000)
  size       what a message of 1, 64 and 256 KB costs ours
"""
_EPILOG: Final = """\
examples:
  python -m bench --only validator --skip-peers --concurrency 64 --rounds 1
  python -m bench --only overload
  python -m bench --only uploader --rounds 5 --ours UPLOADER_CONCURRENCY=32
  git worktree add --detach ../before HEAD~1 && python -m bench --skip-peers --before ../before
  python -m bench --full --markdown --json numbers.json

The load, the emulators and the measured processes share the machine's cores, and so does anything
else that runs there. That affects rates and latencies most and CPU time least. Compare the ratios
between ours and the peers rather than single numbers.
"""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to measure and how to show it."""

    only: Sequence[str]
    rounds: int
    requests: int
    messages: int
    concurrency: Sequence[int]
    ours: Mapping[str, str]
    sqs_delay: int
    skip_peers: bool
    before: Path | None
    full: bool
    markdown: bool
    json: Path | None


def parse(argv: Sequence[str] | None = None) -> Arguments:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_extent(parser)
    _add_output(parser)
    found = vars(parser.parse_args(argv))
    return Arguments(**found | {"ours": dict(found["ours"])})


def _add_extent(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--only",
        nargs="+",
        choices=SCENARIOS,
        default=SCENARIOS,
        metavar="SCENARIO",
        help=f"some of: {', '.join(SCENARIOS)} (default: all)",
    )
    add(
        "--rounds",
        type=_positive,
        default=3,
        metavar="N",
        help="interleaved rounds; the table has their medians (default: 3)",
    )
    add(
        "--requests",
        type=_positive,
        default=2_000,
        metavar="N",
        help="messages sent to a validator in one run (default: 2000)",
    )
    add(
        "--messages",
        type=_positive,
        default=2_000,
        metavar="N",
        help="messages that an uploader stores in one run (default: 2000)",
    )
    add(
        "--concurrency",
        type=_positive,
        nargs="+",
        default=[1, 16, 64],
        metavar="N",
        help="connections to a validator, each with one request at a time (default: 1 16 64)",
    )
    add(
        "--ours",
        type=_pair,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="additional environment variables for our services, to try a setting",
    )
    add(
        "--sqs-delay",
        type=_positive,
        default=0,
        metavar="MS",
        help="delay of each answer of SQS in milliseconds, as over a network (default: 0)",
    )
    add(
        "--before",
        type=_checkout,
        metavar="CHECKOUT",
        help="also measure the services of another checkout in the same rounds, with the packages "
        "of this one",
    )
    add("--skip-peers", action="store_true", help="measure ours only")
    add("--full", action="store_true", help="also a backlog of 100,000 messages, once")


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="also save every run's numbers, with the date, the machine and all versions",
    )


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _checkout(text: str) -> Path:
    path = Path(text).resolve()
    if not (path / "manage.py").exists():
        raise argparse.ArgumentTypeError(f"{text!r} is no checkout: it has no manage.py")
    return path


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)
