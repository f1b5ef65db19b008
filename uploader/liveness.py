"""`python -m uploader.liveness`: the container's health check.

A container is asked every few seconds, and may have a quarter of a vCPU: this starts no Django,
which takes more than a second of one, and imports nothing of ours.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

#: Seconds. The worker says each second that all of it goes on, and says nothing once a part has
#: been silent for a minute (uploader/heartbeat.py): a stuck one shows after a minute and a half.
MAX_AGE: Final = 30.0

#: Where the file is when UPLOADER_HEARTBEAT_FILE says nothing else.
DEFAULT_FILE: Final = Path(__file__).resolve().parents[1] / "var" / "uploader-heartbeat"

HELP: Final = (
    "Exit 0 when all parts of the uploader on this machine go on, else 1: when a receive, an "
    "upload or a thread is stuck, or the process is."
)


class Verdict(NamedTuple):
    is_alive: bool
    text: str


def age(path: Path) -> float | None:
    """Return the seconds since the heartbeat was written, or None when there is none to read."""
    try:
        seconds = time.monotonic() - float(path.read_text())
    except (OSError, ValueError):
        return None
    # From before the host was started anew.
    return seconds if seconds >= 0 else None


def look(path: Path, max_age: float = MAX_AGE) -> Verdict:
    """Say whether the heartbeat in `path` is at most `max_age` seconds old."""
    seconds = age(path)
    if seconds is None:
        return Verdict(False, f"No uploader is running here: {path} has no heartbeat.")
    return Verdict(seconds <= max_age, f"The uploader's last sign of life was {seconds:.0f} s ago.")


def add_max_age(parser: argparse.ArgumentParser) -> None:
    """Add the one option that the health check and the command `check_uploader` take."""
    parser.add_argument(
        "--max-age",
        type=float,
        default=MAX_AGE,
        metavar="SECONDS",
        help="how long ago the last sign of life may be (default: %(default)s)",
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m uploader.liveness", description=HELP)
    add_max_age(parser)
    path = Path(os.environ.get("UPLOADER_HEARTBEAT_FILE") or DEFAULT_FILE)
    verdict = look(path, parser.parse_args().max_age)
    print(verdict.text, file=sys.stdout if verdict.is_alive else sys.stderr)
    return 0 if verdict.is_alive else 1


if __name__ == "__main__":
    sys.exit(main())
