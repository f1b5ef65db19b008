"""Proof of life: a file that the worker touches when it makes progress.

Its content is a reading of the monotonic clock, which all processes of a host share and which no
clock correction moves.
"""

import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from uploader import metrics

logger = logging.getLogger(__name__)

#: Seconds between two writes; progress can come thousands of times a second.
INTERVAL: Final = 1.0


class Heartbeat:
    """Written by the worker, from any of its threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written_at = float("-inf")
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)

    def beat(self) -> None:
        """Note progress, now."""
        metrics.last_progress_timestamp_seconds.set_to_current_time()
        now = time.monotonic()
        with self._lock:
            if now - self._written_at >= INTERVAL:
                self._written_at = now
                # Replaced as a whole, so that a reader never sees half a number.
                temporary = self._path.with_suffix(f".{os.getpid()}")
                try:
                    temporary.write_text(str(now))
                    temporary.replace(self._path)
                except OSError as exc:
                    # A full disk must not stop the worker; its health check will tell.
                    logger.warning("heartbeat_not_written", extra={"error": type(exc).__name__})

    def remove(self) -> None:
        """Say that there is no worker any more."""
        with suppress(FileNotFoundError):
            self._path.unlink()


def age(path: Path) -> float | None:
    """Return the seconds since the last beat, or None when there is no worker's beat to read."""
    try:
        seconds = time.monotonic() - float(path.read_text())
    except (OSError, ValueError):
        return None
    # From before the host was started anew.
    return seconds if seconds >= 0 else None
