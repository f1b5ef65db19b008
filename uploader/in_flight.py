"""The deliveries that a worker has received and not yet finished, and their limits."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from cpsite.queue.batch import BATCH_ENTRIES
from cpsite.queue.delivery import Delivery
from uploader import metrics


class InFlight:
    """The deliveries in flight, each with the call that handles it. Thread-safe.

    At most `max_messages` are in flight. If `max_bytes` is given, a receive starts only while their
    bodies are at most that long. `undeleted()` returns how many stored messages still wait for
    their delete; `max_messages` bounds them as well. Each of `receivers` may add ten at once.
    """

    def __init__(
        self,
        *,
        max_messages: int,
        max_bytes: int | None = None,
        receivers: int,
        undeleted: Callable[[], int],
    ) -> None:
        self._max_undeleted = max_messages
        self._max_before_receive = max_messages - BATCH_ENTRIES * receivers
        self._max_bytes = max_bytes
        self._undeleted = undeleted
        #: None instead of a call for a delivery that waits in a batch.
        self._calls: dict[Delivery, Future[None] | None] = {}
        self._bytes = 0
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._calls)

    def deliveries(self) -> list[Delivery]:
        with self._changed:
            return list(self._calls)

    def add(self, delivery: Delivery, start: Callable[[], Future[None]] | None = None) -> None:
        """Add a delivery and, if `start` is given, start the call that handles it.

        Raises what `start` raises. The delivery is then in flight all the same.
        """
        with self._changed:
            self._calls[delivery] = None
            self._bytes += len(delivery.body)
            metrics.in_flight.set(len(self._calls))
            if start:
                # Under the lock: the call must not remove the delivery before it is known.
                self._calls[delivery] = start()

    def remove(self, deliveries: Sequence[Delivery]) -> None:
        """Remove deliveries that are stored or back on the queue."""
        with self._changed:
            for delivery in deliveries:
                if delivery in self._calls:
                    del self._calls[delivery]
                    self._bytes -= len(delivery.body)
            metrics.in_flight.set(len(self._calls))
            # Not for each removal: waiters need room for a whole receive, or an empty worker.
            if not self._calls or not self._is_full():
                self._changed.notify_all()

    def cancel(self) -> list[Delivery]:
        """Remove the deliveries whose call has not begun, and return them."""
        with self._changed:
            calls = list(self._calls.items())
        cancelled = [delivery for delivery, call in calls if call and call.cancel()]
        self.remove(cancelled)
        return cancelled

    def has_room(self, *, within: float) -> bool:
        """Return whether a receive fits, after waiting up to `within` seconds for that."""
        with self._changed:
            if self._is_full():
                self._changed.wait(within)
            return not self._is_full()

    def is_empty(self, *, within: float) -> bool:
        """Return whether nothing is in flight, after waiting up to `within` seconds for that."""
        with self._changed:
            if self._calls:
                self._changed.wait(within)
            return not self._calls

    def look_again(self) -> None:
        """Wake the threads that wait for room, because messages were deleted."""
        with self._changed:
            self._changed.notify_all()

    def _is_full(self) -> bool:
        return (
            len(self._calls) > self._max_before_receive
            or self._undeleted() > self._max_undeleted
            or (self._max_bytes is not None and self._bytes > self._max_bytes)
        )
