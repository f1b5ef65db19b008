"""Distinguishes an outage of the storage from a failure of one message, and waits it out."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from uploader import metrics
from uploader.backoff import NOTICE_SECONDS

logger = logging.getLogger(__name__)

#: Consecutive failed writes after which the storage counts as unavailable.
OUTAGE_FAILURES: Final = 5


class StorageOutage:
    """The state of the storage, from the writes of all threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._failures = 0
        self._stored_at = float("-inf")

    @property
    def failures(self) -> int:
        """The number of failed writes since the last successful one."""
        return self._failures

    @property
    def is_on(self) -> bool:
        """Whether the storage counts as unavailable."""
        return self._failures >= OUTAGE_FAILURES

    def has_stored_since(self, moment: float) -> bool:
        """Return whether any write has succeeded after `moment` (monotonic clock)."""
        return self._stored_at > moment

    def succeeded(self) -> None:
        """Record a successful write and wake the threads in `wait`."""
        self._stored_at = time.monotonic()
        if not self._failures:
            return
        with self._changed:
            if self.is_on:
                logger.warning("storage_is_back")
            self._failures = 0
            metrics.storage_available.set(1)
            self._changed.notify_all()

    def failed(self) -> None:
        """Record a failed write."""
        with self._changed:
            self._failures += 1
            if self._failures == OUTAGE_FAILURES:
                logger.error("storage_is_away")
                metrics.storage_available.set(0)

    def wait(
        self, seconds: float, *, is_stopping: Callable[[], bool], beat: Callable[[], object]
    ) -> bool:
        """Wait so many seconds, or less if an outage ends. Return False, at once, at a stop.

        `beat` is called while it waits.
        """
        started = time.monotonic()
        with self._changed:
            is_outage = self.is_on
            while not is_stopping():
                beat()
                left = started + seconds - time.monotonic()
                if left <= 0 or (is_outage and self.has_stored_since(started)):
                    return True
                self._changed.wait(min(left, NOTICE_SECONDS))
            return False
