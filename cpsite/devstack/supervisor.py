"""Keeps a few processes running: starts them in order, restarts dead ones, stops them in order."""

import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final, TextIO

#: Seconds before the first restart; doubled for each further death in a row.
RESTART_DELAY: Final = 1.0
#: More deaths in a row than this end the run. A life of HEALTHY_AFTER seconds restarts the count.
DEATHS_ALLOWED: Final = 5
HEALTHY_AFTER: Final = 30.0
POLL_INTERVAL: Final = 0.1
LAST_LINES: Final = 20


def tell(line: str) -> None:
    """Print a line. A closed standard output is no error, so that it cannot prevent a stop."""
    with suppress(OSError):
        print(line, flush=True)


class Stopped(Exception):
    """A signal stopped the stack while it was still starting."""


class ChildFailed(Exception):
    """A process keeps dying, or never became ready. The text ends with its last output."""


@dataclass
class Child:
    """One process.

    The next one starts when `is_ready` returns True. It is called until then, again after each
    restart of the process, and may itself prepare what the process needs. `log` is a file for the
    output. Without one, the output goes to standard output, each line after the process's name.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], bool]
    ready_within: float = 30.0
    stop_within: float = 25.0
    #: False for a process that must save its state: a second signal must not kill it.
    may_be_hurried: bool = True
    #: Whether `is_ready` has been true in this life of the process.
    was_ready: bool = False
    log: Path | None = None
    process: subprocess.Popen[str] | None = None
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    started_at: float = 0.0
    deaths: int = 0
    restart_at: float | None = None
    _pump: threading.Thread | None = None

    def start(self) -> None:
        self.started_at, self.restart_at, self.was_ready = time.monotonic(), None, False
        self.process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C goes to the whole foreground group, but we stop the processes in order.
            start_new_session=True,
        )
        self._pump = threading.Thread(target=self._pump_output, daemon=True)
        self._pump.start()

    def _pump_output(self) -> None:
        assert self.process is not None  # noqa: S101 - for mypy: start() has just set both
        assert self.process.stdout is not None  # noqa: S101
        with self._open_sink() as sink:
            for line in self.process.stdout:
                self.lines.append(line)
                # A closed terminal must not block the child's pipe.
                with suppress(OSError):
                    sink.write(line if self.log else f"{self.name:<9} | {line}")
                    sink.flush()

    def _open_sink(self) -> AbstractContextManager[TextIO]:
        if self.log is None:
            return nullcontext(sys.stdout)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        return self.log.open("a")

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, is_hurried: Callable[[], bool] = lambda: False) -> None:
        """Stop the process with SIGTERM; with SIGKILL if it takes too long or is hurried."""
        if self.process is None:
            return
        if self.is_alive:
            self.process.terminate()
        until = time.monotonic() + self.stop_within
        while self.is_alive:
            if time.monotonic() > until or (self.may_be_hurried and is_hurried()):
                tell(f"{self.name} did not stop in time: killed")
                self.process.kill()
                self.process.wait()
            else:
                time.sleep(POLL_INTERVAL)
        if self._pump is not None:
            self._pump.join(timeout=5)

    def failure(self, what: str) -> ChildFailed:
        """Return the error with the text `what` and the last lines of the process's output."""
        if self._pump is not None:
            self._pump.join(timeout=1)
        where = f"\n(all of it: {self.log})" if self.log else ""
        return ChildFailed(f"{self.name} {what}. Its last lines:\n{''.join(self.lines)}{where}")


class Supervisor:
    """Runs `children`, started in order and stopped in `stop_order`."""

    def __init__(self, children: Sequence[Child], *, stop_order: Sequence[Child]) -> None:
        self._children = children
        self._stop_order = stop_order
        self._signals = 0

    def install_signal_handlers(self) -> None:
        # SIGHUP: the terminal was closed.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def start(self, child: Child) -> None:
        """Start one child and wait until it is ready. Raises ChildFailed or Stopped."""
        child.start()
        until = time.monotonic() + child.ready_within
        while not child.is_ready():
            if self._signals:
                raise Stopped
            if not child.is_alive:
                raise child.failure(f"ended with status {child.process and child.process.poll()}")
            if time.monotonic() > until:
                raise child.failure(f"was not ready within {child.ready_within:.0f} s")
            time.sleep(POLL_INTERVAL)
        child.was_ready = True

    def watch(self) -> None:
        """Keep the children alive until a signal comes. Raises ChildFailed."""
        while not self._signals:
            for child in self._children:
                self._tend(child)
            time.sleep(POLL_INTERVAL)

    def _tend(self, child: Child) -> None:
        if child.is_alive or child.process is None:
            child.was_ready = child.was_ready or child.is_ready()
            return
        now = time.monotonic()
        if child.restart_at is None:
            child.deaths = 1 if now - child.started_at > HEALTHY_AFTER else child.deaths + 1
            if child.deaths > DEATHS_ALLOWED:
                raise child.failure(f"has died {child.deaths} times in a row")
            delay = RESTART_DELAY * 2 ** (child.deaths - 1)
            child.restart_at = now + delay
            tell(
                f"{child.name} ended with status {child.process.returncode}; "
                f"starting it again in {delay:.0f} s"
            )
        elif now >= child.restart_at:
            child.start()

    def stop(self) -> None:
        """Stop all children in order; a signal meanwhile kills those that may be hurried."""
        before = self._signals
        for child in self._stop_order:
            child.stop(lambda: self._signals > before)
