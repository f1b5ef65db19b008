"""Fails fast while a backend is down: opens after 3 failures, lets one trial call through.

Without it, each request would wait for the whole publish timeout while SQS hangs. Soon no
connection would be free, not even for health checks (docs/adr/0005).
"""

import threading
import time
from collections.abc import Callable
from typing import Final

#: Consecutive failures after which calls are refused.
FAILURES: Final = 3
#: Seconds between two trial calls while the breaker is open.
PAUSE_SECONDS: Final = 1.0


class CircuitBreaker:
    """The circuit breaker of one backend. One trial call takes up to `longest_try_seconds`."""

    def __init__(
        self, *, longest_try_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._longest_try_seconds = longest_try_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._next_try = 0.0

    def may_try(self) -> bool:
        """Return whether to make the call. If so, report its result by `succeeded` or `failed`."""
        with self._lock:
            if self._failures < FAILURES:
                return True
            if self._clock() < self._next_try:
                return False
            # This caller makes the trial call; the others are refused until it returns.
            self._next_try = self._clock() + self._longest_try_seconds
            return True

    def succeeded(self) -> None:
        """Report that the backend has answered, even if with an error."""
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        """Report that the backend has not answered."""
        with self._lock:
            self._failures += 1
            self._next_try = self._clock() + PAUSE_SECONDS
