"""Writes audit events in bulk, outside the path of the messages.

Services put events in a buffer and go on. A thread of the recorder writes the buffered events in
one INSERT. So the database can neither slow a message down nor make it fail. An event that cannot
be written is counted in `audit_write_failures_total` and logged as `audit_event_lost`.
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

#: Events buffered in memory while the database is slow or unavailable, about 1 KB each.
CAPACITY: Final = 10_000
#: Rows of one INSERT. PostgreSQL takes 65,535 parameters in a statement and SQLite 32,766
#: (SQLITE_MAX_VARIABLE_NUMBER); an event has 11.
BATCH_SIZE: Final = 500
#: Seconds to wait before each retry when the database is unavailable: longer in total than its
#: restart takes. Meanwhile events stay in memory.
RETRY_DELAYS: Final = (0.1, 0.5, 2.0, 4.0, 4.0)
#: Seconds between two checks, during a wait, whether the process is stopping.
NOTICE_SECONDS: Final = 0.25
#: Seconds for which events are collected before one INSERT: a statement costs much, a row little.
GATHER_SECONDS: Final = 0.1
#: Seconds that a stopping process takes to write the events in memory.
CLOSE_TIMEOUT: Final = 5.0


class AuditRecorder:
    """Collects events of this process and writes them from one thread, started on first use."""

    def __init__(self, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._sleep = sleep
        self._start_afresh()
        # A forked child has no such thread, and must not write the parent's events again.
        os.register_at_fork(after_in_child=self._start_afresh)

    def _start_afresh(self) -> None:
        self._events: queue.Queue[AuditEvent | None] = queue.Queue(CAPACITY)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closing = False
        #: Events that are being written.
        self._in_flight: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        """Buffer an event. Never raises and never waits: if the buffer is full, it is lost."""
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
                except RuntimeError:  # the system is out of threads: retry with the next event
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
        """Call write_pending. An unexpected error must not end the thread."""
        try:
            return self.write_pending(event)
        except Exception:
            logger.exception("audit_write_failed_unexpectedly")
            events, self._in_flight = self._in_flight, []
            _lose(events, "internal_error")
            # The request to stop may have been read with the batch that failed.
            return self._closing

    def write_pending(self, first: AuditEvent | None = None) -> bool:
        """Write `first` and what is buffered, one batch; return True when asked to stop."""
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
            self._in_flight = events
            self._write(events)
            self._in_flight = []
        return stopping

    def _write(self, events: list[AuditEvent]) -> None:
        for delay in (*RETRY_DELAYS, None):
            try:
                _renew_connection()
                AuditEvent.objects.bulk_create(events)
            except (OperationalError, InterfaceError) as exc:
                # A stopping process has no time to wait.
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
        """Write what is in memory and stop. After `timeout` seconds, log what is left as lost."""
        thread = self._thread
        if thread is None:
            return
        self._closing = True
        try:
            self._events.put(None, timeout=timeout)
        except queue.Full:
            logger.exception("audit_close_timed_out")
        thread.join(timeout)
        # An INSERT that still hangs may yet succeed. Better log an event twice than lose it.
        left = list(self._in_flight)
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
    """Close a connection that is too old or has failed, as Django does between requests."""
    # Inside a transaction Django would close any connection. Only tests have one open here.
    if not connection.in_atomic_block:
        close_old_connections()


def _write_one_by_one(events: list[AuditEvent]) -> None:
    """Write each event by itself, so that only those are lost that the database refuses."""
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
