"""Keeps SQS from delivering messages that are in flight here to other workers."""

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from cpsite.aws import QueueRefused, describe
from cpsite.observability.notices import Notices
from cpsite.queue.batch import BATCH_ENTRIES
from cpsite.queue.delivery import QUEUE_FAILURES, Delivery
from uploader import metrics
from uploader.backoff import pause_seconds
from uploader.heartbeat import Heartbeat
from uploader.queue_settings import QueueAttributes
from uploader.receiver import Receiver

logger = logging.getLogger(__name__)

#: Seconds between two checks of the messages in flight.
INTERVAL: Final = 1.0
#: Seconds after which the queue's settings are read again: an operator may have changed them.
READ_AGAIN_SECONDS: Final = 60.0
#: Seconds after its receive until which a message may be hidden: SQS's limit of 12 hours (AWS:
#: "Amazon SQS message quotas"), less a minute for clocks and calls.
LONGEST_SECONDS: Final = 12 * 3600 - 60


class VisibilityExtender:
    """Extends the visibility timeout of messages in flight each time half of it has passed.

    `in_flight` returns these messages. Once a message is stored or released, it is not extended.
    If SQS refuses a message, that is logged and it is not extended again: SQS delivers it to
    another worker, or has it no more. A call that fails is repeated after a pause. `known` is
    called with the queue's settings, each time after they were read.
    """

    def __init__(
        self,
        receiver: Receiver,
        *,
        in_flight: Callable[[], Sequence[Delivery]],
        heartbeat: Heartbeat,
        known: Callable[[QueueAttributes], object] = lambda _found: None,
    ) -> None:
        self._receiver = receiver
        self._heartbeat = heartbeat
        self._in_flight = in_flight
        self._known = known
        self._notices = Notices(logger)
        self._read_at = float("-inf")
        self._failures = 0
        #: Monotonic time before which no call is made, after one that failed.
        self._not_before = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="visibility", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        with self._heartbeat.thread("visibility") as pulse:
            while not self._stopped.wait(INTERVAL):
                pulse.beat()
                self._extend_guarded(pulse.beat)

    def _extend_guarded(self, beat: Callable[[], object]) -> None:
        try:
            self.extend(beat)
        except Exception as exc:
            # An unexpected error must not end the thread.
            self._back_off(type(exc).__name__)
            logger.exception("visibility_failed_unexpectedly")

    def extend(self, beat: Callable[[], object] = lambda: None) -> None:
        """Extend the messages that are due, unless a call has just failed."""
        if time.monotonic() < self._not_before:
            return
        try:
            self._read_settings()
            for seconds, due in self._due(time.monotonic()).items():
                for start in range(0, len(due), BATCH_ENTRIES):
                    beat()
                    self._extend(due[start : start + BATCH_ENTRIES], seconds)
        except QUEUE_FAILURES as exc:
            self._back_off(describe(exc))
        else:
            self._failures = 0

    def _back_off(self, error: str) -> None:
        self._failures += 1
        # Half of the timeout is left when a message is due: there must be time for several tries.
        known = self._receiver.settings
        longest = (known.hidden_seconds if known else 120) / 8
        self._not_before = time.monotonic() + min(pause_seconds(self._failures), longest)
        self._notices.warning("visibility_not_extended", error=error)

    def _read_settings(self) -> None:
        """Read the queue's settings if something is in flight and they may be outdated."""
        if time.monotonic() < self._read_at + READ_AGAIN_SECONDS or not self._in_flight():
            return
        self._known(self._receiver.read_settings())
        self._read_at = time.monotonic()

    def _due(self, now: float) -> dict[int, list[Delivery]]:
        """Return the messages to extend, by the seconds to hide each from now."""
        due: dict[int, list[Delivery]] = defaultdict(list)
        known = self._receiver.settings
        if known is None:
            return due
        timeout = known.hidden_seconds
        for delivery in self._in_flight():
            # Received before the settings were known, it is hidden for as long as the queue says.
            hidden_seconds = delivery.hidden_seconds or known.visibility_timeout_seconds
            seconds = min(timeout, int(LONGEST_SECONDS - (now - delivery.received_at)))
            until = delivery.hidden_at + hidden_seconds
            if (
                not delivery.is_refused
                and now - delivery.hidden_at > hidden_seconds / 2
                # At the limit of SQS there is nothing to gain.
                and now + seconds > until
            ):
                due[seconds].append(delivery)
        return due

    def _extend(self, due: Sequence[Delivery], seconds: int) -> None:
        now = time.monotonic()
        outcomes = self._receiver.extend(due, seconds=seconds)
        refused: Counter[str] = Counter()
        still_in_flight = set(self._in_flight())
        for delivery, failure in zip(due, outcomes, strict=True):
            if failure is None:
                delivery.hidden_at, delivery.hidden_seconds = now, seconds
                metrics.visibility_extensions_total.inc()
            elif isinstance(failure, QueueRefused) and not failure.sender_fault:
                raise failure
            else:
                delivery.is_refused = True
                # What was deleted meanwhile has no visibility any more.
                refused[describe(failure)] += delivery in still_in_flight
        for error, times in refused.items():
            if times:
                self._notices.warning("visibility_not_extended", error=error, times=times)
