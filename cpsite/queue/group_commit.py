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
    """A call of `submit`. It waits in the queue, or is in a batch and then gets its outcome."""

    item: Item
    size: int
    #: Deadline of its wait for a turn (monotonic clock). No entry behind it has an earlier one.
    turn_until: float = 0.0
    #: Set when it is to lead, and when it is done.
    wake: threading.Event = field(default_factory=threading.Event)
    #: First in the queue, and to commit the next batch. No other entry can take it then.
    leads: bool = False
    #: Part of a batch: its outcome will come, and the wait for it is bounded.
    taken: bool = False
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

    Only the oldest waiting entry leads, and its batch begins with itself. So the time for a turn is
    over for none of the batch if it is not for the leader. Who leads follows from the queue and the
    number of running batches alone, and is decided anew after each change (`_appoint`). So no lead
    is lost with a caller that gives up or is killed.
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
        #: Batches that were taken from the queue and have no outcome yet.
        self._running = 0

    def submit(self, item: Item, size: int = 0) -> None:
        """Commit `item` in some batch; return when it is committed.

        `size` counts towards `max_size`. Raises the item's own error; NotSent after
        `max_wait_seconds` without a turn; OutcomeUnknown if there is still no outcome
        `max_commit_seconds` after that, or if the thread that committed the batch was killed.
        """
        entry = _Entry(item, size)
        with self._lock:
            entry.turn_until = time.monotonic() + self._max_wait_seconds
            self._waiting.append(entry)
            self._appoint()
        if not entry.leads:
            self._wait_for_turn(entry)
        if batch := self._take(entry):
            self._run(batch)
        elif not entry.done and not entry.wake.wait(self._max_commit_seconds):
            raise OutcomeUnknown
        if entry.error is not None:
            raise entry.error

    def _appoint(self) -> None:
        """Let the oldest waiting entry lead, if no batch is running or a batch is full.

        While others run, a batch that is not full waits: the last of them makes it larger.
        """
        if not self._waiting or (self._running and not self._is_batch_full()):
            return
        first = self._waiting[0]
        if not first.leads:
            first.leads = True
            first.wake.set()

    def _is_batch_full(self) -> bool:
        return len(self._waiting) >= self._max_entries or (
            sum(entry.size for entry in self._waiting) >= self._max_size
        )

    def _wait_for_turn(self, entry: _Entry[Item]) -> None:
        """Return when `entry` leads, has its outcome, or has waited long enough for a turn."""
        try:
            entry.wake.wait(self._max_wait_seconds)
        except BaseException:  # this thread is being killed
            with self._lock:
                if not entry.taken:
                    self._remove(entry)
            raise

    def _take(self, entry: _Entry[Item]) -> list[_Entry[Item]]:
        """Return the batch that `entry` is to commit, or nothing if another batch has it.

        Raises NotSent when its time for a turn is over.
        """
        if entry.done:
            return []
        with self._lock:
            if entry.taken:
                return []
            if not entry.leads or time.monotonic() > entry.turn_until:
                self._remove(entry)
                raise NotSent
            batch = [self._waiting.popleft()]
            size = entry.size
            while self._waiting and len(batch) < self._max_entries:
                size += self._waiting[0].size
                if size > self._max_size:
                    break
                batch.append(self._waiting.popleft())
            for taken in batch:
                taken.taken = True
            self._running += 1
            self._appoint()
        return batch

    def _remove(self, entry: _Entry[Item]) -> None:
        """Take `entry` out of the queue, because its caller gives up."""
        self._waiting.remove(entry)
        self._appoint()

    def _run(self, batch: Sequence[_Entry[Item]]) -> None:
        outcomes: Sequence[Exception | None] = ()
        try:
            outcomes = self._commit([entry.item for entry in batch])
        except Exception as exc:  # noqa: BLE001 - any error becomes one of each caller's own
            outcomes = [exc, *(self._copy_error(exc) for _ in batch[1:])]
        finally:
            # Even a thread that is being killed must wake all waiting callers. What it was sending
            # may have arrived.
            for number, entry in enumerate(batch):
                known = number < len(outcomes)
                entry.error = (
                    outcomes[number] if known else OutcomeUnknown("the batch was given up")
                )
                entry.done = True
                if number:  # the first is this thread's own
                    entry.wake.set()
            with self._lock:
                self._running -= 1
                self._appoint()
