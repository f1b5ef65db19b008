"""What schema.py takes for "migrations are lacking" is what Django really prints and returns."""

import os
import subprocess
import sys
from pathlib import Path

from deploy import schema

from cpsite.settings import BASE_DIR


def look(database: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *schema._LOOK[1:]],
        cwd=BASE_DIR,
        env=os.environ | {"DATABASE_URL": f"sqlite:///{database}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_empty_database_lacks_some(tmp_path: Path) -> None:
    looked = look(tmp_path / "empty.sqlite3")

    assert looked.returncode == 1
    assert schema._LACKS_SOME in looked.stdout.splitlines()
    assert "audit.0001_initial" in looked.stdout


def test_a_migrated_database_lacks_none(tmp_path: Path) -> None:
    database = tmp_path / "migrated.sqlite3"
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--noinput"],
        cwd=BASE_DIR,
        env=os.environ | {"DATABASE_URL": f"sqlite:///{database}"},
        check=True,
        stdout=subprocess.DEVNULL,
    )

    assert look(database).returncode == 0


def test_a_database_that_is_away_is_something_else() -> None:
    url = "postgresql://nobody:x@127.0.0.1:1/none"
    looked = subprocess.run(
        [sys.executable, *schema._LOOK[1:]],
        cwd=BASE_DIR,
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )

    assert looked.returncode == 1
    assert schema._LACKS_SOME not in looked.stdout + looked.stderr
