"""Messages that were accepted and are not stored, as far as the audit log knows.

No index can find missing events. So a scan reads the accepted events, newest first, and checks for
each whether its message was stored. One scan reads at most SCAN_LIMIT of them and returns where it
stopped, and the next one goes on there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, NamedTuple
from uuid import UUID

from django.db.models import QuerySet

from cpsite.audit.history import MessageHistory
from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.scope import demand_all_messages

#: How far back scans go.
WINDOW: Final = timedelta(hours=24)
#: Time within which a message is normally stored and its events are written.
GRACE: Final = timedelta(seconds=60)
#: By how much the clock of who stores a message may be behind that of who accepts it. A bound in
#: time spares PostgreSQL a look into each day that the log has.
SKEW: Final = timedelta(days=3)
#: Accepted events that one scan reads.
SCAN_LIMIT: Final = 5_000
#: Messages that one scan returns.
FOUND_LIMIT: Final = 100
_CHUNK: Final = 500


class Place(NamedTuple):
    """Where a scan stopped: the last event that it read."""

    occurred_at: datetime
    event_id: int


class _Accepted(NamedTuple):
    occurred_at: datetime
    id: int
    message_id: UUID | None
    client: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """What one scan found, newest first.

    It read `looked_at` accepted events, none from before `since`. `next_place` is where the next
    scan goes on, or None if nothing is left.
    """

    messages: tuple[MessageHistory, ...]
    looked_at: int
    since: datetime
    next_place: Place | None


@dataclass(frozen=True, slots=True)
class Unstored:
    """How many messages of a client are not stored, and when the oldest of them was accepted."""

    number: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class UnstoredByClient:
    """What one scan counted. Without `is_all` there is more than it read: older ones may exist."""

    clients: dict[str, Unstored]
    is_all: bool


def count_unstored(now: datetime, client: str | None = None) -> UnstoredByClient:
    """Count the unstored messages among the newest SCAN_LIMIT, of all clients or of one.

    Raises Django's database errors, or NotRecorded.
    """
    demand_all_messages()
    accepted = _read(now - WINDOW, now - GRACE, None, client)
    unstored = set(_not_stored(accepted, most=SCAN_LIMIT)[0])
    found: dict[str, Unstored] = {}
    for event in accepted:
        if event.message_id in unstored:
            before = found.get(event.client)
            found[event.client] = Unstored(before.number + 1 if before else 1, event.occurred_at)
    return UnstoredByClient(found, is_all=len(accepted) < SCAN_LIMIT)


def find_waiting(
    now: datetime,
    *,
    grace: timedelta = GRACE,
    place: Place | None = None,
    client: str | None = None,
) -> Waiting:
    """Scan for unstored messages accepted more than `grace` before `now`, from `place` on if given.

    With `client` only for that client's. Raises Django's database errors, or NotRecorded.
    """
    demand_all_messages()
    since = now - WINDOW
    accepted = _read(since, place.occurred_at if place else now - grace, place, client)
    found, looked_at = _not_stored(accepted, most=FOUND_LIMIT)
    is_all = looked_at == len(accepted) < SCAN_LIMIT
    last = None if is_all else accepted[looked_at - 1]
    return Waiting(
        messages=_histories(found, accepted[looked_at - 1].occurred_at if found else since),
        looked_at=looked_at,
        since=since,
        next_place=Place(last.occurred_at, last.id) if last else None,
    )


def _read(
    since: datetime, until: datetime, place: Place | None, client: str | None
) -> list[_Accepted]:
    """Return the newest accepted events of that time, at most SCAN_LIMIT, newest first."""
    events = AuditEvent.objects.filter(
        kind=Kind.ACCEPTED,
        message_id__isnull=False,
        occurred_at__gte=since,
        occurred_at__lte=until,
    )
    if client is not None:
        events = events.filter(client=client)
    if place:
        events = events.exclude(occurred_at=place.occurred_at, id__gte=place.event_id)
    rows = events.values_list("occurred_at", "id", "message_id", "client")[:SCAN_LIMIT]
    return [_Accepted(*row) for row in rows]


def _not_stored(accepted: Sequence[_Accepted], *, most: int) -> tuple[list[UUID | None], int]:
    """Return up to `most` messages that are not stored, and how many events were read."""
    found: list[UUID | None] = []
    for start in range(0, len(accepted), _CHUNK):
        chunk = accepted[start : start + _CHUNK]
        stored = stored_among((event.message_id for event in chunk), chunk[-1].occurred_at)
        for place, event in enumerate(chunk, start + 1):
            if event.message_id not in stored:
                found.append(event.message_id)
            if len(found) == most:
                return found, place
    return found, len(accepted)


def stored_among(message_ids: Iterable[UUID | None], since: datetime) -> set[UUID | None]:
    """Return those of the messages, all accepted after `since`, that have a `stored` event."""
    # Filter by message only, to use its index. With the kind too, a planner may choose another one.
    events = _of_messages(list(message_ids), since).order_by()
    return {
        message_id
        for message_id, kind in events.values_list("message_id", "kind")
        if kind == Kind.STORED
    }


def _of_messages(message_ids: Sequence[UUID | None], since: datetime) -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(message_id__in=message_ids, occurred_at__gte=since - SKEW)


def _histories(message_ids: Sequence[UUID | None], since: datetime) -> tuple[MessageHistory, ...]:
    """Return what happened to messages, all of which were accepted after `since`."""
    events = _of_messages(message_ids, since).order_by("message_id", "occurred_at", "id")
    histories = {
        message_id: MessageHistory(tuple(some))
        for message_id, some in groupby(events, key=lambda event: event.message_id)
    }
    # A message without events was pruned meanwhile, or the clock was set back: nothing to show.
    return tuple(histories[each] for each in message_ids if each in histories)
