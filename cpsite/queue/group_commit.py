"""Concurrent calls share one batch: group commit with leaders and followers.

A caller that finds no batch in progress commits its item at once, alone. Callers that arrive
meanwhile wait. When the batch returns, the first of them leads the next one and takes as many of
the others as fit. A full batch does not wait at all. So an idle service adds no delay, a busy one
makes a tenth of the calls, and no timer or thread is needed.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NotSent(TimeoutError):
    """A call waited too long for its turn. Its item was not sent."""


class OutcomeUnknown(TimeoutError):
    """A batch with the item did not end in time. The item may or may not have been sent."""


@dataclass(slots=True, eq=False)
class _Entry(Generic[Item]):
    item: Item
    size: int
    #: Deadline of its wait for a turn (monotonic clock).
    turn_until: float
    wake: threading.Event = field(default_factory=threading.Event)
    #: Part of a batch: its outcome will come, and the wait for it is bounded.
    taken: bool = False
    #: Chosen to lead the next batch.
    leads: bool = False
    done: bool = False
    error: Exception | None = None


class GroupCommit(Generic[Item]):
    """Turns concurrent `submit` calls into batches for `commit`.

    `commit(items)` performs one batch and returns an outcome for each item, in order: None, or the
    exception to raise for its caller. If `commit` itself raises, the whole batch has failed: each
    caller then gets its own exception, made by `copy_error`, because threads that raise the same
    object would share its traceback. `commit` should end within `max_commit_seconds`.

    A batch holds up to `max_entries` items with a total size of up to `max_size`. An item larger
    than that goes alone.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Sequence[Exception | None]],
        *,
        copy_error: Callable[[Exception], Exception],
        max_entries: int,
        max_size: int,
        max_wait_seconds: float,
        max_commit_seconds: float,
    ) -> None:
        self._commit = commit
        self._copy_error = copy_error
        self._max_entries = max_entries
        self._max_size = max_size
        self._max_wait_seconds = max_wait_seconds
        self._max_commit_seconds = max_commit_seconds
        self._lock = threading.Lock()
        self._waiting: deque[_Entry[Item]] = deque()
        #: Leaders that commit a batch or have been woken to do so.
        self._leads = 0

    def submit(self, item: Item, size: int = 0) -> None:
        """Commit `item` in some batch; return when it is committed.

        `size` counts towards `max_size`. Raises the item's own error; NotSent after
        `max_wait_seconds` without a turn; OutcomeUnknown if there is still no outcome
        `max_commit_seconds` after that.
        """
        entry = _Entry(item, size, time.monotonic() + self._max_wait_seconds)
        with self._lock:
            self._waiting.append(entry)
            if not self._leads or self._is_batch_full():
                entry.leads = True
                self._leads += 1
        while not entry.done:
            if entry.leads:
                self._lead(entry)
            else:
                self._wait(entry)
        if entry.leads:
            # Another leader committed the entry before this thread could lead.
            with self._lock:
                self._hand_on()
        if entry.error is not None:
            raise entry.error

    def _is_batch_full(self) -> bool:
        return len(self._waiting) >= self._max_entries or (
            sum(entry.size for entry in self._waiting) >= self._max_size
        )

    def _wait(self, entry: _Entry[Item]) -> None:
        """Wait for the outcome or the lead. Raises NotSent, or OutcomeUnknown if in a batch."""
        if entry.wake.wait(max(0.0, entry.turn_until - time.monotonic())):
            return
        with self._lock:
            if entry.leads:
                return
            if not entry.taken:
                self._waiting.remove(entry)
                raise NotSent
        if not entry.wake.wait(self._max_commit_seconds):
            raise OutcomeUnknown

    def _lead(self, entry: _Entry[Item]) -> None:
        """Commit the oldest entries. `entry` itself may have to wait for a later batch."""
        with self._lock:
            entry.leads = False
            entry.wake.clear()
            if not entry.taken and time.monotonic() > entry.turn_until:
                # It led batches of others until its own time for a turn was over.
                self._waiting.remove(entry)
                self._hand_on()
                raise NotSent
            batch = self._take()
        try:
            self._run(batch)
        finally:
            with self._lock:
                self._hand_on()

    def _take(self) -> list[_Entry[Item]]:
        batch: list[_Entry[Item]] = []
        size = 0
        while self._waiting and len(batch) < self._max_entries:
            first = self._waiting[0]
            size += first.size
            if batch and size > self._max_size:
                break
            self._waiting.popleft()
            first.taken = True
            batch.append(first)
        return batch

    def _run(self, batch: Sequence[_Entry[Item]]) -> None:
        if not batch:
            return  # other leaders have taken all entries meanwhile
        outcomes: Sequence[Exception | None] = ()
        try:
            outcomes = self._commit([entry.item for entry in batch])
        except Exception as exc:  # noqa: BLE001 - any error becomes one of each caller's own
            outcomes = [exc, *(self._copy_error(exc) for _ in batch[1:])]
        finally:
            # Even a thread that is being killed must wake all waiting callers.
            for number, entry in enumerate(batch):
                known = number < len(outcomes)
                entry.error = outcomes[number] if known else NotSent("the batch was given up")
                entry.done = True
                entry.wake.set()

    def _hand_on(self) -> None:
        """Pass the lead to the oldest waiting entry that has none, or give it up.

        While other batches run, wake a new leader only for a full batch; the last to finish takes
        the remainder.
        """
        if self._leads > 1 and not self._is_batch_full():
            self._leads -= 1
            return
        for entry in self._waiting:
            if not entry.leads:
                entry.leads = True
                entry.wake.set()
                return
        self._leads -= 1
