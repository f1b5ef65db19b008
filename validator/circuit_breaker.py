"""Knows when SQS is away, so that requests need not each find out by waiting.

While SQS hangs, a request would hold its thread for the whole publish timeout, and soon all threads
would be held, those that answer health checks included. After a few failures in a row, requests are
answered at once, but for one at a time that tries whether SQS is back.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

#: Failures in a row after which an outage is assumed.
FAILURES: Final = 3
#: Seconds between two tries during an outage.
PAUSE_SECONDS: Final = 1.0


class Outage:
    """One circuit breaker. A try may take up to `longest_try_seconds`."""

    def __init__(
        self, *, longest_try_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._longest_try_seconds = longest_try_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._next_try = 0.0

    def may_try(self) -> bool:
        """Whether to make the call; after a True, say how it went."""
        with self._lock:
            if self._failures < FAILURES:
                return True
            if self._clock() < self._next_try:
                return False
            # This caller tries; the others go on being refused until it is back.
            self._next_try = self._clock() + self._longest_try_seconds
            return True

    def succeeded(self) -> None:
        """SQS has answered, whatever it said."""
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        """There was no answer of SQS."""
        with self._lock:
            self._failures += 1
            self._next_try = self._clock() + PAUSE_SECONDS
