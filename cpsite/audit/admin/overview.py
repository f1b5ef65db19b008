"""The last day of the audit log in figures: events by kind for each hour, and by reason.

Each figure counts at most COUNT_LIMIT rows, through an index, so that the page costs the same for a
log of any size and under any load. Metrics have the exact rates.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from django.core.cache import cache
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from cpsite.audit.access import Access
from cpsite.audit.admin import marks
from cpsite.audit.admin.display import badge, hour_url, reason_link
from cpsite.audit.admin.filters import values_of
from cpsite.audit.admin.sparkline import sparkline
from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.scope import WHY, holds_all_messages, recorded_kinds
from cpsite.audit.unstored import Waiting, find_waiting
from cpsite.moments import whole_second

#: Hours in the overview, the last of which ends now.
HOURS: Final = 24
#: Rows that one figure counts. More are shown as "10,000+".
COUNT_LIMIT: Final = 10_000
#: Seconds for which a process caches the figures.
CACHE_SECONDS: Final = 10

_CACHE_KEY: Final = "audit-overview"


@dataclass(frozen=True, slots=True)
class Count:
    """A number of events. With `is_bounded`, there are or may be more."""

    number: int
    is_bounded: bool

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.is_bounded else ''}"


@dataclass(frozen=True, slots=True)
class KindCounts:
    """The events of one kind. `hours` begins with the oldest hour."""

    kind: Kind
    hours: tuple[Count, ...]

    @property
    def last_hour(self) -> Count:
        return self.hours[-1]

    @property
    def day(self) -> Count:
        return Count(
            sum(hour.number for hour in self.hours), any(hour.is_bounded for hour in self.hours)
        )


@dataclass(frozen=True, slots=True)
class Overview:
    """What happened in the HOURS before `at`. `reasons` begins with the most frequent one.

    `waiting` is None where the audit log holds no accepted messages.
    """

    at: datetime
    kinds: tuple[KindCounts, ...]
    reasons: tuple[tuple[str, Count], ...]
    waiting: Waiting | None

    @property
    def hours(self) -> list[tuple[datetime, list[Count]]]:
        """The start of each hour, the last hour first, with its figure for each kind."""
        rows = [
            (self.at - timedelta(hours=HOURS - index), [kind.hours[index] for kind in self.kinds])
            for index in range(HOURS)
        ]
        return rows[::-1]


def read_overview() -> Overview:
    """Return the figures, up to CACHE_SECONDS old. Raises Django's database errors."""
    overview: Overview | None = cache.get(_CACHE_KEY)
    if overview is None:
        overview = _read(timezone.now())
        cache.set(_CACHE_KEY, overview, CACHE_SECONDS)
    return overview


def _read(now: datetime) -> Overview:
    # A whole second, as the filter by time has it: each figure links to its events.
    end = whole_second(now)
    hours = [end - timedelta(hours=HOURS - index) for index in range(HOURS + 1)]
    spans = list(pairwise(hours))
    kinds = recorded_kinds()
    reasons = [reason for reason in values_of("reason") if reason not in set(Access)]
    counts = _count(
        [
            *(_events(*span, kind=kind) for kind in kinds for span in spans),
            *(_events(hours[0], end, reason=reason) for reason in reasons),
        ]
    )
    of_kinds, of_reasons = counts[: len(kinds) * HOURS], counts[len(kinds) * HOURS :]
    return Overview(
        at=end,
        kinds=tuple(
            KindCounts(kind, tuple(of_kinds[index * HOURS : (index + 1) * HOURS]))
            for index, kind in enumerate(kinds)
        ),
        reasons=_occurring(dict(zip(reasons, of_reasons, strict=True))),
        waiting=find_waiting(now) if holds_all_messages() else None,
    )


def _events(start: datetime, end: datetime, **about: str) -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(occurred_at__gte=start, occurred_at__lt=end, **about)


def _occurring(reasons: Mapping[str, Count]) -> tuple[tuple[str, Count], ...]:
    found = [(reason, count) for reason, count in reasons.items() if count.number]
    return tuple(sorted(found, key=lambda pair: -pair[1].number))


def _count(questions: Sequence[QuerySet[AuditEvent]]) -> list[Count]:
    """Count the rows of each query, all in one statement."""
    parts: list[str] = []
    parameters: list[Any] = []
    for number, events in enumerate(questions):
        # One more than is shown, to know whether there are more.
        bounded = events.order_by().values("id")[: COUNT_LIMIT + 1]
        sql, values = bounded.query.sql_with_params()
        parts.append(f"SELECT {number}, COUNT(*) FROM ({sql}) AS rows_{number}")  # noqa: S608
        parameters += values
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), parameters)
        found = dict(cursor.fetchall())
    return [
        Count(min(found[number], COUNT_LIMIT), found[number] > COUNT_LIMIT)
        for number in range(len(questions))
    ]


def context() -> dict[str, Any]:
    """Return what the template `admin/audit/overview.html` shows."""
    overview = read_overview()
    of_hour = {counts.kind: counts.last_hour for counts in overview.kinds}
    of_day = {counts.kind: counts.day for counts in overview.kinds}
    return {
        "overview": overview,
        "kinds": [
            {
                "kind": counts.kind,
                "badge": badge(counts.kind),
                "last_hour": counts.last_hour,
                "hour_mark": _mark(counts.kind, of_hour),
                "day": counts.day,
                "day_mark": _mark(counts.kind, of_day),
                "most": f"{max(hour.number for hour in counts.hours):,}".removeprefix("0"),
                "chart": sparkline(counts.kind, [hour.number for hour in counts.hours]),
            }
            for counts in overview.kinds
        ],
        "reasons": [
            (reason_link(reason, since="24h"), str(number)) for reason, number in overview.reasons
        ],
        "hours": list(_hours(overview)),
        "kind_names": [counts.kind.value for counts in overview.kinds],
        "not_recorded": "" if overview.waiting else WHY,
    }


def _hours(overview: Overview) -> Iterator[tuple[datetime, list[tuple[Count, str, str]]]]:
    """Yield the start of each hour, and of each kind its figure, its events' address, its name."""
    kinds = [counts.kind.value for counts in overview.kinds]
    for start, counts in overview.hours:
        urls = [
            hour_url(start, kind__exact=kind) if count.number else ""
            for kind, count in zip(kinds, counts, strict=True)
        ]
        yield start, list(zip(counts, urls, kinds, strict=True))


def _mark(kind: Kind, counts: Mapping[Kind, Count]) -> str:
    """Return the mark of a figure that is bad, or nothing."""
    accepted = counts.get(Kind.ACCEPTED)
    if kind is Kind.REFUSED and accepted and accepted.is_bounded:
        return ""  # of what was not counted to its end no share is known
    return marks.of_kind(kind, {each: count.number for each, count in counts.items()})
