"""Writes audit events in bulk, beside the path of the messages.

Services hand events over and go on; a thread of the recorder's own writes whatever has gathered
in one INSERT. The database can therefore neither slow a message down nor fail it. What cannot be
written is counted in `audit_write_failures_total` and stands in the log as `audit_event_lost`.
"""

import atexit
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Final

from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
)

from cpsite.audit.models import AuditEvent
from cpsite.observability import metrics

logger = logging.getLogger(__name__)

#: Events held in memory while the database is slow or away, about 1 KB each.
CAPACITY: Final = 10_000
#: Rows of one INSERT. PostgreSQL takes 65,535 parameters in a statement and SQLite 32,766
#: (SQLITE_MAX_VARIABLE_NUMBER); an event has 11.
BATCH_SIZE: Final = 500
#: Seconds to wait before each further try when the database is not there: longer than it takes to
#: start anew. Meanwhile events gather in memory.
RETRY_DELAYS: Final = (0.1, 0.5, 2.0, 4.0, 4.0)
#: Seconds after which a wait looks whether the process is to stop.
NOTICE_SECONDS: Final = 0.25
#: Seconds for which events gather before they are written: a statement costs much, a row little.
GATHER_SECONDS: Final = 0.1
#: Seconds that a stopping process gives to the events in memory.
CLOSE_TIMEOUT: Final = 5.0


class AuditRecorder:
    """Collects events of this process and writes them from one thread, started on first use."""

    def __init__(self, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._sleep = sleep
        self._start_afresh()
        # A forked child inherits neither the thread nor a right to the parent's events.
        os.register_at_fork(after_in_child=self._start_afresh)

    def _start_afresh(self) -> None:
        self._events: queue.Queue[AuditEvent | None] = queue.Queue(CAPACITY)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closing = False
        self._in_hand: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        """Take an event over. Never raises and never waits: a full buffer loses the event."""
        try:
            self._events.put_nowait(event)
        except queue.Full:
            _lose([event], "buffer_full")
        if self._thread is None:
            self._start_thread()

    def _start_thread(self) -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="audit", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the system has no thread to give: the next event tries
                    logger.exception("audit_thread_not_started")
                    return
                self._thread = thread

    def _run(self) -> None:
        while True:
            event = self._events.get()
            if not (event is None or self._closing or self._events.qsize() >= BATCH_SIZE):
                time.sleep(GATHER_SECONDS)
            if event is None or self._write_guarded(event):
                close_old_connections()
                return

    def _write_guarded(self, event: AuditEvent) -> bool:
        """Write what has gathered; an error that nobody foresaw must not end the thread."""
        try:
            return self.write_pending(event)
        except Exception:
            logger.exception("audit_write_failed_unexpectedly")
            events, self._in_hand = self._in_hand, []
            _lose(events, "internal_error")
            # What was read with the batch may have been the request to stop.
            return self._closing

    def write_pending(self, first: AuditEvent | None = None) -> bool:
        """Write what has gathered, starting with `first`; return True when asked to stop."""
        events = [first] if first is not None else []
        stopping = False
        while not stopping and len(events) < BATCH_SIZE:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                break
            if event is None:
                stopping = True
            else:
                events.append(event)
        if events:
            self._in_hand = events
            self._write(events)
            self._in_hand = []
        return stopping

    def _write(self, events: list[AuditEvent]) -> None:
        for delay in (*RETRY_DELAYS, None):
            try:
                _renew_connection()
                AuditEvent.objects.bulk_create(events)
            except (OperationalError, InterfaceError) as exc:
                # A process that is asked to stop has no time for waiting.
                if delay is None or self._closing:
                    _lose(events, type(exc).__name__)
                    return
                self._pause(delay)
            except (DatabaseError, ValueError):
                _write_one_by_one(events)
                return
            else:
                return

    def _pause(self, seconds: float) -> None:
        for _ in range(math.ceil(seconds / NOTICE_SECONDS)):
            if not self._closing:
                self._sleep(min(seconds, NOTICE_SECONDS))

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Write what is in memory and stop; give up, with a line for each, after `timeout` s."""
        thread = self._thread
        if thread is None:
            return
        self._closing = True
        try:
            self._events.put(None, timeout=timeout)
        except queue.Full:
            logger.exception("audit_close_timed_out")
        thread.join(timeout)
        # An INSERT that still hangs may yet succeed: better an event too many in the log.
        left = list(self._in_hand)
        self._thread = None
        self._closing = False
        while not self._events.empty():
            event = self._events.get_nowait()
            if event is not None:
                left.append(event)
        if thread.is_alive():
            self._events.put_nowait(None)
        _lose(left, "stopped")


def _renew_connection() -> None:
    """Drop a connection that is too old or has failed, as Django does between requests."""
    # Inside a transaction, which only a test has open here, Django would drop any connection.
    if not connection.in_atomic_block:
        close_old_connections()


def _write_one_by_one(events: list[AuditEvent]) -> None:
    """Keep one row that the database refuses from taking the others along."""
    for event in events:
        try:
            event.save(force_insert=True)
        except (DatabaseError, ValueError) as exc:
            _lose([event], type(exc).__name__)


def _lose(events: list[AuditEvent], cause: str) -> None:
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
            },
        )


recorder: Final = AuditRecorder()
atexit.register(recorder.close)
