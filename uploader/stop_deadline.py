"""Ends the process when a stop takes too long, before ECS would kill it. No message is lost."""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from cpsite.audit.recorder import recorder
from uploader.backoff import NOTICE_SECONDS
from uploader.worker import Worker

logger = logging.getLogger(__name__)

#: Seconds of a stop that are reserved for writing the audit events in memory.
_AUDIT_SECONDS: Final = 1.5


class StopDeadline:
    """Ends the process `seconds` after `worker` was asked to stop, unless it has finished.

    SQS delivers the messages in flight again after their visibility timeout.
    """

    def __init__(
        self,
        worker: Worker,
        *,
        seconds: float,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._worker = worker
        self._seconds = seconds
        self._end = end
        self._finished = threading.Event()
        # Started with the worker, not by the signal handler, which must do little.
        self._thread = threading.Thread(target=self._run, name="stop-deadline", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finished(self) -> None:
        """Report that the worker has finished in time."""
        self._finished.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._worker.is_stopping:
            if self._finished.wait(NOTICE_SECONDS):
                return
        until = time.monotonic() + self._seconds - 2 * _AUDIT_SECONDS
        if self._finished.wait(until - time.monotonic()):
            return
        logger.error("stop_took_too_long", extra={"in_flight": self._worker.in_flight})
        recorder.close(_AUDIT_SECONDS)
        self._end(0)
