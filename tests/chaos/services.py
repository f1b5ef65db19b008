"""gunicorn and run_uploader as processes that are killed, stopped and started again."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.environment import PYTHON
from bench.processes import spawn

MASTER = (PYTHON, "-m", "gunicorn", "--config", "python:cpsite.gunicorn")
UPLOADER = (PYTHON, "manage.py", "run_uploader")

#: Seconds until a started process must be ready, on a machine that is busy.
START_SECONDS = 60.0
#: Seconds until a process that listens has children, too.
CHILD_SECONDS = 10.0


@dataclass
class Life:
    """One process of a service, from its start to its end, and what it wrote."""

    name: str
    log: Path
    popen: subprocess.Popen[bytes]
    #: It, or a part of it, was killed.
    was_killed: bool = False
    #: We have asked for its end.
    is_ending: bool = False


@dataclass
class Service:
    """A service of which there is one process at a time, in a session of its own."""

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str]
    scratch: Path
    is_ready: Callable[[], bool]
    #: Seconds in which the process must have ended after SIGTERM.
    stop_seconds: float
    #: What a killed process leaves behind, and what would be taken for a sign of the next one.
    leftovers: Sequence[Path] = ()
    lives: list[Life] = field(default_factory=list)
    #: Exit statuses after SIGTERM; None for one that did not end in time.
    stops: list[int | None] = field(default_factory=list)
    #: Lives that ended although nobody had asked for it.
    deaths: list[Life] = field(default_factory=list)
    #: Held by whoever changes the process.
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def life(self) -> Life:
        return self.lives[-1]

    def start(self) -> None:
        name = f"{self.name}.{len(self.lives) + 1}".replace(" ", "-")
        log = self.scratch / f"{name}.log"
        for path in self.leftovers:
            path.unlink(missing_ok=True)
        popen = spawn(self.command, self.environment, log)
        self.lives.append(Life(name, log, popen))

    def wait_until_ready(self) -> bool:
        """Wait until it works; return False when it ends before or takes too long."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.life.popen.poll() is None:
            if self.is_ready():
                return True
            time.sleep(0.1)
        return False

    def kill(self) -> None:
        """Kill the process and what it started, as `kill -9` of a container does."""
        self.life.was_killed = self.life.is_ending = True
        self._signal_session(signal.SIGKILL)
        self.life.popen.wait()

    def kill_worker(self, index: int) -> bool:
        """Kill one of the process's children; return False where there is none."""
        until = time.monotonic() + CHILD_SECONDS
        while not (children := _children(self.life.popen.pid)):
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        self.life.was_killed = True
        with suppress(ProcessLookupError):
            os.kill(children[index % len(children)], signal.SIGKILL)
        return True

    def stop(self) -> int | None:
        """Ask it to end; return its exit status, or None when it does not end in time."""
        if not self.look_after():
            return self.life.popen.returncode
        self.life.is_ending = True
        self.life.popen.terminate()
        try:
            status = self.life.popen.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            status = None
        # What it started must not outlive it.
        self._signal_session(signal.SIGKILL)
        self.stops.append(status)
        return status

    def look_after(self) -> bool:
        """Return False, once, when the process has ended although nobody had asked for it."""
        life = self.life
        if life.is_ending or life.popen.poll() is None:
            return True
        life.is_ending = True
        self.deaths.append(life)
        return False

    def _signal_session(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.life.popen.pid, number)


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return sorted(int(child) for child in text.split())
