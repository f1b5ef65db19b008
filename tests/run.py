"""`make test`, `make test-slow`, `make test-fast`, `make interleavings` and `make coverage`.

The services end to end run on PostgreSQL, as in production; one server serves all of a run. Without
PostgreSQL's binaries they run on SQLite and a line says so; in CI the binaries are required.

With COVERAGE set, each run adds to what the next `coverage` reports.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests import postgresql

#: They have targets of their own: `make terraform-check`, `alerts-check`, `images-check` and
#: `browser-test` bring what they need.
OTHERS = ("terraform", "monitoring", "images", "browser")
LEFT_OUT = tuple(f"--ignore=tests/{name}" for name in OTHERS)
#: What depends on how a database behaves.
DATABASE = (
    "tests/cpsite/audit",
    "tests/cpsite/dead_letters/test_events.py",
    "tests/cpsite/dead_letters/test_reasons.py",
    "tests/validator/test_idempotency.py",
    "tests/cpsite/web/test_admin_login.py",
    "tests/cpsite/web/test_admin_pages.py",
    "tests/pipelines/test_migrations.py",
)
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run(*command: str, environment: Mapping[str, str] | None = None) -> None:
    variables = {**os.environ, **(environment or {})}
    # Or each of the processes would compile each of the tests anew, and rewrite its asserts.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    status = subprocess.call([sys.executable, "-m", *command], env=variables)
    if status:
        sys.exit(status)


def _pytest(title: str, *arguments: str, **environment: str) -> None:
    print(f"\n== {title}", flush=True)
    coverage = ("coverage", "run", "-m") if os.environ.get("COVERAGE") else ()
    # One more than there are cores: tests wait, too.
    spread = ("-n", str(CORES + 1), "--dist", "worksteal")
    _run(*coverage, "pytest", "-q", *spread, *arguments, environment=environment)


@contextmanager
def _server() -> Iterator[str]:
    """Run PostgreSQL; yield its URL, or nothing where it is not installed."""
    binaries = postgresql.find_binaries()
    if binaries is not None:
        with postgresql.server(binaries) as url:
            yield url
        return
    if os.environ.get("CI"):
        sys.exit("CI needs PostgreSQL's initdb and pg_ctl (Debian: postgresql)")
    print("PostgreSQL's initdb is not installed here: the services run on SQLite")
    yield ""


def quick() -> None:
    if os.environ.get("COVERAGE"):
        _run("coverage", "erase")
    with _server() as url:
        _pytest(
            "all but what is slow by nature (make test-slow)",
            *("-m", "not slow", "tests", *LEFT_OUT),
            SERVICES_DATABASE_URL=url,
        )


def slow() -> None:
    with _server() as url:
        _pytest(
            "what is slow by nature",
            *("-m", "slow", "tests", *LEFT_OUT),
            SERVICES_DATABASE_URL=url,
        )
        if url:
            _pytest("the database's part on PostgreSQL", *DATABASE, DATABASE_URL=url)


def fast(*paths: str) -> None:
    chosen = paths or ("tests", *LEFT_OUT)
    _pytest("without processes", "-m", "not end_to_end and not slow", *chosen)


def interleavings() -> None:
    """Run the long explorations: all on SQLite, those of SQL on PostgreSQL as well."""
    _run("pytest", "-q", "tests/interleavings")
    with _server() as url:
        if url:
            sql = "tests/interleavings/test_idempotency.py"
            _run("pytest", "-q", sql, environment={"DATABASE_URL": url})


def coverage() -> None:
    _run("coverage", "combine", "--quiet")
    _run("coverage", "report")


if __name__ == "__main__":
    commands = {
        "quick": quick,
        "slow": slow,
        "fast": fast,
        "interleavings": interleavings,
        "coverage": coverage,
    }
    commands[sys.argv[1]](*sys.argv[2:])
