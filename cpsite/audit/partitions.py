"""The days of the audit table: its partitions on PostgreSQL (docs/adr/0027). SQLite has none.

They follow each other without a gap, so that no event is refused, whatever time it claims:

    audit_auditevent_earlier    what is from before the first day
    audit_auditevent_20261126   a day in UTC, or a week from then on where days have few events
    audit_auditevent_later      what is from after the last day

What locks the table takes milliseconds. Where it would wait for longer than LOCK_SECONDS it gives
up, so that writers and readers go on, and tries again.
"""

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

TABLE: Final = "audit_auditevent"
EARLIER: Final = f"{TABLE}_earlier"
LATER: Final = f"{TABLE}_later"
#: Becomes LATER when that is closed; until then it has the events from after the end.
NEXT: Final = f"{TABLE}_next"
DAY: Final = timedelta(days=1)
#: Days that are made in advance, today's included, and the least number without which more are.
DAYS_AHEAD: Final = 7
LEAST_AHEAD: Final = 3
#: A query of many partitions takes long to plan, some 10 ms of CPU for a hundred. So where days
#: have fewer events than this, partitions are of a week.
FEW_A_DAY: Final = 1_000_000
WEEK: Final = 7 * DAY
#: Seconds that a change waits for a lock; whoever comes meanwhile waits behind it. Longer than
#: PostgreSQL takes to cancel an autovacuum that is in the way (deadlock_timeout, 1 s).
LOCK_SECONDS: Final = 2
#: How often a change is tried, and seconds between two tries.
TRIES: Final = 60
PAUSE: Final = 1.0
#: Key of PostgreSQL's advisory lock: one session at a time changes partitions.
_ADVISORY_KEY: Final = 0x6175646974
#: lock_not_available, deadlock_detected
_LOCKED: Final = frozenset(("55P03", "40P01"))
_BOUNDS: Final = re.compile(
    r"FOR VALUES FROM \((?:MINVALUE|'([^']+)')\) TO \((?:MAXVALUE|'([^']+)')\)"
)
#: The name of the constraint by which a table is closed has the day that it ends before.
_CLOSED: Final = re.compile(r"audit_closed_([0-9]{8})")

_T = TypeVar("_T")


class BusyError(Exception):
    """Another session changes partitions."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of the table: the events from `start` on and before `end`. None is unbounded."""

    name: str
    start: datetime | None
    end: datetime | None
    #: About how many events it holds, by PostgreSQL's statistics; -1 where they do not say.
    estimate: int


def read_partitions() -> list[Partition]:
    """Return the partitions, the earliest first; none where the table has none."""
    if connection.vendor != "postgresql":
        return []
    rows = _rows(
        "SELECT relname, pg_get_expr(relpartbound, pg_class.oid), reltuples FROM pg_inherits "
        "JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = to_regclass(%s)",
        TABLE,
    )
    return sorted((_partition(*row) for row in rows), key=lambda each: each.start or _FIRST)


_FIRST: Final = datetime.min.replace(tzinfo=UTC)


def _partition(name: str, text: str, estimate: float) -> Partition:
    match = _BOUNDS.fullmatch(text)
    if match is None:
        raise ValueError(f"{name} is no partition by time: {text}")
    start, end = (_moment(each) if each else None for each in match.groups())
    return Partition(name, start, end, int(estimate))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def count_events(partition: Partition) -> int:
    """Return about how many events a partition holds: exactly, if the statistics know of none."""
    if partition.estimate > 0:
        return partition.estimate
    return int(_rows(f"SELECT COUNT(*) FROM {partition.name}")[0][0])  # noqa: S608 - our name


def ensure_ahead(now: datetime | None = None, *, tries: int = TRIES) -> int:
    """Make the days to come where fewer than LEAST_AHEAD are there. Return how many were made.

    Raises BusyError while another session changes partitions, and Django's database errors.
    """
    today = midnight(now or timezone.now())
    if not _lacks_days(today + LEAST_AHEAD * DAY):
        return 0
    with alone():
        made = 0
        while _lacks_days(today + DAYS_AHEAD * DAY):
            made += _make_days(today, tries)
        return made


def _lacks_days(until: datetime) -> bool:
    """Return whether the table has days, but not up to that time."""
    found = read_partitions()
    return bool(found) and _start_of(found[-1]) < until


