"""A PostgreSQL server of the tests' own, on a Unix socket in a scratch directory."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Seconds for a start or a stop. A stop that takes longer is an error of the test.
_SECONDS = 60


def find_binaries() -> Path | None:
    """Return the directory that holds initdb and pg_ctl, or None."""
    on_path = shutil.which("initdb")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    candidates = [Path(on_path)] if on_path else versions
    return candidates[0].parent if candidates else None


class Server:
    """A server that can be stopped and started. It writes its log into `log`."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        # It refuses to run as root, and a Unix socket's path must stay short.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._directory = Path(tempfile.mkdtemp(prefix="pg-"))
        self.log = self._directory / "log"
        self.url = f"postgresql://cpsite@/postgres?host={self._directory}"
        if self._user:
            shutil.chown(self._directory, self._user)
        data = str(self._directory / "data")
        self._run("initdb", "-D", data, "-U", "cpsite", "-A", "trust", "-N")

    def start(self) -> None:
        options = f"-k {self._directory} -c listen_addresses='' -c fsync=off -c max_connections=200"
        self._control("-l", str(self.log), "-o", options, "start")

    def stop(self, mode: str) -> None:
        """Stop it: `fast` ends its connections in good order, `immediate` is a crash."""
        self._control("-m", mode, "stop")

    def close(self) -> None:
        """Stop it if it runs, and throw its data away."""
        if (self._directory / "data" / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self._directory, ignore_errors=True)

    def _control(self, *arguments: str) -> None:
        data = str(self._directory / "data")
        self._run("pg_ctl", "-D", data, "-w", "-t", str(_SECONDS), *arguments)

    def _run(self, *command: str) -> None:
        subprocess.run(
            [str(self._binaries / command[0]), *command[1:]],
            user=self._user,
            cwd=self._directory,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def server(binaries: Path) -> Iterator[str]:
    """Run a server; yield the URL of its first database."""
    made = Server(binaries)
    try:
        made.start()
        yield made.url
    finally:
        made.close()
