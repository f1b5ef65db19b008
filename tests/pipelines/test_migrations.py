"""Each migration leaves the database fit for the version that still serves while it runs.

django-migration-linter reads the SQL that PostgreSQL would get: CONTRIBUTING.md, Migrations.
`make test-slow` runs this on PostgreSQL; SQLite's SQL, which remakes tables, says nothing.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django_migration_linter import MigrationLinter

#: Second halves: what takes away what no released version uses any more, and since which one.
CONTRACTS: dict[tuple[str, str], str] = {}

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL's SQL"),
]

_SECOND = """
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("validator", "0001_initial")]
    atomic = {atomic}
    operations = [{operation}]
"""
_FIRST = """
import importlib
Migration = importlib.import_module("validator.migrations.0001_initial").Migration
"""


def lint(app: str, name: str) -> MigrationLinter:
    linter = MigrationLinter(database="default", no_cache=True, all_warnings_as_errors=True)
    linter.lint_all_migrations(app_label=app, migration_name=name)
    assert linter.nb_total == 1
    return linter


def ours() -> list[tuple[str, str]]:
    """Return all migrations of our apps, as app and name."""
    packages = ("cpsite", "uploader", "validator")
    labels = {one.label for one in apps.get_app_configs() if one.name.split(".")[0] in packages}
    return sorted(one for one in MigrationLoader(None).disk_migrations if one[0] in labels)


# An index is not made concurrently inside a transaction, and not even planned there.
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("app", "name"), ours())
def test_the_version_before_goes_on(
    app: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if (app, name) in CONTRACTS:
        pytest.skip(f"contracts: {CONTRACTS[app, name]}")

    assert not lint(app, name).has_errors, capsys.readouterr().out


def test_all_three_apps_are_looked_at() -> None:
    assert {app for app, _name in ours()} == {"audit", "uploader", "validator"}


def test_contracts_name_migrations_that_exist() -> None:
    assert CONTRACTS.keys() <= set(ours())


@pytest.fixture
def second(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Write a second migration of the validator's, and lint it."""

    def write(operation: str, *, atomic: bool = True) -> MigrationLinter:
        directory = tmp_path / "second_migrations"
        directory.mkdir()
        (directory / "__init__.py").touch()
        (directory / "0001_initial.py").write_text(_FIRST)
        (directory / "0002_second.py").write_text(
            _SECOND.format(operation=operation, atomic=atomic)
        )
        settings.MIGRATION_MODULES = {"validator": "second_migrations"}
        return lint("validator", "0002_second")

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    for name in [name for name in sys.modules if name.startswith("second_migrations")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ("migrations.RemoveField('IdempotencyRecord', 'client')", "DROPPING columns"),
        ("migrations.DeleteModel('IdempotencyRecord')", "DROPPING table"),
        (
            "migrations.RenameField('IdempotencyRecord', 'client', 'owner')",
            "RENAMING columns",
        ),
        ("migrations.RenameModel('IdempotencyRecord', 'Key')", "RENAMING tables"),
        (
            "migrations.AddField('IdempotencyRecord', 'a', models.IntegerField(default=1))",
            "NOT NULL constraint on columns",
        ),
        (
            "migrations.AlterField('IdempotencyRecord', 'client', models.IntegerField())",
            "ALTERING columns",
        ),
        (
            (
                "migrations.AddConstraint('IdempotencyRecord', "
                "models.UniqueConstraint(fields=['message_id'], name='one'))"
            ),
            "ADDING unique constraint",
        ),
        (
            (
                "migrations.AddIndex('IdempotencyRecord', "
                "models.Index(fields=['message_id'], name='ix'))"
            ),
            "CREATE INDEX locks table",
        ),
        (
            "migrations.RunPython(lambda apps, editor: None)",
            "not reversible",
        ),
    ],
)
def test_what_would_hurt_it_is_found(
    second: Any, operation: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert second(operation).has_errors
    assert said in capsys.readouterr().out


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("operation", "atomic"),
    [
        (
            "migrations.AddField('IdempotencyRecord', 'a', models.IntegerField(null=True))",
            True,
        ),
        (
            (
                "migrations.AddField('IdempotencyRecord', 'a', "
                "models.IntegerField(default=1, db_default=1))"
            ),
            True,
        ),
        (
            (
                "AddIndexConcurrently('IdempotencyRecord', "
                "models.Index(fields=['message_id'], name='ix'))"
            ),
            False,
        ),
    ],
)
def test_what_expands_passes(
    second: Any, operation: str, atomic: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not second(operation, atomic=atomic).has_errors, capsys.readouterr().out