def _start_of(later: Partition) -> datetime:
    if later.start is None:
        raise ValueError("the table has one partition alone")
    return later.start


def _make_days(today: datetime, tries: int) -> int:
    """Make days up to DAYS_AHEAD, or one partition of what LATER holds. Return how many."""
    start, length = _start_of(read_partitions()[-1]), _length(today)
    number = math.ceil((today + DAYS_AHEAD * DAY - start) / length)
    starts = [start + index * length for index in range(number)]
    if _closed_at(LATER) is None and not _has_events(LATER, before=starts[-1] + length):
        try:
            briefly(lambda: _add(starts, length), tries)
        except IntegrityError:
            pass  # one of these days has got an event meanwhile
        else:
            return number
    close(LATER, at=max(start + DAY, today + 2 * DAY), tries=tries)
    briefly(lambda: _replace_later(start), tries)
    return 1


def _length(today: datetime) -> timedelta:
    """Return how long new partitions are, by how many events a day the last full one has."""
    for each in reversed(read_partitions()):
        if each.start and each.end and each.end <= today:
            is_few = count_events(each) / ((each.end - each.start) / DAY) < FEW_A_DAY
            return WEEK if is_few else DAY
    return DAY


def _add(starts: Sequence[datetime], length: timedelta) -> None:
    """Make partitions, one after the other, of times of which LATER has no event."""
    run(f"ALTER TABLE {TABLE} DETACH PARTITION {LATER}")
    for start in starts:
        run(f"CREATE TABLE {name_of(start)} PARTITION OF {TABLE} {bounds(start, start + length)}")
    attach(LATER, starts[-1] + length, None)


def close(table: str, *, at: datetime, tries: int = TRIES) -> datetime:
    """Let `table` have no event from `at` on, while others write to it. Return that time.

    A table that holds such events, whose clocks were wrong, gives them to NEXT. If an earlier call
    was interrupted, its time holds. Then PostgreSQL reads the table, without a lock that others
    would notice, so that it need not read it when the table is attached.
    """
    if (closed := _closed_at(table)) is None:
        briefly(lambda: _give_to_next(table, at), tries)
        closed = at
    run(f"ALTER TABLE {table} VALIDATE CONSTRAINT {_constraint_of(closed)}")
    return closed


def _give_to_next(table: str, at: datetime) -> None:
    run(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    run(f"CREATE TABLE {NEXT} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    run(
        f"WITH given AS (DELETE FROM {table} WHERE occurred_at >= '{at}' RETURNING *) "  # noqa: S608
        f"INSERT INTO {NEXT} SELECT * FROM given"
    )
    run(
        f"ALTER TABLE {table} ADD CONSTRAINT {_constraint_of(at)} "
        f"CHECK (occurred_at < '{at}') NOT VALID"
    )


def _closed_at(table: str) -> datetime | None:
    rows = _rows("SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass", table)
    for match in filter(None, (_CLOSED.fullmatch(name) for (name,) in rows)):
        return datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC)
    return None


def _constraint_of(end: datetime) -> str:
    return f"audit_closed_{end:%Y%m%d}"


def _replace_later(start: datetime) -> None:
    """Make a partition of its own of LATER, which was closed, and NEXT the new LATER."""
    closed, name = _closed_at(LATER), name_of(start)
    if closed is None:
        raise ValueError(f"{LATER} is not closed")
    run(f"ALTER TABLE {TABLE} DETACH PARTITION {LATER}")
    run(f"ALTER TABLE {LATER} RENAME TO {name}")
    attach_closed(name, start, closed)
    attach_next(closed)


def attach_closed(table: str, start: datetime | None, end: datetime) -> None:
    """Attach a table that was closed. If it is empty, it may end earlier than it was closed."""
    attach(table, start, end)
    if closed := _closed_at(table):
        run(f"ALTER TABLE {table} DROP CONSTRAINT {_constraint_of(closed)}")


def attach_next(start: datetime) -> None:
    """Make NEXT the new LATER."""
    run(f"ALTER TABLE {NEXT} RENAME TO {LATER}")
    attach(LATER, start, None)


def attach(table: str, start: datetime | None, end: datetime | None) -> None:
    run(f"ALTER TABLE {TABLE} ATTACH PARTITION {table} {bounds(start, end)}")


