"""The uploader's loop: receive, store in parallel, then acknowledge.

Not Kombu's ConsumerMixin: that one acknowledges what it cannot decode, which on SQS deletes it;
it stops on throttling (a ClientError); and it sleeps up to a second when the prefetch is full.
"""

import logging
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from cpsite.message import DecodeError, Message
from cpsite.sqs_batch import BATCH_ENTRIES
from uploader import accounting, metrics
from uploader.acknowledger import Acknowledger
from uploader.errors import describe
from uploader.heartbeat import Heartbeat
from uploader.layouts import Batch, Batcher, Part
from uploader.receiver import QUEUE_FAILURES, Delivery, Receiver
from uploader.storage import object_key
from uploader.visibility import VisibilityExtender

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
#: With a batcher: batches whose messages may be in hand, the one that is being filled, one that is
#: being written, and one between.
BATCHES_IN_HAND: Final = 3

# Looking a label up costs more than observing.
_SECONDS_OF_STORED: Final = metrics.upload_seconds.labels("stored")
_SECONDS_OF_FAILED: Final = metrics.upload_seconds.labels("failed")


@dataclass
class Counts:
    """What a worker has done."""

    received: int = 0
    stored: int = 0
    failed: int = 0
    released: int = 0


class Worker:
    """Moves messages from the queue to the storage until it is stopped.

    `store(key, body)` writes one object and returns when the storage has it. At most `concurrency`
    objects are being written at a time. Without a `batcher` each message is an object of its own,
    and ten more for each receiver wait for a free thread; with one, messages gather in it, and
    three batches of them are in hand at most. Each receiver has a thread, the first that of `run`.
    With `max_messages` the worker stops after that many deliveries; with `drain` when a receive
    comes back empty while none is in hand.
    """

    def __init__(
        self,
        *,
        receiver: Receiver,
        more_receivers: Sequence[Receiver] = (),
        store: Callable[[str, bytes], None],
        heartbeat: Heartbeat,
        concurrency: int,
        batcher: Batcher | None = None,
        max_messages: int | None = None,
        drain: bool = False,
    ) -> None:
        self.counts = Counts()
        self._receiver = receiver
        self._receivers = [receiver, *more_receivers]
        self._store = store
        self._heartbeat = heartbeat
        self._batcher = batcher
        self._capacity = (
            concurrency + BATCH_ENTRIES * len(self._receivers)
            if batcher is None
            # Never so little that there would be no room for a receive beside a batch that fills.
            else max(
                BATCHES_IN_HAND * batcher.max_messages,
                batcher.max_messages + BATCH_ENTRIES * len(self._receivers),
            )
        )
        self._max_messages = max_messages
        self._drain = drain
        self._stopping = False
        self._broken: Exception | None = None
        #: SQS could not be asked during a stop.
        self._gave_up_releasing = False
        self._failed_receives = 0
        self._failed_stores = 0
        #: What was received and not yet stored or given up, with the call that is to do it.
        self._in_hand: dict[Delivery, Future[None] | None] = {}
        self._bytes_in_hand = 0
        # Also guards `counts`, which the threads share.
        self._changed = threading.Condition()
        self._executor = ThreadPoolExecutor(concurrency, thread_name_prefix="upload")
        self._acknowledger = Acknowledger(
            # Deleting takes as long as receiving, and both take ten at a time.
            receiver,
            threads=len(self._receivers) + 1,
            done=self._look_again,
        )
        self._visibility = VisibilityExtender(receiver, in_hand=self._list_in_hand)
        self._finished = threading.Event()
        self._flushing = threading.Thread(
            target=self._flush_due_batches, name="batches", daemon=True
        )

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
        self._acknowledger.start()
        self._visibility.start()
        self._flushing.start()
        others = [
            threading.Thread(target=self._receive_aside, args=[receiver], name="receive")
            for receiver in self._receivers[1:]
        ]
        for thread in others:
            thread.start()
        try:
            self._receive_until_done(self._receiver)
        except BaseException:
            self._stopping = True
            raise
        finally:
            for thread in others:
                thread.join()
            self._finish()
        if self._broken is not None:
            raise self._broken
        return self.counts

    def _receive_until_done(self, receiver: Receiver) -> None:
        while not self._stopping and (limit := self._wait_for_room()):
            if not self._receive(receiver, limit) and self._is_drained():
                break

    def _receive_aside(self, receiver: Receiver) -> None:
        """Receive in a thread, whose unforeseen end is the end of the worker."""
        try:
            self._receive_until_done(receiver)
        except Exception as exc:  # noqa: BLE001 - raised again by `run`
            self._broken = exc
            self._stopping = True

    def _list_in_hand(self) -> list[Delivery]:
        with self._changed:
            return list(self._in_hand)

    def _look_again(self) -> None:
        """Wake whoever waits for room."""
        with self._changed:
            self._changed.notify_all()

    def _is_full(self) -> bool:
        most = self._capacity - BATCH_ENTRIES * len(self._receivers)
        return (
            len(self._in_hand) > most
            or len(self._acknowledger) > self._capacity
            or (
                self._batcher is not None
                and self._bytes_in_hand > BATCHES_IN_HAND * self._batcher.max_bytes
            )
        )

    def _wait_for_room(self) -> int:
        """Wait until messages can be taken; return how many to ask for, 0 for "no more"."""
        with self._changed:
            while self._is_full() and not self._stopping:
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

    def _receive(self, receiver: Receiver, limit: int) -> bool:
        """Receive once and hand over what came; return whether anything did."""
        try:
            deliveries = receiver.receive(limit)
        except QUEUE_FAILURES as exc:
            self._back_off(exc)
            return True  # not knowing is not the same as empty
        self._failed_receives = 0
        metrics.receives_total.labels("messages" if deliveries else "empty").inc()
        oldest = min((delivery.sent_at for delivery in deliveries), default=time.time())
        metrics.oldest_message_age_seconds.set(max(0.0, time.time() - oldest))
        self._heartbeat.beat()
        with self._changed:
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
            extra={"error": describe(exc), "retry_in_seconds": round(delay, 1)},
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
        if not self._drain:
            return False
        self._submit_open_batches()
        with self._changed:
            if self._in_hand:
                self._changed.wait(timeout=NOTICE_SECONDS)
            return not self._in_hand

    def _submit(self, delivery: Delivery) -> None:
        with self._changed:
            # Under the lock, which whoever handles it needs in order to take it out again.
            whole = self._batcher is None
            self._in_hand[delivery] = (
                self._executor.submit(self._handle, delivery) if whole else None
            )
            self._bytes_in_hand += len(delivery.body)
            metrics.in_flight.set(len(self._in_hand))
        if self._batcher is not None:
            self._add_to_batch(self._batcher, delivery)

    def _add_to_batch(self, batcher: Batcher, delivery: Delivery) -> None:
        part = _decode(delivery)
        if part is None:
            # In another thread, because it asks SQS for something.
            self._executor.submit(self._handle_undecodable, delivery)
            return
        # Its text is in the delivery, and need not be in memory twice while the batch fills.
        slim = Part(delivery, replace(part.message, data={}))
        for batch in batcher.add(slim):
            self._submit_batch(batch)

    def _submit_batch(self, batch: Batch) -> None:
        try:
            self._executor.submit(self._handle_batch, batch)
        except RuntimeError:  # the system has no thread to give: then by this one
            logger.exception("upload_thread_not_started")
            self._handle_batch(batch)

    def _flush_due_batches(self) -> None:
        """Store batches whose time is up, until the worker has finished."""
        while self._batcher is not None and not self._finished.wait(NOTICE_SECONDS):
            for batch in self._batcher.due(time.monotonic()):
                self._submit_batch(batch)

    def _submit_open_batches(self) -> None:
        if self._batcher is not None:
            for batch in self._batcher.take_all():
                self._submit_batch(batch)

    def _handle_undecodable(self, delivery: Delivery) -> None:
        try:
            self._give_up(delivery, None, "undecodable", UNDECODABLE_RETRY_SECONDS)
        finally:
            self._left_hand([delivery])

    def _handle(self, delivery: Delivery) -> None:
        """Bring one delivery to its end, whatever happens: nothing may escape a pool's thread."""
        try:
            part = _decode(delivery)
            if part is None:
                self._give_up(delivery, None, "undecodable", UNDECODABLE_RETRY_SECONDS)
            else:
                self._store_parts([part], object_key(part.message), delivery.body)
        except Exception:
            logger.exception("message_failed_unexpectedly")
            self._give_up_unexpectedly([delivery])
        finally:
            self._left_hand([delivery])

    def _handle_batch(self, batch: Batch) -> None:
        """Bring the deliveries of one batch to their end, whatever happens."""
        try:
            key, body = batch.encode()
            self._store_parts(batch.parts, key, body)
        except Exception:
            logger.exception("batch_failed_unexpectedly")
            self._give_up_unexpectedly([part.delivery for part in batch.parts])
        finally:
            self._left_hand([part.delivery for part in batch.parts])

    def _left_hand(self, deliveries: Sequence[Delivery]) -> None:
        """Note that these are stored or given up."""
        with self._changed:
            for delivery in deliveries:
                if delivery in self._in_hand:
                    del self._in_hand[delivery]
                    self._bytes_in_hand -= len(delivery.body)
            metrics.in_flight.set(len(self._in_hand))
            # Not for each: whoever waits, waits for room for a whole receive, or for the last one.
            if not self._in_hand or not self._is_full():
                self._changed.notify_all()
        self._heartbeat.beat()

    def _store_parts(self, parts: Sequence[Part], key: str, body: bytes) -> None:
        """Write one object and have its messages deleted, or leave them for another try."""
        started = time.perf_counter()
        try:
            self._store(key, body)
        except (ClientError, BotoCoreError, OSError) as exc:
            _SECONDS_OF_FAILED.observe(time.perf_counter() - started)
            self._put_off(parts, describe(exc))
            return
        duration = time.perf_counter() - started
        _SECONDS_OF_STORED.observe(duration)
        with self._changed:
            self.counts.stored += len(parts)
            self._failed_stores = 0
        alone = self._batcher is None
        for part in parts:
            self._acknowledger.add(part)
            accounting.stored(part, key=key, duration=duration, log=alone)
        if not alone:
            accounting.batch_stored(key=key, messages=len(parts), size=len(body), duration=duration)

    def _put_off(self, parts: Sequence[Part], reason: str) -> None:
        """Leave what the storage did not take for another try, the later the more there were."""
        with self._changed:
            self._failed_stores += 1
        delays: dict[int, list[Delivery]] = defaultdict(list)
        for part in parts:
            delay = min(RETRY_SECONDS * 2 ** (part.delivery.attempts - 1), RETRY_SECONDS_MAX)
            delays[delay].append(part.delivery)
            self._account_failed(part.delivery, part.message, reason, delay)
        for delay, deliveries in delays.items():
            self._change_visibility(deliveries, delay)

    def _give_up(
        self, delivery: Delivery, message: Message | None, reason: str, retry_in_seconds: int
    ) -> None:
        """Leave a message on the queue for another try, or for the dead-letter queue."""
        self._account_failed(delivery, message, reason, retry_in_seconds)
        self._change_visibility([delivery], retry_in_seconds)

    def _give_up_unexpectedly(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._account_failed(delivery, None, "internal_error", RETRY_SECONDS)
        self._change_visibility(deliveries, RETRY_SECONDS)

    def _account_failed(
        self, delivery: Delivery, message: Message | None, reason: str, retry_in_seconds: int
    ) -> None:
        with self._changed:
            self.counts.failed += 1
        accounting.failed(delivery, message, reason=reason, retry_in_seconds=retry_in_seconds)

    def _release(self, deliveries: Sequence[Delivery]) -> None:
        """Give back at once what was received but not begun."""
        metrics.messages_total.labels("released").inc(len(deliveries))
        self.counts.released += len(deliveries)
        self._change_visibility(deliveries, 0)

    def _change_visibility(self, deliveries: Sequence[Delivery], delay_seconds: int) -> None:
        if self._gave_up_releasing:
            return  # SQS is away, and a stop has no time to hear that again for each message
        try:
            self._receiver.release(deliveries, delay_seconds=delay_seconds)
        except QUEUE_FAILURES as exc:
            # They come back by themselves after the queue's visibility timeout.
            self._gave_up_releasing = self._stopping
            logger.warning("release_failed", extra={"error": describe(exc)})

    def _finish(self) -> None:
        """Finish what is being stored and store open batches; after a stop, give back the rest."""
        if self._stopping:
            with self._changed:
                in_hand = list(self._in_hand.items())
            unstarted = [delivery for delivery, future in in_hand if future and future.cancel()]
            self._left_hand(unstarted)
            self._release(unstarted)
        self._finished.set()
        # It may have taken a batch that it has not handed over yet.
        self._flushing.join()
        self._submit_open_batches()
        self._executor.shutdown(wait=True)
        self._visibility.stop()
        self._acknowledger.close()
        for receiver in self._receivers:
            receiver.close()
        self._heartbeat.remove()


def _jittered(longest: float) -> float:
    """Return half to all of `longest`, so that many workers do not come back as one."""
    return random.uniform(longest / 2, longest)  # noqa: S311 - not for secrets


def _decode(delivery: Delivery) -> Part | None:
    """Return the message of a delivery, or None when it is none of ours."""
    if delivery.undecodable is not None:
        error = f"unreadable envelope ({delivery.undecodable})"
        logger.warning("message_undecodable", extra={"error": error})
        return None
    try:
        return Part(delivery, Message.decode(delivery.body))
    except DecodeError as exc:
        logger.warning("message_undecodable", extra={"error": str(exc)})
        return None
