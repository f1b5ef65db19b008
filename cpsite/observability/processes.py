"""CPU, memory and open files of a service that is several processes: gunicorn's master and workers.

prometheus_client tells them of the one process that answers a scrape. Here that one reads /proc for
all, so that it does not matter which worker answers. Where there is no /proc, there is nothing.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

#: Looks at all processes in which one may end before their sum is taken without it.
LOOKS: Final = 5

PROC: Final = Path("/proc")

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
    """Of `/proc/<pid>/stat` (proc(5)), times in ticks."""

    parent: int
    own_ticks: int
    #: Of children that have ended and were waited for.
    reaped_ticks: int
    started_ticks: int
    resident_pages: int


class ServiceProcesses:
    """The process `master` and its children, as a collector for a registry of prometheus_client.

    `proc` is where the kernel's view of processes is mounted.
    """

    def __init__(self, master: int, *, proc: Path = PROC) -> None:
        self._master = master
        self._proc = proc

    def collect(self) -> Iterator[Metric]:
        """Yield the standard `process_*` metrics; none where /proc cannot be read."""
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
        """Add all processes up. Raises OSError when the master cannot be looked at."""
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
        """Return the master and its children, each of whose CPU time is in one place only.

        A worker's time goes over to the master when that one has waited for it. Were that to happen
        between two reads, it would count twice or not at all, and the sum would not be monotonic.
        """
        for _ in range(LOOKS):
            before = self._stat(self._master)
            workers = self._children()
            master = self._stat(self._master)
            if before.reaped_ticks == master.reaped_ticks:
                break
        return master, workers

    def _children(self) -> dict[int, _Stat]:
        # Not by `task/<id>/children`, which a kernel need not have.
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
        # The name in parentheses may hold anything. Numbers are proc(5)'s, from the third on.
        text = (self._proc / str(pid) / "stat").read_text()
        fields = text.rpartition(")")[2].split()
        return _Stat(
            parent=int(fields[1]),
            own_ticks=int(fields[11]) + int(fields[12]),
            reaped_ticks=int(fields[13]) + int(fields[14]),
            started_ticks=int(fields[19]),
            resident_pages=int(fields[21]),
        )

    def _memory_bytes(self, pid: int, stat: _Stat) -> int:
        """Return a process's memory, of what it shares its part (PSS), else all (RSS)."""
        try:
            for line in (self._proc / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        except OSError:  # ended, or a kernel that does not have it
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
    """Return when the machine was started, as Unix time in seconds. Raises OSError.

    The kernel's figure moves with each correction of the clock, and a service would seem to have
    started again: it is read once, before gunicorn forks.
    """
    for line in (proc / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    raise OSError("stat without the time of boot")
