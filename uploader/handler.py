"""Decides the outcome of a delivery: stored and deleted, or left on the queue for a reason.

- It is stored: the acknowledger deletes it.
- The storage fails: the delivery stays in flight and is retried until the storage recovers. Each
  delivery counts towards maxReceiveCount, and an outage must not move good messages to the
  dead-letter queue.
- This write fails while others succeed: the message is the cause. It is delayed, longer each time.
- The storage will never take this object, or the message cannot be decoded (poison): SQS delivers
  it again after a few seconds, so that it soon reaches the dead-letter queue.

`uploader/storage_errors.py` says which error is which.
"""

import logging
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from cpsite.aws import describe
from cpsite.message import DecodeError, Message
from cpsite.observability.notices import Notices
from cpsite.queue.delivery import QUEUE_FAILURES, Delivery
from uploader import accounting, metrics
from uploader.backoff import pause_seconds
from uploader.heartbeat import Heartbeat
from uploader.layouts import Batch, Part
from uploader.object_keys import object_key
from uploader.receiver import Receiver
from uploader.storage_errors import Action, action
from uploader.storage_outage import StorageOutage

logger = logging.getLogger(__name__)

#: Attempts to write an object. After these its messages are delayed if other writes succeed.
TRIES: Final = 3
#: Longest delay, in seconds, of a message that could not be stored. The first delay is
#: UPLOADER_RETRY_SECONDS, and it doubles with each delivery.
RETRY_SECONDS_MAX: Final = 900
#: Seconds until SQS delivers a poison message again. SQS moves it to the dead-letter queue only
#: after maxReceiveCount deliveries, so this is short.
POISON_RETRY_SECONDS: Final = 5
#: Longest delay, in seconds, of a poison message on a queue without a dead-letter queue.
ENDLESS_RETRY_SECONDS_MAX: Final = 3600
#: Poison messages of such a queue that a process remembers, so as to tell of each once.
REMEMBERED: Final = 10_000

# Kept, because a label lookup costs more than the observation itself.
_SECONDS_OF_STORED: Final = metrics.upload_seconds.labels("stored")
_SECONDS_OF_FAILED: Final = metrics.upload_seconds.labels("failed")


@dataclass
class Counts:
    """Counts the deliveries of a worker by outcome. Thread-safe."""

    received: int = 0
    stored: int = 0
    failed: int = 0
    released: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, name: str, number: int = 1) -> None:
        with self._lock:
            setattr(self, name, getattr(self, name) + number)

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in ("received", "stored", "failed", "released")}


