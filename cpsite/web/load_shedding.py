"""Limits the messages that a process works on at a time, so that each is answered in time.

A message that is refused at once can be sent again, later or to another process. One that is
answered after many seconds was given up by its client, who sends it again, and that is more load.
"""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

#: Seconds that the messages of a saturated process should take. Some wait twice as long.
TARGET_SECONDS: Final = 0.3
#: Messages in progress that a process may have in any case. On a machine that many processes share,
#: as few as these may take a second, and to refuse them would not help.
ALWAYS: Final = 64
#: Share of a process's connections that messages in progress may take. The others are for refusals,
#: health checks and pages.
WORKING_SHARE: Final = 0.5
#: Share of its time that a saturated process runs or waits for a CPU. It does nothing else then.
SATURATED: Final = 0.9
#: Seconds between two ticks, and how many ticks are looked back at for what a process can answer.
TICK_SECONDS: Final = 0.1
_TICKS: Final = 10
#: Linux: nanoseconds that the thread has run, and has waited for a CPU (proc_pid_schedstat(5)).
_SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")


def busy_seconds() -> float:
    """Return for how long this thread has run or waited for a CPU, in seconds.

    Without Linux's statistics: for how long it has run.
    """
    try:
        ran, waited, _slices = _SCHEDSTAT.read_text().split()
        nanoseconds = int(ran) + int(waited)
    except (OSError, ValueError):
        nanoseconds = 0
    # A kernel without these statistics has zeros.
    return nanoseconds / 1e9 or time.thread_time()


class LoadShedder:
    """Counts the messages in progress of a process with so many `connections`, and limits them.

    A saturated process spends all of its time on its messages. These wait for each other as long
    as it takes to answer all that are in progress (Little's law): with 500 answers a second, 150 in
    progress take 0.3 s. So its limit is what it has answered lately in TARGET_SECONDS. The messages
    of any other process wait for SQS or the database, and refusing some would not make the others
    faster; they may take WORKING_SHARE of the connections.

    Needs no lock: all of it runs in one thread, whose greenlets change only where one waits.
    """

    def __init__(
        self,
        connections: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        busy: Callable[[], float] = busy_seconds,
    ) -> None:
        self._most = max(ALWAYS, int(connections * WORKING_SHARE))
        self._clock, self._busy = clock, busy
        self._limit = self._most
        self._answered = 0
        #: Seconds and answers of the last ticks, for as long as the process has been saturated.
        self._ticks: deque[tuple[float, int]] = deque(maxlen=_TICKS)
        self._ticked_at, self._busy_until_tick = clock(), busy()
        #: Messages that the process works on, and how many of them wait for their clients.
        self.in_progress = self.idle = 0

    @property
    def has_room(self) -> bool:
        """Whether one more message can be answered in time."""
        return self.in_progress - self.idle < self._limit

    @property
    def is_saturated(self) -> bool:
        """Whether the process was saturated at the last tick."""
        return bool(self._ticks)

    def begin(self) -> None:
        self.in_progress += 1

    def end(self) -> None:
        self.in_progress -= 1
        self._answered += 1

    def tick(self, *, idle: int = 0) -> None:
        """Set the limit anew. Call it each TICK_SECONDS, in the thread of the messages.

        So many of those in progress are `idle`: they wait for their clients. Such a message is no
        work, and slow clients must not take all the room.
        """
        self.idle = idle
        now, busy = self._clock(), self._busy()
        seconds = now - self._ticked_at
        if seconds <= 0:
            return
        if busy - self._busy_until_tick >= SATURATED * seconds:
            self._ticks.append((seconds, self._answered))
            self._limit = min(self._most, self._in_time())
        else:
            self._ticks.clear()  # what it answers with time to spare is not what it can answer
            self._limit = self._most
        self._ticked_at, self._busy_until_tick, self._answered = now, busy, 0

    def _in_time(self) -> int:
        """Return how many messages in progress can be answered in TARGET_SECONDS."""
        seconds = sum(seconds for seconds, _ in self._ticks)
        answered = sum(answered for _, answered in self._ticks)
        return max(ALWAYS, int(answered / seconds * TARGET_SECONDS))
