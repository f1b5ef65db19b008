"""Bounds the bytes of bodies in flight in a process, so that its memory stays within its limit.

A body is in flight from the moment at which its head is read, which says how long it is, until its
request is answered. Meanwhile its message exists in several forms: as received, parsed, encoded,
and in the envelope for SQS. docs/scaling.md has the measurements behind these constants, and
terraform/ repeats the formula.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from gevent.event import Event

#: Bytes of memory for each byte of a body in flight. Measured: 4 for ASCII, 11 for texts with an
#: emoji, which Python holds in four bytes a character, and 21 if DEL, which grows sixfold, makes
#: the envelope as long as SQS takes.
MEMORY_PER_BYTE: Final = 24
#: Longest body that is not counted. Such bodies are part of the memory of a connection, so clients
#: of long messages cannot keep out those of short ones.
SMALL_BYTES: Final = 4_096
#: Memory of a connection, with a request head or a small body in flight: a fixed part, and a part
#: for each byte of MAX_HEADER_BYTES. By default both together are 160 KiB.
CONNECTION_BYTES: Final = 32_768
CONNECTION_BYTES_PER_HEADER_BYTE: Final = 8
#: Memory of the master with what it shares with its workers, and of a worker's own.
MASTER_BYTES: Final = 67_108_864
WORKER_BYTES: Final = 67_108_864
#: Share of the service's memory that is planned for. The rest is for what the formula leaves out.
PLANNED_SHARE: Final = 0.9
#: Bodies of the longest kind that a process must be able to take at a time.
FEWEST_BODIES: Final = 4


@dataclass(frozen=True, kw_only=True)
class Service:
    """What a validator's memory depends on."""

    #: gunicorn's processes (WEB_CONCURRENCY) and the connections of each (WEB_CONNECTIONS).
    processes: int
    connections: int
    #: Bytes of the longest header (MAX_HEADER_BYTES).
    header_bytes: int

    def _of_process(self) -> int:
        connection = CONNECTION_BYTES + CONNECTION_BYTES_PER_HEADER_BYTE * self.header_bytes
        return WORKER_BYTES + self.connections * connection

    def limit(self, memory_bytes: float) -> int:
        """Return how many bytes of bodies may be in flight in each process, at least 0."""
        fixed = MASTER_BYTES + self.processes * self._of_process()
        planned = PLANNED_SHARE * memory_bytes
        return max(0, int((planned - fixed) / (MEMORY_PER_BYTE * self.processes)))

    def memory_needed(self, body_bytes: int) -> int:
        """Return the least memory in bytes in which each process can take FEWEST_BODIES bodies."""
        bodies = MEMORY_PER_BYTE * FEWEST_BODIES * body_bytes
        needed = MASTER_BYTES + self.processes * (self._of_process() + bodies)
        return math.ceil(needed / PLANNED_SHARE)


@dataclass(frozen=True, eq=False)
class _Place:
    """A body's place among those that wait for room."""

    body_bytes: int
    #: Set once the body is counted.
    has_room: Event = field(default_factory=Event)


class InFlight:
    """Counts the bytes of a process's bodies in flight, but for small ones.

    A body without room may wait for it, in turn, with at most `places` others. Needs no lock: all
    of it runs in one thread, whose greenlets change only where one waits.
    """

    def __init__(self, limit_bytes: int, places: int = 0) -> None:
        self._limit = limit_bytes
        self._places = places
        self._bytes = 0
        self._waiting: deque[_Place] = deque()

    @property
    def is_waited_for(self) -> bool:
        """Whether a body waits for room."""
        return bool(self._waiting)

    def add(self, body_bytes: int, wait_seconds: float = 0.0) -> bool:
        """Count a body, whether small or not.

        Return False, and count nothing, if there is no room within so many seconds.
        """
        if body_bytes <= SMALL_BYTES:
            return True
        if not self._waiting and self._has_room(body_bytes):
            self._bytes += body_bytes
            return True
        may_wait = body_bytes <= self._limit and len(self._waiting) < self._places
        return may_wait and self._wait(_Place(body_bytes), wait_seconds)

    def _has_room(self, body_bytes: int) -> bool:
        return self._bytes + body_bytes <= self._limit

    def _wait(self, place: _Place, seconds: float) -> bool:
        self._waiting.append(place)
        try:
            place.has_room.wait(seconds)
        except BaseException:  # this connection is being ended
            if place.has_room.is_set():
                self.remove(place.body_bytes)
            raise
        finally:
            if not place.has_room.is_set():
                self._waiting.remove(place)
                self._let_in()  # a shorter one behind it may have room
        return place.has_room.is_set()

    def remove(self, body_bytes: int) -> None:
        """End what `add` has begun, with the same number."""
        if body_bytes > SMALL_BYTES:
            self._bytes -= body_bytes
            self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._has_room(self._waiting[0].body_bytes):
            place = self._waiting.popleft()
            self._bytes += place.body_bytes
            place.has_room.set()