def expired(before: datetime) -> list[Partition]:
    """Return the partitions that hold events, all of them from before that time."""
    old = [each for each in read_partitions() if each.end and each.end <= before]
    return [each for each in old if each.start or _has_events(each.name)]


def end_of_rows(before: datetime) -> datetime | None:
    """Return up to which time events from before `before` are deleted one by one; None if none are.

    Whole partitions are dropped. A day stays until it is over; of a longer time, rows are deleted.
    """
    for each in read_partitions():
        if each.end is None or before < each.end:
            is_day = each.start and each.end and each.end - each.start <= DAY
            return None if is_day or before == each.start else before
    return before


def drop(partition: Partition) -> None:
    """Drop the oldest partition, and what is earlier. EARLIER then reaches up to its end."""
    briefly(lambda: _drop(partition))


def _drop(partition: Partition) -> None:
    if partition.name == EARLIER:
        run(f"TRUNCATE {EARLIER}")
        return
    run(f"DROP TABLE {EARLIER}, {partition.name}")
    run(f"CREATE TABLE {EARLIER} PARTITION OF {TABLE} {bounds(None, partition.end)}")


@contextmanager
def alone(tries: int = 1) -> Iterator[None]:
    """Change partitions as the only session. Raises BusyError while another one does so."""
    if connection.vendor != "postgresql":
        yield
        return
    while not _rows("SELECT pg_try_advisory_lock(%s)", _ADVISORY_KEY)[0][0]:
        tries -= 1
        if not tries:
            raise BusyError
        time.sleep(PAUSE)
    try:
        yield
    finally:
        run(f"SELECT pg_advisory_unlock({_ADVISORY_KEY})")


def briefly(change: Callable[[], _T], tries: int = TRIES) -> _T:
    """Do what locks the table, in one transaction, as soon as nobody is in the way for long."""
    while True:
        tries -= 1
        try:
            with transaction.atomic():
                run(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                return change()
        except OperationalError as exc:
            if getattr(exc.__cause__, "sqlstate", None) not in _LOCKED or not tries:
                raise
        time.sleep(PAUSE)


def build_index(table: str, name: str, columns: str, *, is_unique: bool = False) -> None:
    """Build an index of one table while others write. One that was interrupted is built anew.

    Raises Django's database errors. An interrupted CREATE INDEX CONCURRENTLY leaves an invalid
    index behind (PostgreSQL: "Building Indexes Concurrently").
    """
    found = _rows("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", name)
    if found == [(False,)]:
        run(f"DROP INDEX CONCURRENTLY {name}")
    unique = "UNIQUE" if is_unique else ""
    run(f"CREATE {unique} INDEX CONCURRENTLY IF NOT EXISTS {name} ON {table} USING {columns}")


def build_index_of_all(name: str, columns: str) -> None:
    """Build an index of the whole table, one partition after the other, while others write.

    It can be interrupted anywhere and run again. It waits for a session that changes partitions;
    raises BusyError if that takes longer than a minute, and Django's database errors.
    """
    with alone(TRIES):
        for each in read_partitions():
            build_index(each.name, f"{name}{each.name.removeprefix(TABLE)}", columns)
        # PostgreSQL takes those that are there ("CREATE INDEX", on partitioned tables), and builds
        # none: its lock is brief.
        briefly(lambda: run(f"CREATE INDEX IF NOT EXISTS {name} ON {TABLE} USING {columns}"))


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _rows(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters or None)
        return list(cursor.fetchall())


def _has_events(table: str, *, before: datetime | None = None) -> bool:
    where = f"WHERE occurred_at < '{before}'" if before else ""
    return bool(_rows(f"SELECT EXISTS (SELECT FROM {table} {where})")[0][0])  # noqa: S608


def bounds(start: datetime | None, end: datetime | None) -> str:
    first = f"'{start}'" if start else "MINVALUE"
    last = f"'{end}'" if end else "MAXVALUE"
    return f"FOR VALUES FROM ({first}) TO ({last})"


def name_of(day: datetime) -> str:
    return f"{TABLE}_{day:%Y%m%d}"


def midnight(moment: datetime) -> datetime:
    """Return the beginning of a moment's day, in UTC."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
