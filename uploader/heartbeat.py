"""Liveness: writes a file as long as every part of the worker makes progress.

The loop of each thread has a pulse, and so has each upload. A separate thread checks the pulses and
writes the file only if all have beaten recently. A receive that hangs, an upload that hangs or a
dead thread is therefore detected even while the other parts work.

The file holds the time of the monotonic clock: all processes of a host share that clock, and clock
corrections do not change it.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cpsite.observability.notices import Notices
from uploader import metrics

logger = logging.getLogger(__name__)

#: Seconds between two checks of the pulses.
INTERVAL: Final = 1.0
#: Seconds without a beat after which a part counts as stuck. The longest normal gap is one call to
#: SQS or S3 with its second attempt; waits and pauses keep beating.
STUCK_SECONDS: Final = 60.0


class Pulse:
    """The pulse of one thread or one piece of work."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._beat_at: float | None = time.monotonic()

    def beat(self) -> None:
        """Report progress."""
        self._beat_at = time.monotonic()

    def rest(self) -> None:
        """Report idleness: no beat is due until the next one."""
        self._beat_at = None

    def end(self) -> None:
        """Report an end that should not have happened."""
        self._beat_at = float("-inf")

    def silent_for(self, now: float) -> float:
        """Return the seconds since the last beat, or 0 while at rest."""
        beat_at = self._beat_at
        return 0.0 if beat_at is None else now - beat_at


class Heartbeat:
    """Checks the pulses of all threads and writes the file. Thread-safe.

    A pulse without a beat for more than `stuck_seconds` counts as stuck.
    """

    def __init__(self, path: Path, *, stuck_seconds: float = STUCK_SECONDS) -> None:
        self._path = path
        self._stuck_seconds = stuck_seconds
        self._notices = Notices(logger)
        self._pulses: dict[Pulse, None] = {}
        self._stuck: set[str] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        path.parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def pulse(self, name: str) -> Iterator[Pulse]:
        """Watch a piece of work for as long as the context lasts. It beats at the start."""
        made = Pulse(name)
        self._pulses[made] = None
        try:
            yield made
        finally:
            del self._pulses[made]

    @contextmanager
    def thread(self, name: str) -> Iterator[Pulse]:
        """Watch a thread's loop. A loop that ends by an error counts as stuck from then on."""
        made = Pulse(name)
        self._pulses[made] = None
        try:
            yield made
        except BaseException:
            made.end()
            raise
        del self._pulses[made]

    def start(self) -> None:
        """Write the file now, then regularly while every part makes progress."""
        self.check()
        self._thread.start()

    def stop(self) -> None:
        """Remove the file, because the worker has ended."""
        self._stopped.set()
        self._thread.join()
        with suppress(FileNotFoundError):
            self._path.unlink()

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL):
            self.check()

    def check(self) -> None:
        """Write the file unless a part is stuck. Log each stuck part once."""
        now = time.monotonic()
        # Copied in one step, because other threads add and remove pulses.
        stuck = {
            pulse.name
            for pulse in tuple(self._pulses)
            if pulse.silent_for(now) > self._stuck_seconds
        }
        for name in stuck - self._stuck:
            logger.error("worker_stuck", extra={"part": name})
        self._stuck = stuck
        if not stuck:
            self._write(now)

    def _write(self, now: float) -> None:
        metrics.last_progress_timestamp_seconds.set_to_current_time()
        # Replaced atomically, so that a reader never sees half a number.
        temporary = self._path.with_suffix(f".{os.getpid()}")
        try:
            temporary.write_text(str(now))
            temporary.replace(self._path)
        except OSError as exc:
            # A full disk must not stop the worker; its health check will fail instead.
            self._notices.warning("heartbeat_not_written", error=type(exc).__name__)
