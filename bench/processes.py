"""Processes that the benchmark starts: each in its own session, which is ended by its id."""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from bench.environment import ROOT
from bench.errors import CannotMeasure

T = TypeVar("T")
Command = Sequence[str | Path]

_RUN_SECONDS: Final = 600

#: Below the ports that Linux gives to outgoing connections (32768 and up): a port from among those
#: may be taken again before its process binds it. Runs at the same time begin at different ones.
_ports = iter(range(secrets.randbelow(19_000) + 11_000, 32_000))


def free_port() -> int:
    """Return a port on loopback that nothing listens on, a different one each time."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise CannotMeasure("No port below 32000 is free.")


def spawn(
    command: Command, environment: Mapping[str, str], log: Path, directory: Path = ROOT
) -> subprocess.Popen[bytes]:
    """Start a command whose output is added to a file, in a session of its own.

    What it starts stays in its session, which is how all of it is found again.
    """
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own commands
            [str(part) for part in command],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class Process:
    """A running command whose output goes to a file; leaving the context ends it."""

    def __init__(
        self,
        name: str,
        command: Command,
        environment: Mapping[str, str],
        log: Path,
        directory: Path = ROOT,
    ) -> None:
        self.name = name
        self._log = log
        self._popen = spawn(command, environment, log, directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # SIGKILL: its data is not needed, and a graceful stop would wait for long polls.
        self.signal(signal.SIGKILL)
        self._popen.wait()
        if isinstance(exc, CannotMeasure):
            exc.add_note(f"The end of {self._log.name}:\n{self._tail()}")

    @property
    def session(self) -> int:
        """The id of the session that holds the process and all that it has started."""
        return self._popen.pid

    def signal(self, number: signal.Signals) -> None:
        """Signal the process and what it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, number)

    def wait_for(self, condition: Callable[[], T], what: str, seconds: float = 60) -> T:
        """Return the condition's first true value.

        Raises CannotMeasure when the process ends or time is up.
        """
        until = time.monotonic() + seconds
        while self._popen.poll() is None and time.monotonic() < until:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        code = self._popen.poll()
        happened = f"waited {seconds:.0f} s" if code is None else f"ended with status {code}"
        raise CannotMeasure(f"{self.name}: {happened} while waiting for {what}.")

    def wait_for_port(self, port: int) -> None:
        self.wait_for(lambda: is_open(port), f"port {port}")

    def _tail(self, lines: int = 10, width: int = 200) -> str:
        text = self._log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(f"    {line[:width]}" for line in text) or "    (it wrote nothing)"


def is_open(port: int) -> bool:
    """Whether something listens on a loopback port."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def run(name: str, command: Command, environment: Mapping[str, str], directory: Path = ROOT) -> str:
    """Run a command to its end and return what it printed.

    Raises CannotMeasure, with its errors, when it fails or takes longer than `_RUN_SECONDS`.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own commands
            [str(part) for part in command],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise CannotMeasure(f"{name}: took longer than {_RUN_SECONDS} s.") from exc
    if done.returncode:
        raise CannotMeasure(f"{name}: ended with status {done.returncode}.\n{done.stderr[-3000:]}")
    return done.stdout