class Handler:
    """Stores deliveries, or leaves them on the queue. Thread-safe; no exception escapes.

    `store(key, body)` writes one object and returns when the storage has it. `acknowledge(part)`
    takes a stored message and deletes it later. With `log_each` every stored message has a log
    line. `has_dead_letters()` is false if the queue has no dead-letter queue.
    """

    def __init__(
        self,
        *,
        receiver: Receiver,
        store: Callable[[str, bytes], None],
        acknowledge: Callable[[Part], None],
        heartbeat: Heartbeat,
        is_stopping: Callable[[], bool],
        log_each: bool,
        has_dead_letters: Callable[[], bool] = lambda: True,
    ) -> None:
        self.counts = Counts()
        self.outage = StorageOutage()
        self._receiver = receiver
        self._store = store
        self._acknowledge = acknowledge
        self._heartbeat = heartbeat
        self._is_stopping = is_stopping
        self._log_each = log_each
        self._has_dead_letters = has_dead_letters
        self._notices = Notices(logger)
        #: SQS's ids of messages that keep coming back, oldest first.
        self._left: OrderedDict[str, None] = OrderedDict()
        self._remembering = threading.Lock()
        #: Whether SQS was unavailable during a stop.
        self._gave_up_releasing = False

    def handle(self, delivery: Delivery) -> None:
        """Store one delivery as one object."""
        try:
            part = decode(delivery)
            if part is None:
                self.leave_undecodable(delivery)
            else:
                self._store_parts([part], object_key(part.message), delivery.body)
        except Exception:
            logger.exception("message_failed_unexpectedly")
            self._leave_unexpectedly([delivery])

    def handle_batch(self, batch: Batch) -> None:
        """Store the deliveries of one batch as one object."""
        try:
            key, body = batch.encode()
            self._store_parts(batch.parts, key, body)
        except Exception:
            logger.exception("batch_failed_unexpectedly")
            self._leave_unexpectedly([part.delivery for part in batch.parts])

    def _store_parts(self, parts: Sequence[Part], key: str, body: bytes) -> None:
        started, tries = time.monotonic(), 1
        with self._heartbeat.pulse("upload") as pulse:
            while (error := self._try_to_store(parts, key, body)) is not None:
                if action(error) is Action.REFUSE:
                    self._refuse(parts, describe(error))
                    return
                enough = 1 if action(error) is Action.PUT_OFF else TRIES
                if tries >= enough and self.outage.has_stored_since(started):
                    self._delay(parts, describe(error))
                    return
                self._notices.warning(
                    "write_failed", error=describe(error), object_key=key, tries=tries
                )
                pause = pause_seconds(tries)
                if not self.outage.wait(pause, is_stopping=self._is_stopping, beat=pulse.beat):
                    self.release([part.delivery for part in parts])
                    return
                tries += 1

    def _try_to_store(self, parts: Sequence[Part], key: str, body: bytes) -> Exception | None:
        """Write one object and acknowledge its messages. Return the error, or None on success."""
        started = time.perf_counter()
        try:
            self._store(key, body)
        except (ClientError, BotoCoreError, OSError) as exc:
            _SECONDS_OF_FAILED.observe(time.perf_counter() - started)
            self.outage.failed()
            return exc
        duration = time.perf_counter() - started
        _SECONDS_OF_STORED.observe(duration)
        metrics.stored_bytes_total.inc(len(body))
        self.outage.succeeded()
        self.counts.add("stored", len(parts))
        for part in parts:
            self._acknowledge(part)
            accounting.stored(part, key=key, duration=duration, log=self._log_each)
        if not self._log_each:
            # Messages, not deliveries: SQS may have delivered one twice.
            messages = len({part.message.message_id for part in parts})
            accounting.batch_stored(key=key, messages=messages, size=len(body), duration=duration)
        return None

    def _refuse(self, parts: Sequence[Part], reason: str) -> None:
        """Leave messages that the storage will never accept to the dead-letter queue."""
        self._give_back(
            {part.delivery: self._leave(part.delivery, part.message, reason) for part in parts}
        )

    def _leave(self, delivery: Delivery, message: Message | None, reason: str) -> int:
        """Record a poison message; return the seconds until its next delivery."""
        if self._has_dead_letters():
            self._account_failed(delivery, message, reason, POISON_RETRY_SECONDS)
            return POISON_RETRY_SECONDS
        # It comes back until SQS drops it: ever more rarely, and only the first time is recorded.
        doubled: int = POISON_RETRY_SECONDS * 2 ** min(delivery.attempts - 1, 20)
        delay = min(doubled, ENDLESS_RETRY_SECONDS_MAX)
        if self._remember(delivery.sqs_message_id):
            self._account_failed(delivery, message, reason, delay)
        else:
            self.counts.add("failed")
            accounting.failed_again(message)
        return delay

    def _remember(self, sqs_message_id: str) -> bool:
        """Note that a message was left on such a queue. Return whether it is new."""
        with self._remembering:
            is_new = sqs_message_id not in self._left
            self._left[sqs_message_id] = None
            self._left.move_to_end(sqs_message_id)
            if len(self._left) > REMEMBERED:
                self._left.popitem(last=False)
        return is_new

    def _delay(self, parts: Sequence[Part], reason: str) -> None:
        """Have SQS deliver messages again later. The delay grows with each delivery."""
        delays = {}
        for part in parts:
            delays[part.delivery] = delay = _retry_seconds(part.delivery)
            self._account_failed(part.delivery, part.message, reason, delay)
        self._give_back(delays)

    def _give_back(self, delays: Mapping[Delivery, int]) -> None:
        """Have SQS deliver each again after its delay in seconds."""
        together: dict[int, list[Delivery]] = defaultdict(list)
        for delivery, delay in delays.items():
            together[delay].append(delivery)
        for delay, deliveries in together.items():
            self._change_visibility(deliveries, delay)

    def leave_undecodable(self, delivery: Delivery) -> None:
        """Leave a foreign message to the dead-letter queue."""
        self._give_back({delivery: self._leave(delivery, None, "undecodable")})

    def _leave_unexpectedly(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            delay = _retry_seconds(delivery)
            self._account_failed(delivery, None, "internal_error", delay)
            self._change_visibility([delivery], delay)

    def _account_failed(
        self, delivery: Delivery, message: Message | None, reason: str, retry_in_seconds: int
    ) -> None:
        self.counts.add("failed")
        accounting.failed(delivery, message, reason=reason, retry_in_seconds=retry_in_seconds)

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Return deliveries to the queue at once, because a stop leaves no time for them."""
        if deliveries:
            metrics.messages_total.labels("released").inc(len(deliveries))
            self.counts.add("released", len(deliveries))
            self._change_visibility(deliveries, 0)

    def _change_visibility(self, deliveries: Sequence[Delivery], delay_seconds: int) -> None:
        if self._gave_up_releasing:
            return  # SQS is unavailable, and a stop has no time to wait for each message
        try:
            self._receiver.release(deliveries, delay_seconds=delay_seconds)
        except QUEUE_FAILURES as exc:
            # SQS delivers them again after the queue's visibility timeout.
            self._gave_up_releasing = self._is_stopping()
            self._notices.warning("release_failed", error=describe(exc))


def _retry_seconds(delivery: Delivery) -> int:
    doubled = settings.UPLOADER_RETRY_SECONDS * 2 ** (delivery.attempts - 1)
    return int(min(doubled, RETRY_SECONDS_MAX))


def decode(delivery: Delivery) -> Part | None:
    """Return a delivery with its message, or None when the message is foreign."""
    if delivery.undecodable is not None:
        error = f"unreadable envelope ({delivery.undecodable})"
    else:
        try:
            return Part(delivery, Message.decode(delivery.body))
        except DecodeError as exc:
            error = str(exc)
    if delivery.attempts == 1:  # a later delivery is as foreign
        logger.warning("message_undecodable", extra={"error": error})
    return None
