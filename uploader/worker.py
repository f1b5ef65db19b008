"""The uploader's loop: receive, store in parallel, then acknowledge.

It does not use Kombu's ConsumerMixin, which acknowledges messages that it cannot decode (on SQS
that deletes them), stops on throttling (a ClientError), and sleeps up to a second when the prefetch
limit is reached.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from cpsite.aws import describe
from cpsite.observability.notices import Notices
from cpsite.queue.batch import BATCH_ENTRIES
from cpsite.queue.delivery import QUEUE_FAILURES, Delivery
from uploader import metrics
from uploader.acknowledger import Acknowledger
from uploader.backoff import NOTICE_SECONDS, pause_seconds
from uploader.handler import Counts, Handler, decode
from uploader.heartbeat import Heartbeat, Pulse
from uploader.in_flight import InFlight
from uploader.layouts import Batch, Batcher, Part
from uploader.queue_settings import QueueAttributes
from uploader.receiver import Receiver
from uploader.storage_outage import OUTAGE_FAILURES
from uploader.visibility import VisibilityExtender

logger = logging.getLogger(__name__)

#: With a batcher: batches whose messages may be in flight. One is filling, one is being written,
#: and one is complete and waits for a thread.
BATCHES_IN_FLIGHT: Final = 3


class Worker:
    """Moves messages from the queue to the storage until it is stopped.

    `store(key, body)` writes one object and returns when the storage has it. At most `concurrency`
    objects are written at the same time. Without a `batcher` each message is one object, and up to
    ten more messages for each receiver wait for a free thread. With a `batcher` messages are
    collected into batches, and at most three batches are in flight. Each receiver has its own
    thread; the first uses the thread of `run`. With `max_messages` the worker stops after that many
    deliveries; with `drain` it stops when a receive is empty and nothing is in flight.
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
        self._receiver = receiver
        self._receivers = [receiver, *more_receivers]
        self._heartbeat = heartbeat
        self._batcher = batcher
        self._max_messages = max_messages
        self._drain = drain
        self._stopping = False
        self._broken: Exception | None = None
        self._failed_receives = 0
        self._executor = ThreadPoolExecutor(concurrency, thread_name_prefix="upload")
        self._in_flight = _bounds(
            concurrency,
            batcher,
            receivers=len(self._receivers),
            undeleted=lambda: len(self._acknowledger),
        )
        self._acknowledger = Acknowledger(
            # A delete takes as long as a receive, and both handle ten messages per call.
            receiver,
            threads=len(self._receivers) + 1,
            heartbeat=heartbeat,
            done=self._in_flight.look_again,
        )
        self._handler = Handler(
            receiver=receiver,
            store=store,
            acknowledge=self._acknowledger.add,
            heartbeat=heartbeat,
            is_stopping=lambda: self._stopping,
            log_each=batcher is None,
            has_dead_letters=self._has_dead_letters,
        )
        for another in more_receivers:
            if receiver.settings:
                another.use(receiver.settings)
        self._notices = Notices(logger)
        self._visibility = VisibilityExtender(
            receiver, in_flight=self._hidden, heartbeat=heartbeat, known=self._use
        )
        self._finished = threading.Event()
        self._flushing = threading.Thread(
            target=self._flush_due_batches, name="batches", daemon=True
        )

    def _hidden(self) -> list[Delivery]:
        """Return what must stay hidden: what is in flight, or stored and not yet deleted."""
        return list(
            dict.fromkeys([*self._in_flight.deliveries(), *self._acknowledger.deliveries()])
        )

    def _use(self, known: QueueAttributes) -> None:
        for receiver in self._receivers:
            receiver.use(known)

    def _has_dead_letters(self) -> bool:
        known = self._receiver.settings
        return known is None or known.max_receive_count is not None

    def stop(self) -> None:
        """Ask the worker to finish running uploads and to return.

        Safe in a signal handler: it takes no lock, which the interrupted code might hold. (A
        `threading.Event` would take one.)
        """
        self._stopping = True

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    @property
    def counts(self) -> Counts:
        """The outcomes so far."""
        return self._handler.counts

    @property
    def in_flight(self) -> int:
        """The number of messages received and not yet stored or returned to the queue."""
        return len(self._in_flight)

    def run(self) -> Counts:
        """Work until stopped, drained or at the limit; return the outcomes."""
        self._heartbeat.start()
        self._acknowledger.start()
        self._visibility.start()
        self._flushing.start()
        others = [
            threading.Thread(target=self._receive_in_thread, args=[receiver], name="receive")
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
        with self._heartbeat.thread("receive") as pulse:
            while not self._stopping and (limit := self._wait_for_room(pulse)):
                if not self._receive(receiver, limit, pulse) and self._is_drained():
                    break

    def _receive_in_thread(self, receiver: Receiver) -> None:
        """Receive in an extra thread. Its failure stops the whole worker."""
        try:
            self._receive_until_done(receiver)
        except Exception as exc:  # noqa: BLE001 - raised again by `run`
            self._broken = exc
            self._stopping = True

    def _wait_for_room(self, pulse: Pulse) -> int:
        """Wait until more messages fit; return how many to receive, 0 for none any more."""
        seen: object = None
        while not self._stopping and not self._in_flight.has_room(within=NOTICE_SECONDS):
            # Beat only when other threads progress, or a stuck upload would look healthy.
            if self._handler.outage.failures or seen != (seen := self._done_so_far()):
                pulse.beat()
        limit = self._limit_in_outage(pulse)
        if self._stopping:
            return 0
        if self._max_messages is None:
            return limit
        return min(limit, self._max_messages - self.counts.received)

    def _done_so_far(self) -> tuple[int, ...]:
        counts = self.counts
        return counts.stored, counts.failed, counts.released, len(self._acknowledger)

    def _limit_in_outage(self, pulse: Pulse) -> int:
        """Return how many messages to receive, after a pause if the storage is unavailable.

        In an outage that is one message per pause. If it can be stored, the storage works and the
        messages in flight were the cause.
        """
        outage = self._handler.outage
        if not outage.is_on:
            return BATCH_ENTRIES
        self._sleep(pause_seconds(outage.failures - OUTAGE_FAILURES + 1), pulse)
        return 1

    def _receive(self, receiver: Receiver, limit: int, pulse: Pulse) -> bool:
        """Receive once and submit the deliveries. Return False if the receive was empty."""
        pulse.beat()
        try:
            deliveries = receiver.receive(limit)
        except QUEUE_FAILURES as exc:
            self._back_off(exc, pulse)
            return True  # a failed receive does not mean an empty queue
        self._failed_receives = 0
        metrics.receives_total.labels("messages" if deliveries else "empty").inc()
        oldest = min((delivery.sent_at for delivery in deliveries), default=time.time())
        metrics.oldest_message_age_seconds.set(max(0.0, time.time() - oldest))
        again = sum(delivery.attempts > 1 for delivery in deliveries)
        if again:
            metrics.redeliveries_total.inc(again)
        self.counts.add("received", len(deliveries))
        if self._stopping:
            self._handler.release(deliveries)
        else:
            for delivery in deliveries:
                self._submit(delivery)
        return bool(deliveries)

    def _back_off(self, exc: Exception, pulse: Pulse) -> None:
        metrics.receives_total.labels("failed").inc()
        self._failed_receives += 1
        delay = pause_seconds(self._failed_receives)
        self._notices.warning(
            "receive_failed", error=describe(exc), retry_in_seconds=round(delay, 1)
        )
        self._sleep(delay, pulse)

    def _sleep(self, seconds: float, pulse: Pulse) -> None:
        """Wait, but return early at a stop."""
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            pulse.beat()
            time.sleep(min(left, NOTICE_SECONDS))

    def _is_drained(self) -> bool:
        """Return whether to stop after an empty receive.

        Messages in flight may still return to the queue, so all must be finished first.
        """
        if not self._drain:
            return False
        self._submit_open_batches()
        return self._in_flight.is_empty(within=NOTICE_SECONDS)

    def _submit(self, delivery: Delivery) -> None:
        if self._batcher is None:
            task = _Once(lambda: self._handle(delivery))
            try:
                self._in_flight.add(delivery, lambda: self._executor.submit(task))
            except RuntimeError:
                self._do_here(task)
        else:
            self._in_flight.add(delivery)
            self._add_to_batch(self._batcher, delivery)

    def _add_to_batch(self, batcher: Batcher, delivery: Delivery) -> None:
        part = decode(delivery)
        if part is None:
            # In another thread, because it calls SQS.
            self._start(_Once(lambda: self._handle_undecodable(delivery)))
            return
        # The delivery holds the text already. Do not keep it twice while the batch fills.
        slim = Part(delivery, replace(part.message, data_text=""))
        for batch in batcher.add(slim):
            self._submit_batch(batch)

    def _submit_batch(self, batch: Batch) -> None:
        self._start(_Once(lambda: self._handle_batch(batch)))

    def _start(self, task: "_Once") -> None:
        try:
            self._executor.submit(task)
        except RuntimeError:
            self._do_here(task)

    def _do_here(self, task: "_Once") -> None:
        """Do a task in this thread, because none can be started for it.

        The executor has queued it all the same, and another of its threads may do it first.
        """
        self._notices.warning("upload_thread_not_started", error="RuntimeError")
        task()

    def _flush_due_batches(self) -> None:
        """Submit batches that are due, until the worker has finished."""
        if self._batcher is None:
            return
        with self._heartbeat.thread("batches") as pulse:
            while not self._finished.wait(NOTICE_SECONDS):
                pulse.beat()
                for batch in self._batcher.due(time.monotonic()):
                    self._submit_batch(batch)

    def _submit_open_batches(self) -> None:
        if self._batcher is not None:
            for batch in self._batcher.take_all():
                self._submit_batch(batch)

    def _handle_undecodable(self, delivery: Delivery) -> None:
        try:
            self._handler.leave_undecodable(delivery)
        finally:
            self._in_flight.remove([delivery])

    def _handle(self, delivery: Delivery) -> None:
        try:
            self._handler.handle(delivery)
        finally:
            self._in_flight.remove([delivery])

    def _handle_batch(self, batch: Batch) -> None:
        try:
            self._handler.handle_batch(batch)
        finally:
            self._in_flight.remove([part.delivery for part in batch.parts])

    def _finish(self) -> None:
        """Finish running uploads and store open batches. After a stop, release the rest first."""
        if self._stopping:
            self._handler.release(self._in_flight.cancel())
        self._finished.set()
        # It may have removed a batch that it has not submitted yet.
        self._flushing.join()
        self._submit_open_batches()
        self._executor.shutdown(wait=True)
        self._visibility.stop()
        self._acknowledger.close()
        for receiver in self._receivers:
            receiver.close()
        self._heartbeat.stop()


class _Once:
    """A task that is done by whoever calls it first."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._do = do
        self._claim = threading.Lock()

    def __call__(self) -> None:
        if self._claim.acquire(blocking=False):
            self._do()


def _bounds(
    concurrency: int, batcher: Batcher | None, *, receivers: int, undeleted: Callable[[], int]
) -> InFlight:
    """Return an empty `InFlight` with the limits that `Worker` describes."""
    receives = BATCH_ENTRIES * receivers
    if batcher is None:
        return InFlight(
            max_messages=concurrency + receives, receivers=receivers, undeleted=undeleted
        )
    return InFlight(
        # At least one filling batch and one full receive must fit.
        max_messages=max(BATCHES_IN_FLIGHT * batcher.max_messages, batcher.max_messages + receives),
        max_bytes=BATCHES_IN_FLIGHT * batcher.max_bytes,
        receivers=receivers,
        undeleted=undeleted,
    )
