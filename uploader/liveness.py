"""`python -m uploader.liveness`: the container's health check.

It runs every few seconds in a container that may have a quarter of a vCPU. So it does not start
Django, which alone takes more than a second there, and imports nothing from this project.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

#: Oldest heartbeat, in seconds, of a healthy worker. The worker writes one each second, and stops
#: writing once a part has not beaten for 60 s (uploader/heartbeat.py). So a stuck part shows after
#: 60 + 30 s.
MAX_AGE: Final = 30.0

#: The heartbeat file unless UPLOADER_HEARTBEAT_FILE is set.
DEFAULT_FILE: Final = Path(__file__).resolve().parents[1] / "var" / "uploader-heartbeat"

HELP: Final = (
    "Exit 0 while all parts of the uploader on this machine make progress; exit 1 when a receive, "
    "an upload, a thread or the whole process is stuck, or when no uploader is running."
)


class Verdict(NamedTuple):
    is_alive: bool
    text: str


def heartbeat_file(configured: str = "") -> Path:
    """Return the heartbeat file: the value of UPLOADER_HEARTBEAT_FILE, or the default."""
    return Path(configured or DEFAULT_FILE)


def age(path: Path) -> float | None:
    """Return the seconds since the last heartbeat, or None when there is no valid one."""
    try:
        seconds = time.monotonic() - float(path.read_text())
    except (OSError, ValueError):
        return None
    # Negative: written before the host was rebooted.
    return seconds if seconds >= 0 else None


def look(path: Path, max_age: float = MAX_AGE) -> Verdict:
    """Return whether the heartbeat in `path` is at most `max_age` seconds old, with a text."""
    seconds = age(path)
    if seconds is None:
        return Verdict(False, f"No uploader is running here: {path} has no heartbeat.")
    return Verdict(seconds <= max_age, f"The uploader's last heartbeat was {seconds:.0f} s ago.")


def add_max_age(parser: argparse.ArgumentParser) -> None:
    """Add the option that the health check and the command `check_uploader` share."""
    parser.add_argument(
        "--max-age",
        type=float,
        default=MAX_AGE,
        metavar="SECONDS",
        help="highest age of the last heartbeat (default: %(default)s)",
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m uploader.liveness", description=HELP)
    add_max_age(parser)
    path = heartbeat_file(os.environ.get("UPLOADER_HEARTBEAT_FILE", ""))
    verdict = look(path, parser.parse_args().max_age)
    print(verdict.text, file=sys.stdout if verdict.is_alive else sys.stderr)
    return 0 if verdict.is_alive else 1


if __name__ == "__main__":
    sys.exit(main())
