"""Proof of life: a file that is written while every part of the worker goes on.

Each thread's loop and each piece of work that must end has a pulse. A thread of its own looks at
them: only while none of them has been silent for too long does it write the file. So a receive
that hangs, an upload that hangs and a thread that has died all show, whatever the others do.

The file's content is a reading of the monotonic clock, which all processes of a host share and
which no clock correction moves.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from uploader import metrics

logger = logging.getLogger(__name__)

#: Seconds between two looks at the pulses.
INTERVAL: Final = 1.0
#: Seconds of silence after which something is stuck. The longest honest silence is one call to
#: SQS or S3 with its second attempt; waits and pauses beat all the time.
STUCK_SECONDS: Final = 60.0


class Pulse:
    """A sign of life of one thing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._beat_at: float | None = time.monotonic()

    def beat(self) -> None:
        """Say that it goes on."""
        self._beat_at = time.monotonic()

    def rest(self) -> None:
        """Say that nothing is to be expected until the next beat."""
        self._beat_at = None

    def end(self) -> None:
        """Say that it has ended and should not have."""
        self._beat_at = float("-inf")

    def silent_for(self, now: float) -> float:
        """Return the seconds since the last beat, 0 while it rests."""
        beat_at = self._beat_at
        return 0.0 if beat_at is None else now - beat_at


class Heartbeat:
    """Watches over pulses, of any thread, and writes the file. Safe for threads.

    A pulse may be silent for `stuck_seconds`.
    """

    def __init__(self, path: Path, *, stuck_seconds: float = STUCK_SECONDS) -> None:
        self._path = path
        self._stuck_seconds = stuck_seconds
        self._pulses: dict[Pulse, None] = {}
        self._stuck: set[str] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        path.parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def pulse(self, name: str) -> Iterator[Pulse]:
        """Watch over a piece of work for as long as the context lasts. It beats at the start."""
        made = Pulse(name)
        self._pulses[made] = None
        try:
            yield made
        finally:
            del self._pulses[made]

    @contextmanager
    def thread(self, name: str) -> Iterator[Pulse]:
        """Watch over a thread's loop. One that ends by an error is missed for ever."""
        made = Pulse(name)
        self._pulses[made] = None
        try:
            yield made
        except BaseException:
            made.end()
            raise
        del self._pulses[made]

    def start(self) -> None:
        """Write the file now, and from then on while all goes on."""
        self.check()
        self._thread.start()

    def stop(self) -> None:
        """Say that there is no worker any more."""
        self._stopped.set()
        self._thread.join()
        with suppress(FileNotFoundError):
            self._path.unlink()

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL):
            self.check()

    def check(self) -> None:
        """Write the file unless something is stuck, which is told once."""
        now = time.monotonic()
        # A copy, in one step: other threads add and take away.
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
        # Replaced as a whole, so that a reader never sees half a number.
        temporary = self._path.with_suffix(f".{os.getpid()}")
        try:
            temporary.write_text(str(now))
            temporary.replace(self._path)
        except OSError as exc:
            # A full disk must not stop the worker; its health check will tell.
            logger.warning("heartbeat_not_written", extra={"error": type(exc).__name__})
