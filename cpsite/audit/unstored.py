"""Messages that were accepted and are not stored, as far as the audit log knows.

The question has no index of its own, because it is about events that are missing. It is answered by
looking at the accepted events, newest first, and asking for each whether its message was stored.
One look takes SCAN_LIMIT of them at most, says how far back it came, and the next goes on there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, NamedTuple
from uuid import UUID

from cpsite.audit.history import MessageHistory
from cpsite.audit.models import AuditEvent, Kind

#: How far back is looked.
WINDOW: Final = timedelta(hours=24)
#: Time in which a message is stored when all is well, and its events are written.
GRACE: Final = timedelta(seconds=60)
#: Accepted events that one look takes.
SCAN_LIMIT: Final = 5_000
#: Messages that one look returns.
FOUND_LIMIT: Final = 100
_CHUNK: Final = 500


class Place(NamedTuple):
    """Where a look ended: the last event that it took."""

    occurred_at: datetime
    event_id: int


class _Accepted(NamedTuple):
    occurred_at: datetime
    id: int
    message_id: UUID | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What one look found, newest first.

    `looked_at` accepted events were taken, from `since` at the earliest. `next_place` is where the
    next look goes on, or None when nothing is left.
    """

    messages: tuple[MessageHistory, ...]
    looked_at: int
    since: datetime
    next_place: Place | None


def find_waiting(now: datetime, *, grace: timedelta = GRACE, place: Place | None = None) -> Waiting:
    """Look for messages accepted more than `grace` before `now`, after `place` when given.

    Raises Django's database errors.
    """
    since = now - WINDOW
    until = place.occurred_at if place else now - grace
    events = AuditEvent.objects.filter(
        kind=Kind.ACCEPTED,
        message_id__isnull=False,
        occurred_at__gte=since,
        occurred_at__lte=until,
    )
    if place:
        events = events.exclude(occurred_at=place.occurred_at, id__gte=place.event_id)
    rows = events.values_list("occurred_at", "id", "message_id")[:SCAN_LIMIT]
    accepted = [_Accepted(*row) for row in rows]
    found, looked_at = _not_stored(accepted)
    is_all = looked_at == len(accepted) < SCAN_LIMIT
    last = None if is_all else accepted[looked_at - 1]
    return Waiting(
        messages=_histories(found),
        looked_at=looked_at,
        since=since,
        next_place=Place(last.occurred_at, last.id) if last else None,
    )


def _not_stored(accepted: Sequence[_Accepted]) -> tuple[list[UUID | None], int]:
    """Return the first FOUND_LIMIT messages that are not stored, and how many events it took."""
    found: list[UUID | None] = []
    for start in range(0, len(accepted), _CHUNK):
        chunk = accepted[start : start + _CHUNK]
        stored = _stored(event.message_id for event in chunk)
        for place, event in enumerate(chunk, start + 1):
            if event.message_id not in stored:
                found.append(event.message_id)
            if len(found) == FOUND_LIMIT:
                return found, place
    return found, len(accepted)


def _stored(message_ids: Iterable[UUID | None]) -> set[UUID | None]:
    # By message alone, which its index answers: with the kind, a planner may take the other one.
    events = AuditEvent.objects.filter(message_id__in=list(message_ids)).order_by()
    return {
        message_id
        for message_id, kind in events.values_list("message_id", "kind")
        if kind == Kind.STORED
    }


def _histories(message_ids: Sequence[UUID | None]) -> tuple[MessageHistory, ...]:
    events = AuditEvent.objects.filter(message_id__in=message_ids).order_by(
        "message_id", "occurred_at", "id"
    )
    histories = {
        message_id: MessageHistory(tuple(some))
        for message_id, some in groupby(events, key=lambda event: event.message_id)
    }
    # One that was pruned, or a clock that was set back, meanwhile: nothing to show.
    return tuple(histories[each] for each in message_ids if each in histories)
