"""CPU time and memory of a process and everything it has started. Linux only.

The processes of a session (`setsid`) are measured together: it also holds a worker whose parent has
died.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
#: Positions in /proc/PID/stat after the command's closing parenthesis (man 5 proc).
_SESSION, _CUTIME, _CSTIME = 3, 13, 14

#: Seconds between two readings of the memory.
_MEMORY_INTERVAL: Final = 0.25
#: A session is quiet when it uses less than this share of a core for this many seconds. The share
#: is not 0, because an idle service still has timers.
_QUIET_SHARE: Final = 0.02
_QUIET_SECONDS: Final = 0.5


def cpu_seconds(session: int) -> float:
    """Return the CPU time, user and system, that the whole session has used so far.

    It is the sum over the living processes and the children that they have reaped.
    """
    total = 0.0
    for pid, stat in _members(session):
        total += (int(stat[_CUTIME]) + int(stat[_CSTIME])) / _TICKS_PER_SECOND
        with suppress(OSError):
            total += time.clock_gettime(_cpu_clock(pid))
    return total


def settle(session: int, seconds: float = 60) -> float:
    """Wait up to `seconds` until the session is quiet; return its CPU time then."""
    until = time.monotonic() + seconds
    before = cpu_seconds(session)
    while True:
        time.sleep(_QUIET_SECONDS)
        after = cpu_seconds(session)
        if after - before < _QUIET_SHARE * _QUIET_SECONDS or time.monotonic() > until:
            return after
        before = after


class PeakMemory:
    """The peak of the memory. Shared pages count once (PSS), unlike in a sum of RSS."""

    mib = 0.0


@contextmanager
def peak_memory(session: int) -> Iterator[PeakMemory]:
    """Read the session's memory four times a second while the context lasts."""
    peak, done = PeakMemory(), threading.Event()

    def sample() -> None:
        while True:
            peak.mib = max(peak.mib, _memory_mib(session))
            if done.wait(_MEMORY_INTERVAL):
                return

    thread = threading.Thread(target=sample, name="memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _cpu_clock(pid: int) -> int:
    """Return the id of a process's CPU clock (man 3 clock_getcpuclockid).

    The clock is utime plus stime of /proc/PID/stat, but in nanoseconds instead of 10 milliseconds.
    """
    return (~pid << 3) | 2


def _members(session: int) -> Iterator[tuple[int, list[str]]]:
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        with suppress(OSError):
            stat = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            if int(stat[_SESSION]) == session:
                yield int(entry.name), stat


def _memory_mib(session: int) -> float:
    return sum(_pss_kib(pid) for pid, _ in _members(session)) / 1024


def _pss_kib(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
