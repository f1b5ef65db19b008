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


class Call:
    """A call that a breaker has let through. Report its result by `succeeded` or `failed`."""

    __slots__ = ("_breaker",)

    def __init__(self, breaker: "CircuitBreaker") -> None:
        self._breaker = breaker

    def succeeded(self) -> None:
        """Report that the backend has answered, even if with an error."""
        self._breaker.close()

    def failed(self) -> None:
        """Report that the backend has not answered."""
        self._breaker.count_failure(self)


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
        #: Stands for every call while the breaker is closed.
        self._ordinary = Call(self)
        #: The last trial call.
        self._trial = Call(self)

    def begin(self) -> Call | None:
        """Return the call to make, or None to make none because the backend is unavailable."""
        with self._lock:
            if self._failures < FAILURES:
                return self._ordinary
            if self._clock() < self._next_try:
                return None
            # This caller makes the trial call; the others are refused until it returns.
            self._next_try = self._clock() + self._longest_try_seconds
            self._trial = Call(self)
            return self._trial

    def close(self) -> None:
        """Let all calls through."""
        with self._lock:
            self._failures = 0

    def count_failure(self, call: Call) -> None:
        """Open after FAILURES in a row; stay open for a pause after a failed trial call.

        While the breaker is open, failures of older calls change nothing: the trial call that is in
        progress must stay the only one.
        """
        with self._lock:
            is_open = self._failures >= FAILURES
            self._failures += 1
            if call is self._trial if is_open else self._failures >= FAILURES:
                self._next_try = self._clock() + PAUSE_SECONDS
