"""Writes audit events in bulk, outside the path of the messages.

Services put events in a buffer and go on. A thread of the recorder writes the buffered events in
one statement (cpsite/audit/rows.py). So the database can neither slow a message down nor make it
fail. An event that cannot be written is counted in `audit_write_failures_total` and logged as
`audit_event_lost`.
"""

import atexit
import logging
import os
import threading
from collections import deque
from typing import Final

from django.db import DatabaseError, InterfaceError, OperationalError

from cpsite.audit import rows
from cpsite.audit.event import Event
from cpsite.database import release_connection
from cpsite.observability import metrics

logger = logging.getLogger(__name__)

#: Events in memory while the database is slow or unavailable, about 1 KB each.
CAPACITY: Final = 10_000
#: Rows of one statement. 1,000 cost a fifth less CPU a row than 500; more than that save nothing
#: (docs/adr/0025).
BATCH_SIZE: Final = 1_000
#: Seconds to wait before each retry when the database is unavailable: longer in total than its
#: restart takes. Meanwhile events stay in memory.
RETRY_DELAYS: Final = (0.1, 0.5, 2.0, 4.0, 4.0)
#: Seconds for which events are collected before they are written: a statement costs much, a row
#: little.
GATHER_SECONDS: Final = 0.1
#: Seconds that a stopping process takes to write the events in memory.
CLOSE_TIMEOUT: Final = 5.0


class AuditRecorder:
    """Collects events of this process and writes them from one thread, started on first use.

    An event stays in `_events` until it is accounted for, and whoever removes it accounts for it:
    the thread when the event is written or given up, or a `close` whose time is over. So each event
    is written or counted as lost, and counted once at most. One that is being written when the time
    of a `close` is over can be both: better count an event that is written than lose one silently.
    """

    def __init__(self) -> None:
        self._start_afresh()
        # A forked child has no such thread, and must not write the parent's events again.
        os.register_at_fork(after_in_child=self._start_afresh)

    def _start_afresh(self) -> None:
        #: What is not accounted for, oldest first. Anybody adds; who removes holds the lock.
        self._events: deque[Event] = deque()
        self._lock = threading.Lock()
        #: Wakes the thread: there are events, or it is to stop.
        self._wake = threading.Event()
        #: The thread is to write what there is, and to end.
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def record(self, event: Event) -> None:
        """Buffer an event. Never raises and never waits: if the buffer is full, it is lost."""
        if len(self._events) >= CAPACITY:
            _lose([event], "buffer_full")
        else:
            # Without the lock, which under gevent would cost ten times as much as all of this.
            self._events.append(event)
            if not self._wake.is_set():
                self._wake.set()
        if self._thread is None:
            self._start_thread()

    def _start_thread(self) -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="audit", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the system is out of threads: retry with the next event
                    logger.exception("audit_thread_not_started")
                    return
                self._thread = thread

    def _run(self) -> None:
        while not self._has_ended():
            self._wake.wait()
            self._wake.clear()  # before it looks: what comes later sets it again
            while self._events:
                if len(self._events) < BATCH_SIZE:
                    self._closing.wait(GATHER_SECONDS)
                self.write_pending()
        release_connection()

    def _has_ended(self) -> bool:
        """Return whether the thread is to end. From then on an event starts another one."""
        with self._lock:
            if not self._closing.is_set():
                return False
            thread, self._thread = self._thread, None
            if self._events:  # looked at last: whoever adds now starts a thread
                self._thread = thread
                return False
            self._closing.clear()
            return True

    def write_pending(self) -> None:
        """Write the oldest events, one batch."""
        with self._lock:
            size = min(len(self._events), BATCH_SIZE)
            # By their numbers: an iterator fails when an event is added meanwhile.
            batch = [self._events[number] for number in range(size)]
        self._write(batch)

    def _write(self, left: list[Event]) -> None:
        """Write the oldest events, and count as lost those that cannot be written."""
        size, delays = len(left), list(RETRY_DELAYS)
        ids: list[int] = []  # of the first events that are left, once they have any
        while left and self._has(left[0]):
            events = left[:size]
            cause = None
            try:
                rows.insert(events, ids)
            except (OperationalError, InterfaceError) as exc:  # the database is unavailable
                if delays:
                    self._closing.wait(delays.pop(0))  # a stopping process has no time
                    continue
                events, cause = left, type(exc).__name__
            except (DatabaseError, ValueError) as exc:
                if len(events) > 1:
                    size = len(events) // 2  # down to those alone that the database refuses
                    continue
                cause = type(exc).__name__
            except Exception:
                # An unexpected error must not end the thread.
                logger.exception("audit_write_failed_unexpectedly")
                cause = "internal_error"
            self._settle(events, cause)
            left, ids, size = left[len(events) :], ids[len(events) :], 2 * size

    def _has(self, event: Event) -> bool:
        """Return whether the oldest event is this one. Otherwise a `close` has counted it."""
        with self._lock:
            return self._is_oldest(event)

    def _is_oldest(self, event: Event) -> bool:
        return bool(self._events) and self._events[0] is event

    def _settle(self, events: list[Event], cause: str | None) -> None:
        """Remove the oldest events: they are written or, with a cause, lost."""
        with self._lock:
            if not self._is_oldest(events[0]):
                return
            for _ in events:
                self._events.popleft()
        if cause:
            _lose(events, cause)

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Write what is in memory and stop. After `timeout` seconds, count what is left as lost.

        Never raises. Another call may be under way, and the recorder can be used again afterwards.
        """
        if self._events:
            self._start_thread()
        with self._lock:
            thread = self._thread
            if thread is None:
                self._give_up()
            elif self._closing.is_set() and not self._events:
                return  # an earlier call has waited for a thread that hangs
            else:
                self._closing.set()
                self._wake.set()
        if thread is not None:
            thread.join(timeout)
            with self._lock:
                # If it has ended by itself, what there is now belongs to the next one.
                if self._thread is thread:
                    self._give_up()

    def _give_up(self) -> None:
        """Count as lost what there is. Under the lock, so that no other `close` ends before."""
        _lose([self._events.popleft() for _ in range(len(self._events))], "stopped")


def _lose(events: list[Event], cause: str) -> None:
    metrics.audit_write_failures_total.inc(len(events))
    for event in events:
        logger.error(
            "audit_event_lost",
            extra={
                "cause": cause,
                "kind": str(event.kind),
                "message_id": str(event.message_id) if event.message_id else None,
                "client": event.client,
                "source_ip": event.source_ip,
                "reason": event.reason,
                "object_key": event.object_key,
                "payload_sha256": event.payload_sha256,
                "occurred_at": event.occurred_at.isoformat(),
                "accepted_at": event.accepted_at.isoformat() if event.accepted_at else None,
                "attempts": event.attempts,
                "duration_ms": event.duration_ms,
                "actor": event.actor,
                "row_count": event.row_count,
                "contract": event.contract,
                "request_id": event.request_id,
                "fields_at_fault": event.fields_at_fault,
                "sqs_message_id": event.sqs_message_id,
            },
        )


recorder: Final = AuditRecorder()
atexit.register(recorder.close)
