"""A PostgreSQL server of the tests' own, on a Unix socket in a scratch directory."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def find_binaries() -> Path | None:
    """Return the directory that holds initdb and pg_ctl, or None."""
    on_path = shutil.which("initdb")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    candidates = [Path(on_path)] if on_path else versions
    return candidates[0].parent if candidates else None


@contextmanager
def server(binaries: Path) -> Iterator[str]:
    """Run a server; yield its URL with a database of the name that the caller appends."""
    # PostgreSQL refuses to run as root, and a Unix socket's path must stay short.
    user = "postgres" if os.geteuid() == 0 else None
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    if user:
        shutil.chown(directory, user)

    def run(*command: str) -> None:
        subprocess.run(
            [str(binaries / command[0]), *command[1:]],
            user=user,
            cwd=directory,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    try:
        run("initdb", "-D", str(directory / "data"), "-U", "cpsite", "-A", "trust", "-N")
        options = f"-k {directory} -c listen_addresses='' -c fsync=off -c max_connections=200"
        run("pg_ctl", "-D", str(directory / "data"), "-w", "-l", "log", "-o", options, "start")
        try:
            yield f"postgresql://cpsite@/postgres?host={directory}"
        finally:
            run("pg_ctl", "-D", str(directory / "data"), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
