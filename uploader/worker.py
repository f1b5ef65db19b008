"""The uploader's loop: receive, store in parallel, then acknowledge.

Not Kombu's ConsumerMixin: that one acknowledges what it cannot decode, which on SQS deletes it;
it stops on throttling (a ClientError); and it sleeps up to a second when the prefetch is full.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.recorder import recorder
from cpsite.message import DecodeError, Message
from cpsite.sqs_batch import BATCH_ENTRIES, QueueRefused
from uploader import metrics
from uploader.heartbeat import Heartbeat
from uploader.receiver import QUEUE_FAILURES, Delivery, Receiver
from uploader.storage import object_key

logger = logging.getLogger(__name__)

#: Seconds until a message that could not be stored is tried again: doubled each time up to the
#: maximum, so that a failing S3 is not met with a hot loop.
RETRY_SECONDS: Final = 30
RETRY_SECONDS_MAX: Final = 900
#: Seconds until SQS delivers a message again that will never decode. It must come back
#: maxReceiveCount times before SQS moves it to the dead-letter queue.
UNDECODABLE_RETRY_SECONDS: Final = 5
#: Seconds to wait, at most, after failed receives.
BACKOFF_SECONDS_MAX: Final = 30.0
#: Failed uploads in a row after which the storage itself is taken to be away.
OUTAGE_FAILURES: Final = 5
#: Seconds after which a wait looks whether a signal has asked to stop.
NOTICE_SECONDS: Final = 0.25


@dataclass
class Counts:
    """What a worker has done."""

    received: int = 0
    stored: int = 0
    failed: int = 0
    released: int = 0


class Worker:
    """Moves messages from the queue to the storage until it is stopped.

    `store(key, body)` writes one object and returns when the storage has it. At most
    `concurrency` messages are being stored at a time, and ten more wait for a free thread.
    With `max_messages` the worker stops after that many deliveries; with `drain` when a receive
    comes back empty while none is in hand.
    """

    def __init__(
        self,
        *,
        receiver: Receiver,
        store: Callable[[str, bytes], None],
        heartbeat: Heartbeat,
        concurrency: int,
        max_messages: int | None = None,
        drain: bool = False,
    ) -> None:
        self.counts = Counts()
        self._receiver = receiver
        self._store = store
        self._heartbeat = heartbeat
        self._capacity = concurrency + BATCH_ENTRIES
        self._max_messages = max_messages
        self._drain = drain
        self._stopping = False
        self._failed_receives = 0
        self._failed_stores = 0
        self._in_hand: dict[Future[None], Delivery] = {}
        # Also guards `counts`, which the threads share.
        self._changed = threading.Condition()
        self._executor = ThreadPoolExecutor(concurrency, thread_name_prefix="upload")

    def stop(self) -> None:
        """Ask the worker to finish what it has begun and to return.

        Safe in a signal handler: it takes no lock, which the interrupted code might hold (that
        is why there is no `threading.Event` here).
        """
        self._stopping = True

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    def run(self) -> Counts:
        """Work until stopped, drained or at the limit; return what was done."""
        self._heartbeat.beat()
        try:
            while not self._stopping and (limit := self._wait_for_room()):
                if not self._receive(limit) and self._is_drained():
                    break
        finally:
            self._finish()
        return self.counts

    def _wait_for_room(self) -> int:
        """Wait until messages can be taken; return how many to ask for, 0 for "no more"."""
        with self._changed:
            while len(self._in_hand) > self._capacity - BATCH_ENTRIES and not self._stopping:
                self._changed.wait(timeout=NOTICE_SECONDS)
        # While the storage is away, one message is enough to find out whether it is back.
        limit = 1 if self._pause_in_outage() else BATCH_ENTRIES
        if self._stopping:
            return 0
        if self._max_messages is None:
            return limit
        return min(limit, self._max_messages - self.counts.received)

    def _pause_in_outage(self) -> bool:
        """Wait a while when the storage seems to be away; return whether it does."""
        beyond = self._failed_stores - OUTAGE_FAILURES
        if beyond >= 0:
            self._sleep(_jittered(min(BACKOFF_SECONDS_MAX, 2.0 ** min(beyond, 10))))
        return beyond >= 0

    def _receive(self, limit: int) -> bool:
        """Receive once and hand over what came; return whether anything did."""
        try:
            deliveries = self._receiver.receive(limit)
        except QUEUE_FAILURES as exc:
            self._back_off(exc)
            return True  # not knowing is not the same as empty
        self._failed_receives = 0
        metrics.receives_total.labels("messages" if deliveries else "empty").inc()
        oldest = min((delivery.sent_at for delivery in deliveries), default=time.time())
        metrics.oldest_message_age_seconds.set(max(0.0, time.time() - oldest))
        self._heartbeat.beat()
        self.counts.received += len(deliveries)
        if self._stopping:
            self._release(deliveries)
        else:
            for delivery in deliveries:
                self._submit(delivery)
        return bool(deliveries)

    def _back_off(self, exc: Exception) -> None:
        metrics.receives_total.labels("failed").inc()
        self._failed_receives += 1
        delay = _jittered(min(BACKOFF_SECONDS_MAX, 2.0 ** min(self._failed_receives, 10) / 2))
        logger.warning(
            "receive_failed",
            extra={"error": _describe(exc), "retry_in_seconds": round(delay, 1)},
        )
        self._heartbeat.beat()
        self._sleep(delay)

    def _sleep(self, seconds: float) -> None:
        """Wait, but not longer than until a stop."""
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, NOTICE_SECONDS))

    def _is_drained(self) -> bool:
        """Whether to stop after an empty receive: what is in hand may yet come back."""
        with self._changed:
            if self._drain and self._in_hand:
                self._changed.wait(timeout=NOTICE_SECONDS)
                return False
            return self._drain

    def _submit(self, delivery: Delivery) -> None:
        with self._changed:
            future = self._executor.submit(self._handle, delivery)
            self._in_hand[future] = delivery
            metrics.in_flight.set(len(self._in_hand))
        future.add_done_callback(self._done)

    def _done(self, future: Future[None]) -> None:
        with self._changed:
            del self._in_hand[future]
            metrics.in_flight.set(len(self._in_hand))
            self._changed.notify_all()
        self._heartbeat.beat()

    def _handle(self, delivery: Delivery) -> None:
        """Bring one delivery to its end, whatever happens: nothing may escape a pool's thread."""
        try:
            self._store_delivery(delivery)
        except Exception:
            logger.exception(
                "message_failed_unexpectedly", extra={"sqs_message_id": delivery.sqs_message_id}
            )
            self._fail(delivery, None, "internal_error", RETRY_SECONDS)

    def _store_delivery(self, delivery: Delivery) -> None:
        try:
            message = _decode(delivery)
        except DecodeError as exc:
            logger.warning("message_undecodable", extra={"error": str(exc)})
            self._fail(delivery, None, "undecodable", UNDECODABLE_RETRY_SECONDS)
            return
        key, body = object_key(message), delivery.body
        started = time.perf_counter()
        try:
            self._store(key, body)
        except (ClientError, BotoCoreError, OSError) as exc:
            metrics.upload_seconds.labels("failed").observe(time.perf_counter() - started)
            with self._changed:
                self._failed_stores += 1
            delay = min(RETRY_SECONDS * 2 ** (delivery.attempts - 1), RETRY_SECONDS_MAX)
            self._fail(delivery, message, _describe(exc), delay)
            return
        duration = time.perf_counter() - started
        metrics.upload_seconds.labels("stored").observe(duration)
        self._acknowledge(delivery, message)
        self._account_stored(delivery, message, key, body, duration)

    def _acknowledge(self, delivery: Delivery, message: Message) -> None:
        """Delete what is stored. If SQS does not, the next delivery stores the same once more."""
        try:
            delivery.acknowledge()
        except QUEUE_FAILURES as exc:
            metrics.acknowledge_failures_total.inc()
            logger.warning(
                "acknowledge_failed",
                extra={"message_id": str(message.message_id), "error": _describe(exc)},
            )

    def _account_stored(
        self, delivery: Delivery, message: Message, key: str, body: bytes, duration: float
    ) -> None:
        age = max(0.0, (datetime.now(UTC) - message.accepted_at).total_seconds())
        metrics.messages_total.labels("stored").inc()
        metrics.message_age_seconds.observe(age)
        with self._changed:
            self.counts.stored += 1
            self._failed_stores = 0
        recorder.record(
            AuditEvent(
                kind=Kind.STORED,
                message_id=message.message_id,
                client=message.client,
                object_key=key,
                payload_sha256=sha256(body).hexdigest(),
                accepted_at=message.accepted_at,
                attempts=delivery.attempts,
                duration_ms=round(duration * 1000),
            )
        )
        logger.info(
            "message_stored",
            extra={
                "message_id": str(message.message_id),
                "client": message.client,
                "object_key": key,
                "attempts": delivery.attempts,
                "duration_ms": round(duration * 1000),
                "age_ms": round(age * 1000),
            },
        )

    def _fail(
        self, delivery: Delivery, message: Message | None, reason: str, retry_in_seconds: int
    ) -> None:
        """Leave a message on the queue for another try, or for the dead-letter queue."""
        message_id = message.message_id if message else None
        metrics.messages_total.labels("failed" if message else "undecodable").inc()
        with self._changed:
            self.counts.failed += 1
        recorder.record(
            AuditEvent(
                kind=Kind.FAILED,
                message_id=message_id,
                client=message.client if message else "",
                reason=reason[:64],
                accepted_at=message.accepted_at if message else None,
                attempts=delivery.attempts,
            )
        )
        logger.warning(
            "message_failed",
            extra={
                "message_id": str(message_id) if message_id else None,
                "sqs_message_id": delivery.sqs_message_id,
                "reason": reason,
                "attempts": delivery.attempts,
                "retry_in_seconds": retry_in_seconds,
            },
        )
        self._change_visibility([delivery], retry_in_seconds)

    def _release(self, deliveries: list[Delivery]) -> None:
        """Give back at once what was received but not begun."""
        metrics.messages_total.labels("released").inc(len(deliveries))
        self.counts.released += len(deliveries)
        self._change_visibility(deliveries, 0)

    def _change_visibility(self, deliveries: list[Delivery], delay_seconds: int) -> None:
        try:
            self._receiver.release(deliveries, delay_seconds=delay_seconds)
        except QUEUE_FAILURES as exc:
            # They come back by themselves after the queue's visibility timeout.
            logger.warning("release_failed", extra={"error": _describe(exc)})

    def _finish(self) -> None:
        """Finish what is being stored; after a stop, give back what is not."""
        if self._stopping:
            with self._changed:
                in_hand = list(self._in_hand.items())
            unstarted = [delivery for future, delivery in in_hand if future.cancel()]
            self._release(unstarted)
        self._executor.shutdown(wait=True)
        self._receiver.close()
        self._heartbeat.remove()


def _jittered(longest: float) -> float:
    """Return half to all of `longest`, so that many workers do not come back as one."""
    return random.uniform(longest / 2, longest)  # noqa: S311 - not for secrets


def _decode(delivery: Delivery) -> Message:
    if delivery.undecodable is not None:
        raise DecodeError(f"unreadable envelope ({delivery.undecodable})", b"")
    return Message.decode(delivery.body)


def _describe(exc: Exception) -> str:
    """Name an error by AWS's code or its class: texts may quote a request."""
    if isinstance(exc, ClientError):
        return f"aws_{exc.response['Error']['Code']}"
    if isinstance(exc, QueueRefused):
        return f"aws_{exc.code}"
    return type(exc).__name__
