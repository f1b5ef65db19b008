"""Log lines of what lasts: the first at once, then one a minute, with the number in between."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

#: Seconds between two lines of one event with one cause.
SECONDS: Final = 60.0


class Notices:
    """Limits how often a loop logs the same event for the same cause. Thread-safe.

    Causes are codes and names of errors, of which there are few.
    """

    def __init__(
        self, logger: logging.Logger, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._clock = clock
        self._lock = threading.Lock()
        #: When each event and cause was logged, and how often it has happened since.
        self._last: dict[tuple[str, str], tuple[float, int]] = {}

    def warning(self, event: str, *, error: str, times: int = 1, **fields: Any) -> None:
        """Log `event` with `error` and `fields`, or only count it.

        `times` is how often it has just happened. The line has the number since the last one.
        """
        with self._lock:
            now = self._clock()
            logged_at, since = self._last.get((event, error), (float("-inf"), 0))
            since += times
            if now - logged_at < SECONDS:
                self._last[event, error] = (logged_at, since)
                return
            self._last[event, error] = (now, 0)
        self._logger.warning(event, extra={**fields, "error": error, "times": since})
