"""Deletes stored messages from the queue, ten per call, in threads of its own.

The group commit that sends messages does not fit: its callers wait for the outcome, and an upload
thread that waits for a delete stores nothing meanwhile (docs/adr/0006).
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from cpsite.aws import describe
from cpsite.observability.notices import Notices
from cpsite.queue.batch import BATCH_ENTRIES
from cpsite.queue.delivery import QUEUE_FAILURES, Delivery
from uploader import metrics
from uploader.heartbeat import Heartbeat
from uploader.layouts import Part
from uploader.receiver import Receiver

logger = logging.getLogger(__name__)

#: Seconds that a stored message waits for others, so that one call deletes ten. This is far below
#: any visibility timeout, and no upload waits for it.
GATHER_SECONDS: Final = 0.05


class Acknowledger:
    """Collects stored messages and deletes them through `receiver`, in `threads` of its own.

    If SQS does not delete a message, it delivers the message again, and the message is stored once
    more, unchanged. `done` is called after each call to SQS.
    """

    def __init__(
        self,
        receiver: Receiver,
        *,
        heartbeat: Heartbeat,
        threads: int = 1,
        done: Callable[[], object] = lambda: None,
    ) -> None:
        self._receiver = receiver
        self._heartbeat = heartbeat
        self._done = done
        self._notices = Notices(logger)
        self._waiting: deque[Part] = deque()
        self._changed = threading.Condition()
        self._closing = False
        # One thread gathers while others delete. Otherwise each would gather only a few.
        self._gathering = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, name="acknowledge", daemon=True)
            for _ in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def add(self, part: Part) -> None:
        """Queue a message for deletion."""
        with self._changed:
            self._waiting.append(part)
            # The gathering thread waits for the first message of a batch, then for the last.
            if len(self._waiting) in {1, BATCH_ENTRIES}:
                self._changed.notify()

    def __len__(self) -> int:
        """Return how many messages wait to be deleted."""
        return len(self._waiting)

    def deliveries(self) -> list[Delivery]:
        """Return what is stored and waits to be deleted."""
        with self._changed:
            return [part.delivery for part in self._waiting]

    def close(self) -> None:
        """Delete the remaining messages, then return."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with self._heartbeat.thread("acknowledge") as pulse:
            pulse.rest()
            while batch := self._next_batch():
                pulse.beat()
                self._delete_guarded(batch)
                pulse.rest()

    def _delete_guarded(self, batch: Sequence[Part]) -> None:
        try:
            self._delete(batch)
        except Exception:
            # An unexpected error must not end the thread.
            logger.exception("acknowledge_failed_unexpectedly")
            metrics.acknowledge_failures_total.inc(len(batch))
        self._done()

    def _next_batch(self) -> list[Part]:
        """Wait for a batch and return it. An empty one means that there are no more."""
        with self._gathering, self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            until = time.monotonic() + GATHER_SECONDS
            self._changed.wait_for(
                lambda: len(self._waiting) >= BATCH_ENTRIES or self._closing,
                timeout=until - time.monotonic(),
            )
            size = min(len(self._waiting), BATCH_ENTRIES)
            return [self._waiting.popleft() for _ in range(size)]

    def _delete(self, batch: Sequence[Part]) -> None:
        outcomes: Sequence[Exception | None]
        try:
            outcomes = self._receiver.acknowledge([part.delivery for part in batch])
        except QUEUE_FAILURES as exc:
            outcomes = [exc] * len(batch)
        for part, failure in zip(batch, outcomes, strict=True):
            if failure is not None:
                metrics.acknowledge_failures_total.inc()
                self._notices.warning(
                    "acknowledge_failed",
                    error=describe(failure),
                    message_id=str(part.message.message_id),
                )
