"""The table of before becomes one by day, while the version before goes on writing to it."""

import os
import subprocess
import sys
import uuid

import psycopg
import pytest
from django.db import connection

from tests.waiting import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow(reason="starts many processes"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no partitions"),
]
#: Does what STEP names, and is interrupted before the first statement, the second one and so on.
INTERRUPTED = """
import os
from importlib import import_module
from itertools import count
from cpsite.audit import partitions
migration = import_module("cpsite.audit.migrations.0009_days")
index = import_module("cpsite.audit.migrations.0011_batch_keys")
steps = {
    "split": lambda: migration.split_by_day(None, None),
    "index": lambda: partitions.build_index_of_all(index.NAME, index.BATCHES),
}
run = partitions.run
class Interrupted(BaseException): pass
for statements in count(1):
    left = iter(range(statements))
    def run_some(statement):
        if next(left, None) is None and "advisory" not in statement:
            raise Interrupted
        run(statement)
    partitions.run = migration.run = run_some
    try:
        steps[os.environ["STEP"]]()
        break
    except Interrupted:
        pass
print("tries", statements)
"""


#: Inserts as the version before does, by the model and with ids returned, until its input ends.
#: Prints the id and the message of what is committed. First comes what is older, and what two
#: clocks have written that were far ahead.
WRITER = """
import sys, threading, uuid
from datetime import UTC, datetime, timedelta
from cpsite.audit.models import AuditEvent, Kind
now = datetime.now(UTC)
def write(*moments):
    some = [
        AuditEvent(kind=Kind.STORED, message_id=uuid.uuid4(), client="billing", occurred_at=moment)
        for moment in moments
    ]
    AuditEvent.objects.bulk_create(some)
    for each in some:
        print(each.pk, each.message_id)
    sys.stdout.flush()
write(now + timedelta(days=3), datetime(2999, 1, 1, tzinfo=UTC))
write(*(now - timedelta(days=100, seconds=number) for number in range(3_000)))
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set())).start()
while not ended.is_set():
    write(*(datetime.now(UTC) + timedelta(hours=hours) for hours in (0, 0, 1, 20)))
"""


@pytest.fixture
def database():
    """Make a database of the version before; return its URL."""
    name = f"days_{uuid.uuid4().hex[:8]}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    settings = connection.settings_dict
    host = settings["HOST"] or settings["OPTIONS"].get("host", "")
    url = f"postgresql://{settings['USER']}@/{name}?host={host}"
    manage(url, "migrate", "audit", "0008", "--verbosity", "0")
    yield url
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def manage(url, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env={**os.environ, "DATABASE_URL": url, **environment},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


class Writer:
    """Writes from another process until the block ends."""

    def __init__(self, url, file):
        self._url, self._file = url, file

    def written(self):
        whole, _, _ = self._file.read_text().rpartition("\n")
        pairs = [line.split() for line in whole.splitlines()]
        return [(int(pk), uuid.UUID(message_id)) for pk, message_id in pairs]

    def __enter__(self):
        with self._file.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "shell", "--verbosity", "0", "--command", WRITER],
                env={**os.environ, "DATABASE_URL": self._url},
                stdin=subprocess.PIPE,
                stdout=output,
            )
        self._wait_for_more(3_002)
        return self

    def _wait_for_more(self, number):
        has_ended = self._process.poll
        wait_for(
            lambda: has_ended() is not None or len(self.written()) > number, "events", seconds=60
        )

    def __exit__(self, *_exception):
        self._wait_for_more(len(self.written()))
        self._process.communicate()
        assert self._process.returncode == 0


@pytest.fixture
def writer(database, tmp_path):
    return Writer(database, tmp_path / "written")


def rows(url, query):
    with psycopg.connect(url) as database:
        return database.execute(query).fetchall()


