"""What each client sends, and what becomes of it, in the last hour and the last day.

Of each client the newest events are read, a bounded number, so that a page costs the same for a log
of any size. Where a client has more of them in a day, its figures are lower bounds.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime

from cpsite.audit.models import AuditEvent, Kind

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(hours=24)
#: Hours in the course of a client's refusals, the last of which ends now.
HOURS: Final = 24
#: Events of a client that are read, on a page of many clients and on its own.
EVENTS_OF_MANY: Final = 2_000
EVENTS_OF_ONE: Final = 10_000
#: Newest events of a client without a request of late, among which its last request is looked for.
EVENTS_OF_SILENT: Final = 1_000
#: What a client, or cpsite for it, has done. Who redrives or reads is an operator.
KINDS: Final = (Kind.ACCEPTED, Kind.REFUSED, Kind.STORED, Kind.FAILED)


@dataclass(slots=True)
class Figures:
    """How many events there were of each kind, and of each reason of a refusal or a failure."""

    kinds: dict[str, int] = field(default_factory=lambda: dict.fromkeys(map(str, KINDS), 0))
    #: Kind and reason → number.
    reasons: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, kind: str, reason: str, number: int) -> None:
        if number:
            self.kinds[kind] = self.kinds.get(kind, 0) + number
            if reason:
                self.reasons[kind, reason] = self.reasons.get((kind, reason), 0) + number


@dataclass(slots=True)
class Activity:
    """What one client, or one address of requests without a known client, has caused.

    With `is_bounded` there is more than was read: figures are lower bounds, `hour` too if what was
    read, back to `read_since`, is less than an hour.
    """

    name: str
    hour: Figures = field(default_factory=Figures)
    day: Figures = field(default_factory=Figures)
    #: Its last request, accepted or refused.
    last_seen: datetime | None = None
    read_since: datetime | None = None
    is_bounded: bool = False

    def add(self, row: "_Row") -> None:
        self.hour.add(row.kind, row.reason, row.hour)
        self.day.add(row.kind, row.reason, row.day)
        if row.kind in {Kind.ACCEPTED, Kind.REFUSED}:
            self.last_seen = max(row.last, self.last_seen or row.last)
        self.read_since = min(row.first, self.read_since or row.first)


@dataclass(frozen=True, slots=True)
class Refusals:
    """The refused requests of a client in the HOURS before `at`, hour by hour, the oldest first.

    Those from before `read_since` were not read, unless it is None.
    """

    at: datetime
    #: Reason → number in each hour.
    reasons: dict[str, list[int]]
    read_since: datetime | None

    @property
    def hours(self) -> list[int]:
        """The number in each hour, for whatever reason."""
        return [sum(numbers) for numbers in zip([0] * HOURS, *self.reasons.values(), strict=True)]

    def starts(self) -> list[datetime]:
        """The moment with which each hour begins."""
        return [self.at - HOUR * (HOURS - index) for index in range(HOURS)]


@dataclass(frozen=True, slots=True)
class _Row:
    """The events of one owner, kind and reason: numbers in an hour and a day, first and last."""

    owner: str
    kind: str
    reason: str
    hour: int
    day: int
    first: datetime
    last: datetime


def read_clients(names: Sequence[str], now: datetime, *, limit: int) -> list[Activity]:
    """Return the activity of clients, in the order of their names.

    Reads up to `limit` events of each. Raises Django's database errors.
    """
    found = {name: Activity(name) for name in names}
    numbers: dict[str, int] = defaultdict(int)
    of_each = [
        # Not by kind: the index has clients by time.
        (name, AuditEvent.objects.filter(client=name, occurred_at__gte=now - DAY))
        for name in names
    ]
    for row in _rows(of_each, now - HOUR, limit, owner="client"):
        if row.kind in KINDS:
            found[row.owner].add(row)
        numbers[row.owner] += row.day
    for name, activity in found.items():
        activity.is_bounded = numbers[name] == limit
    return list(found.values())


def find_last_requests(activities: Sequence[Activity], *, limit: int) -> None:
    """Set `last_seen` of the clients without one, however long ago it was.

    Reads up to `limit` events of each. Where all of these are of what cpsite did later with its
    messages, the last request is the acceptance that they name. Raises Django's database errors.
    """
    silent = {each.name: each for each in activities if each.last_seen is None}
    if not silent:
        return
    # One statement with one inner query, however many clients: to plan one for each takes longer.
    names = " UNION ALL ".join(["SELECT %s AS name"] * len(silent))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, (SELECT MAX(CASE WHEN kind IN (%s, %s) THEN occurred_at "  # noqa: S608
            "ELSE accepted_at END) FROM (SELECT kind, occurred_at, accepted_at "
            "FROM audit_auditevent WHERE client = silent.name "
            f"ORDER BY occurred_at DESC, id DESC LIMIT %s) AS newest) FROM ({names}) AS silent",
            [Kind.ACCEPTED.value, Kind.REFUSED.value, limit, *silent],
        )
        for name, last in cursor.fetchall():
            silent[name].last_seen = _moment(last) if last else None


def read_refusals(name: str, now: datetime, *, limit: int) -> Refusals:
    """Return the course of a client's refusals, from its newest `limit` events of the day.

    Raises Django's database errors.
    """
    # Not by kind, as above.
    newest = AuditEvent.objects.filter(client=name, occurred_at__gte=now - DAY)
    rows = list(newest.values_list("occurred_at", "kind", "reason")[:limit])
    reasons: dict[str, list[int]] = defaultdict(lambda: [0] * HOURS)
    for moment, kind, reason in rows:
        if kind == Kind.REFUSED:
            # Another process's clock may be ahead of ours.
            hours_ago = min(max(0, (now - moment) // HOUR), HOURS - 1)
            reasons[reason][HOURS - 1 - hours_ago] += 1
    return Refusals(now, dict(reasons), rows[-1][0] if len(rows) == limit else None)


def read_addresses(now: datetime, *, limit: int) -> list[Activity]:
    """Return the activity of the addresses of requests without a known client, worst first.

    Reads up to `limit` events of all of them. Raises Django's database errors.
    """
    refused = AuditEvent.objects.filter(
        client="", kind=Kind.REFUSED, source_ip__isnull=False, occurred_at__gte=now - DAY
    )
    found: dict[str, Activity] = {}
    number = 0
    for row in _rows([("", refused)], now - HOUR, limit, owner="source_ip"):
        found.setdefault(row.owner, Activity(row.owner)).add(row)
        number += row.day
    for activity in found.values():
        activity.is_bounded = number == limit
    return sorted(found.values(), key=lambda each: -each.day.kinds[Kind.REFUSED])


def _rows(
    of_each: Sequence[tuple[str, QuerySet[AuditEvent]]], hour_ago: datetime, limit: int, owner: str
) -> Iterable[_Row]:
    """Group the newest `limit` events of each query by owner, kind and reason, in one statement."""
    if not of_each:
        return
    parts: list[str] = []
    parameters: list[Any] = []
    since = connection.ops.adapt_datetimefield_value(hour_ago)
    for number, (_, events) in enumerate(of_each):
        newest = events.order_by("-occurred_at", "-id")
        bounded = newest.values(owner, "kind", "reason", "occurred_at")[:limit]
        sql, values = bounded.query.sql_with_params()
        parts.append(
            f"SELECT {owner}, kind, reason, SUM(CASE WHEN occurred_at >= %s THEN 1 ELSE 0 END), "  # noqa: S608
            f"COUNT(*), MIN(occurred_at), MAX(occurred_at) FROM ({sql}) AS rows_{number} "
            f"GROUP BY {owner}, kind, reason"
        )
        parameters += [since, *values]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), parameters)
        for name, kind, reason, hour, day, first, last in cursor.fetchall():
            yield _Row(str(name), kind, reason, int(hour), day, _moment(first), _moment(last))


def _moment(value: Any) -> datetime:
    """Return a time as the database gives it: SQLite's are texts in UTC."""
    moment = value if isinstance(value, datetime) else parse_datetime(value)
    if moment is None:
        raise ValueError("not a time of the database")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
