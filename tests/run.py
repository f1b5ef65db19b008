"""`make test`: the suite on SQLite and, where a database matters, on PostgreSQL too.

The services end to end run on PostgreSQL, as in production. Without PostgreSQL's binaries they
run on SQLite and a line says so; in CI the binaries are required.
"""

import os
import subprocess
import sys
from collections.abc import Mapping

from tests import postgresql

SERVICES = "tests/end_to_end/test_services.py"
#: `make terraform-check` runs these, with what they need.
TERRAFORM = "tests/terraform"
#: And `make alerts-check` these.
MONITORING = "tests/monitoring"
#: And `make images-check` these.
IMAGES = "tests/images"
#: And `make browser-test` these.
BROWSER = "tests/browser"
LEFT_OUT = tuple(f"--ignore={path}" for path in (TERRAFORM, MONITORING, IMAGES, BROWSER))
#: What depends on how a database behaves.
DATABASE = (
    "tests/cpsite/audit",
    "tests/validator/test_idempotency.py",
    "tests/cpsite/web/test_admin_login.py",
    "tests/pipelines/test_migrations.py",
)


def _run(*command: str, environment: Mapping[str, str] | None = None) -> None:
    status = subprocess.call(
        [sys.executable, "-m", *command], env={**os.environ, **(environment or {})}
    )
    if status:
        sys.exit(status)


def _pytest(title: str, *arguments: str, database_url: str = "") -> None:
    print(f"\n== {title}", flush=True)
    _run(
        *("coverage", "run", "-m", "pytest", "-q", "-n", "3", *arguments),
        environment={"DATABASE_URL": database_url},
    )


def main() -> None:
    _run("coverage", "erase")
    binaries = postgresql.find_binaries()
    if binaries is None:
        if os.environ.get("CI"):
            sys.exit("CI needs PostgreSQL's initdb and pg_ctl (Debian: postgresql)")
        _pytest(
            "everything on SQLite, as PostgreSQL's initdb is not installed here",
            "tests",
            *LEFT_OUT,
        )
    else:
        _pytest("SQLite", "tests", f"--ignore={SERVICES}", *LEFT_OUT)
        with postgresql.server(binaries) as url:
            _pytest("PostgreSQL", *DATABASE, SERVICES, database_url=url)
    _run("coverage", "combine", "--quiet")
    _run("coverage", "report")


if __name__ == "__main__":
    main()