def assert_by_day(url, written):
    """Everything that was written is there, under its id, in a table that has all its indexes."""
    assert sorted(rows(url, "SELECT id, message_id FROM audit_auditevent")) == sorted(written)
    assert rows(url, "SELECT relkind FROM pg_class WHERE relname = 'audit_auditevent'") == [("p",)]
    bounds = dict(
        rows(
            url,
            "SELECT relname, pg_get_expr(relpartbound, oid) FROM pg_class WHERE relispartition "
            "AND relkind = 'r'",
        )
    )
    days = sum(name.startswith("audit_auditevent_2") for name in bounds)
    assert days >= 5
    assert bounds["audit_auditevent_earlier"].startswith("FOR VALUES FROM (MINVALUE)")
    assert bounds["audit_auditevent_later"].endswith("TO (MAXVALUE)")
    assert len(bounds) == days + 2
    (of_parent,) = rows(
        url, "SELECT COUNT(*) FROM pg_index WHERE indrelid = to_regclass('audit_auditevent')"
    )[0]
    indexes = rows(
        url,
        "SELECT relname, COUNT(*), bool_and(indisvalid) FROM pg_index "
        "JOIN pg_class ON pg_class.oid = indrelid "
        "WHERE relispartition AND NOT indisprimary GROUP BY 1",
    )
    assert {(number, is_valid) for _name, number, is_valid in indexes} == {(of_parent, True)}
    checks = rows(
        url,
        "SELECT DISTINCT conname FROM pg_constraint WHERE contype = 'c' AND conname LIKE 'audit%'",
    )
    assert {name for (name,) in checks} == {
        f"audit_auditevent_{column}_check" for column in ("attempts", "duration_ms", "row_count")
    }
    # The sequence goes on, and is found where Django and COPY look for it.
    (following,) = rows(url, "SELECT nextval(pg_get_serial_sequence('audit_auditevent', 'id'))")[0]
    assert following > max(pk for pk, _ in written)


def test_nothing_is_lost_while_others_write(database, writer):
    with writer:
        manage(database, "migrate", "--verbosity", "0")
    assert_by_day(database, writer.written())


def test_an_interrupted_migration_goes_on(database, writer):
    with writer:
        tries = interrupt(database, "split")
        manage(database, "migrate", "--verbosity", "0")
    assert tries > 20
    assert_by_day(database, writer.written())


def test_an_index_of_all_days_is_built_while_others_write(database, writer):
    manage(database, "migrate", "audit", "0010", "--verbosity", "0")
    with writer:
        tries = interrupt(database, "index")
        manage(database, "migrate", "--verbosity", "0")
    assert tries > 5
    assert_by_day(database, writer.written())


def test_an_index_whose_building_was_interrupted_is_built_anew(database, writer):
    """As PostgreSQL leaves it behind."""
    manage(database, "migrate", "audit", "0010", "--verbosity", "0")
    with writer:
        pass
    name = "audit_object_key_later"
    with psycopg.connect(database) as session:
        session.execute(f"CREATE INDEX {name} ON audit_auditevent_later (kind)")
        session.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [name]
        )
    manage(database, "migrate", "--verbosity", "0")
    ((definition,),) = rows(database, f"SELECT pg_get_indexdef('{name}'::regclass)")
    assert "(object_key)" in definition
    assert_by_day(database, writer.written())


def interrupt(url, step):
    """Do a step that is interrupted again and again; return how often it was begun."""
    tries = manage(url, "shell", "--verbosity", "0", "--command", INTERRUPTED, STEP=step)
    return int(tries.split()[-1])


def test_the_version_before_works_with_it_after_a_rollback(database, writer):
    manage(database, "migrate", "--verbosity", "0")
    manage(database, "migrate", "audit", "0008", "--verbosity", "0")
    with writer:
        manage(database, "migrate", "--verbosity", "0")
    assert_by_day(database, writer.written())


def test_what_others_may_do_is_kept(database):
    with psycopg.connect(database, autocommit=True) as session:
        role = f"reader_{uuid.uuid4().hex[:8]}"
        session.execute(f"CREATE ROLE {role}")
        try:
            session.execute(f"GRANT SELECT, INSERT ON audit_auditevent TO {role}")
            session.execute(f"GRANT USAGE ON audit_auditevent_id_seq TO {role}")
            session.execute("GRANT SELECT ON audit_auditevent TO PUBLIC")
            manage(database, "migrate", "--verbosity", "0")
            session.execute(f"SET ROLE {role}")
            session.execute(
                "INSERT INTO audit_auditevent (occurred_at, kind, client, reason, object_key, "
                "payload_sha256) VALUES (now(), 'stored', '', '', '', '')"
            )
            assert session.execute("SELECT COUNT(*) FROM audit_auditevent").fetchall() == [(1,)]
        finally:
            session.execute("RESET ROLE")
            session.execute(f"DROP OWNED BY {role}")
            session.execute(f"DROP ROLE {role}")
