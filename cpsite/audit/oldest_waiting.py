"""Since when messages wait, by the audit log: SQS says it only to CloudWatch.

The uploader knows the age of what it receives. This is for when there is no uploader, or it hangs.
It reads through indexes, and as few rows in a large log as in a small one.
"""

from datetime import datetime, timedelta
from typing import Final

from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.scope import demand_all_messages
from cpsite.audit.unstored import stored_among

#: SQS keeps no message for longer.
WINDOW: Final = timedelta(days=14)
#: Newest stored events that are looked at: some may be of messages that were redriven or retried.
STORED_EVENTS: Final = 500
#: Accepted events that are read at a time, and at most.
CHUNK: Final = 500
SCAN_LIMIT: Final = 5_000


class OldestUnknown(Exception):
    """All SCAN_LIMIT messages that were looked at are stored, and there are more."""


def oldest_waiting(now: datetime) -> datetime | None:
    """Return when the oldest message was accepted that waits since the newest stored one, or None.

    A message that is retried while later ones are stored is not counted: the uploader reports it.
    Raises OldestUnknown, NotRecorded, or Django's database errors.
    """
    demand_all_messages()
    accepted = (
        AuditEvent.objects.filter(
            kind=Kind.ACCEPTED, message_id__isnull=False, occurred_at__gte=_reached(now - WINDOW)
        )
        .order_by("occurred_at", "id")
        .values_list("occurred_at", "message_id")
    )
    for start in range(0, SCAN_LIMIT, CHUNK):
        rows = list(accepted[start : start + CHUNK])
        stored = stored_among((message_id for _, message_id in rows), rows[0][0]) if rows else set()
        for accepted_at, message_id in rows:
            if message_id not in stored:
                return accepted_at
        if len(rows) < CHUNK:
            return None
    raise OldestUnknown


def _reached(since: datetime) -> datetime:
    """Return when the newest message was accepted that is stored, or `since` if none is."""
    events = AuditEvent.objects.filter(kind=Kind.STORED, occurred_at__gte=since)
    rows = events.values_list("occurred_at", "accepted_at")[:STORED_EVENTS]
    # A message that claims to be accepted later than it was stored is forged.
    return max([since, *(min(at, accepted) for at, accepted in rows if accepted)])
