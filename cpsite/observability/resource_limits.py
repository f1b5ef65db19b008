"""How much CPU and memory this service may use, to compare its actual use with."""

import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Seconds that the ECS agent, on the same host, may take to answer.
METADATA_SECONDS: Final = 2.0

_CGROUPS: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Limits:
    cpu_cores: float
    memory_bytes: float


def find() -> Limits:
    """Return the lowest limits of our ECS task, our cgroups and the machine.

    Takes METADATA_SECONDS at most. A source that cannot be read is skipped.
    """
    machine = Limits(
        cpu_cores=float(os.cpu_count() or 1),
        memory_bytes=float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
    )
    task = _of_task(os.environ.get("ECS_CONTAINER_METADATA_URI_V4", ""))
    return Limits(
        cpu_cores=min([*_values(task, "CPU", 1), *cgroup_cpus(), machine.cpu_cores]),
        memory_bytes=min(
            [*_values(task, "Memory", 1024**2), *cgroup_memory(), machine.memory_bytes]
        ),
    )


def _of_task(metadata_url: str) -> dict[str, float]:
    """Return `Limits` of the task metadata, version 4: CPU in vCPU, Memory in MiB."""
    if not metadata_url:
        return {}
    try:
        # The ECS agent sets this address, so it is trusted like our own configuration.
        with urllib.request.urlopen(  # noqa: S310
            f"{metadata_url}/task", timeout=METADATA_SECONDS
        ) as answer:
            found: dict[str, float] = json.load(answer)["Limits"]
    except (OSError, ValueError, KeyError):
        return {}
    return found


def _values(task: dict[str, float], name: str, unit: int) -> list[float]:
    return [task[name] * unit] if name in task else []


def cgroup_cpus(root: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> list[float]:
    """Return the CPU limits of our cgroup and of those around it, in cores."""
    found = []
    for directory in _directories(root, own, "cpu"):
        try:
            if (directory / "cpu.max").exists():
                quota, period = (directory / "cpu.max").read_text().split()
            else:
                quota = (directory / "cpu.cfs_quota_us").read_text().strip()
                period = (directory / "cpu.cfs_period_us").read_text()
        except OSError:  # the root cgroup has no limit and no such file
            continue
        if quota not in {"max", "-1"}:
            found.append(int(quota) / int(period))
    return found


def cgroup_memory(root: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> list[float]:
    """Return the memory limits of our cgroup and of those around it, in bytes."""
    found = []
    for directory in _directories(root, own, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                limit = (directory / name).read_text().strip()
            except OSError:
                continue
            if limit != "max":
                found.append(float(limit))
    return found


def _directories(root: Path, own: Path, controller: str) -> Iterator[Path]:
    """Yield the directories that hold our limits, from our own cgroup to the outermost one.

    Version 2 has one hierarchy (`0::/path` in /proc/self/cgroup), version 1 one for each
    controller (`4:cpu,cpuacct:/path`). In a container the path may be the host's, which is not
    visible there. Then the outermost directory is that of the container.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            base = root
        elif controller in controllers.split(","):
            base = root / controller
        else:
            continue
        inner = base / path.lstrip("/")
        yield from (parent for parent in (inner, *inner.parents) if parent.is_relative_to(base))
