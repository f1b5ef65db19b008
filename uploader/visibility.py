"""Keeps SQS from delivering messages that are in flight here to other workers."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from cpsite.aws import describe
from cpsite.queue.delivery import QUEUE_FAILURES, Delivery
from uploader import metrics
from uploader.heartbeat import Heartbeat
from uploader.receiver import Receiver

logger = logging.getLogger(__name__)

#: Seconds between two checks of the messages in flight.
INTERVAL: Final = 1.0
#: Age in seconds after its receive at which a message is no longer extended. SQS's limit is 12
#: hours (AWS: "Amazon SQS message quotas").
LONGEST_SECONDS: Final = 11 * 3600


class VisibilityExtender:
    """Extends the visibility timeout of messages in flight each time half of it has passed.

    `in_flight` returns these messages. Once a message is stored or released, it is not extended.
    """

    def __init__(
        self,
        receiver: Receiver,
        *,
        in_flight: Callable[[], Sequence[Delivery]],
        heartbeat: Heartbeat,
    ) -> None:
        self._receiver = receiver
        self._heartbeat = heartbeat
        self._in_flight = in_flight
        self._timeout: int | None = None
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
                self._extend_guarded()

    def _extend_guarded(self) -> None:
        try:
            self.extend()
        except QUEUE_FAILURES as exc:
            logger.warning("visibility_not_extended", extra={"error": describe(exc)})
        except Exception:
            # An unexpected error must not end the thread.
            logger.exception("visibility_failed_unexpectedly")

    def extend(self) -> None:
        """Extend the messages that are due. Raises one of QUEUE_FAILURES."""
        due = self._due(time.monotonic())
        if not due or self._timeout is None:
            return
        now = time.monotonic()
        outcomes = self._receiver.change_visibility(due, seconds=self._timeout)
        for delivery, failure in zip(due, outcomes, strict=True):
            if failure is None:
                delivery.hidden_at = now
                metrics.visibility_extensions_total.inc()
            else:
                logger.warning(
                    "visibility_not_extended",
                    extra={
                        "sqs_message_id": delivery.sqs_message_id,
                        "error": describe(failure),
                    },
                )

    def _due(self, now: float) -> list[Delivery]:
        in_flight = self._in_flight()
        if in_flight and self._timeout is None:
            self._timeout = self._receiver.visibility_timeout()
        return [
            delivery
            for delivery in in_flight
            if self._timeout is not None
            and now - delivery.hidden_at > self._timeout / 2
            and now - delivery.received_at < LONGEST_SECONDS
        ]
