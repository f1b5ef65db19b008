"""CPU, memory and open files of a service of several processes: gunicorn's master and workers.

prometheus_client reports them only for the process that answers a scrape. Here, that process reads
/proc for all of them, so it does not matter which worker answers. Without /proc there are no such
metrics.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

#: How often all processes are read at most, until none of them ends meanwhile.
LOOKS: Final = 5

PROC: Final = Path("/proc")

#: States of a process that its parent is waiting for just now (proc(5)).
_DEAD: Final = frozenset("Xx")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """What the processes of a service use together, in the units of Prometheus's standard names."""

    cpu_seconds: float
    memory_bytes: int
    open_files: int
    max_files: float
    started_at: float


@dataclass(frozen=True)
class _Stat:
    """Fields of `/proc/<pid>/stat` (proc(5)). Times are in ticks."""

    #: Its parent is waiting for it just now: whose its time is, is open until it is gone.
    is_leaving: bool
    parent: int
    own_ticks: int
    #: Of children that have ended and that the process has waited for.
    reaped_ticks: int
    started_ticks: int
    resident_pages: int


class ServiceProcesses:
    """The process `master` and its children, as a collector for a prometheus_client registry.

    `proc` is the mount point of procfs.
    """

    def __init__(self, master: int, *, proc: Path = PROC) -> None:
        self._master = master
        self._proc = proc

    def collect(self) -> Iterator[Metric]:
        """Yield the standard `process_*` metrics; none if /proc cannot be read."""
        try:
            usage = self.usage()
        except OSError:
            return
        yield CounterMetricFamily(
            "process_cpu_seconds",
            "User and system CPU time of all processes of the service, ended ones included.",
            value=usage.cpu_seconds,
        )
        for name, documentation, value in (
            (
                "resident_memory_bytes",
                "Memory of all processes of the service; what they share counts once.",
                usage.memory_bytes,
            ),
            (
                "open_fds",
                "Open file descriptors of the process that has the most: the limit is each one's.",
                usage.open_files,
            ),
            ("max_fds", "File descriptors that a process may open.", usage.max_files),
            (
                "start_time_seconds",
                "Start of the service's first process, as Unix time in seconds.",
                usage.started_at,
            ),
        ):
            yield GaugeMetricFamily(f"process_{name}", documentation, value=value)

    def usage(self) -> Usage:
        """Return the sum over all processes. Raises OSError if the master cannot be read."""
        master, workers = self._look()
        pids = [self._master, *workers]
        stats = [master, *workers.values()]
        return Usage(
            cpu_seconds=(sum(stat.own_ticks for stat in stats) + master.reaped_ticks) / _TICKS,
            memory_bytes=sum(self._memory_bytes(*found) for found in zip(pids, stats, strict=True)),
            open_files=max(map(self._open_files, pids)),
            max_files=self._max_files(),
            started_at=booted_at(self._proc) + master.started_ticks / _TICKS,
        )

    def _look(self) -> tuple[_Stat, dict[int, _Stat]]:
        """Return the master and its children, so that all CPU time counts exactly once.

        When a worker ends, its CPU time moves to the master, which waits for it. If that happened
        between two reads, the time would count twice or not at all, and the sum would not be
        monotonic. The kernel adds it to the master's a moment before the worker is gone, so for
        that moment both have it. So the reads are repeated, up to LOOKS times.
        """
        for _ in range(LOOKS):
            before = self._stat(self._master)
            workers = self._children()
            master = self._stat(self._master)
            is_moving = any(stat.is_leaving for stat in workers.values())
            if before.reaped_ticks == master.reaped_ticks and not is_moving:
                break
        return master, workers

    def _children(self) -> dict[int, _Stat]:
        # `task/<id>/children` would be simpler, but not every kernel has it.
        found = {}
        for path in self._proc.iterdir():
            if not path.name.isdigit():
                continue
            try:
                stat = self._stat(int(path.name))
            except OSError:  # it has ended
                continue
            if stat.parent == self._master:
                found[int(path.name)] = stat
        return found

    def _stat(self, pid: int) -> _Stat:
        # The name in parentheses may hold any character. Index 0 is proc(5)'s third field.
        text = (self._proc / str(pid) / "stat").read_text()
        fields = text.rpartition(")")[2].split()
        return _Stat(
            is_leaving=fields[0] in _DEAD,
            parent=int(fields[1]),
            own_ticks=int(fields[11]) + int(fields[12]),
            reaped_ticks=int(fields[13]) + int(fields[14]),
            started_ticks=int(fields[19]),
            resident_pages=int(fields[21]),
        )

    def _memory_bytes(self, pid: int, stat: _Stat) -> int:
        """Return the memory with its share of shared pages (PSS), else with all of them (RSS)."""
        try:
            for line in (self._proc / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        except OSError:  # the process has ended, or the kernel lacks smaps_rollup
            pass
        return stat.resident_pages * _PAGE_BYTES

    def _open_files(self, pid: int) -> int:
        try:
            return sum(1 for _ in (self._proc / str(pid) / "fd").iterdir())
        except OSError:  # it has ended
            return 0

    def _max_files(self) -> float:
        for line in (self._proc / str(self._master) / "limits").read_text().splitlines():
            if line.startswith("Max open files"):
                return float(line.split()[3].replace("unlimited", "inf"))
        raise OSError("limits without the number of open files")


@cache
def booted_at(proc: Path = PROC) -> float:
    """Return the machine's boot time, as Unix time in seconds. Raises OSError.

    The kernel's value moves with each correction of the clock, which would look like a restart of
    the service. So it is read once, before gunicorn forks.
    """
    for line in (proc / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    raise OSError("stat without the time of boot")
