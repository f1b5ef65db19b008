"""The search of the audit log: what a term may be, and how an index finds it.

Each look-up is one of its own: an OR over the columns would scan the table on SQLite.
"""

import re
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet

from cpsite.audit.admin.filters import values_of
from cpsite.audit.models import AuditEvent
from cpsite.web.client_address import normalized

#: Said beside the field.
HELP: Final = (
    "A message id or its first four digits or more, a client, a reason, an address, an "
    "object's key, an X-Request-ID, SQS's id of a foreign body, or who has read, redriven or "
    "discarded."
)
_ID_DIGITS: Final = 32
_ID: Final = re.compile(r"[0-9a-f]{32}")
#: Fewer digits would find messages by chance.
_ID_PREFIX: Final = re.compile(r"[0-9a-f]{4,31}")
#: The keys of a message's object and of a batch (uploader/object_keys.py).
_KEY: Final = re.compile(r".*/([0-9a-f-]{36})\.json", re.IGNORECASE)
BATCH: Final = ".ndjson.gz"
#: What the console and the command line of AWS put before a key.
_URI: Final = re.compile(r"^s3://[^/]+/", re.IGNORECASE)


def found(events: QuerySet[AuditEvent], term: str) -> QuerySet[AuditEvent]:
    """Return the events that a term stands for, none if it stands for nothing."""
    selection = _selection(term.strip())
    return events.none() if selection is None else events.filter(**selection)


def message_of(term: str) -> UUID | None:
    """Return the one message whose id, or the beginning of it, or whose object's key a term is."""
    selection = _selection(term.strip())
    if selection is None or not any(name.startswith("message_id") for name in selection):
        return None
    ids = AuditEvent.objects.filter(**selection).order_by("message_id", "occurred_at", "id")
    first, last = ids.first(), ids.last()
    is_one = first and last and first.message_id == last.message_id
    return first.message_id if first and is_one else None


def _selection(term: str) -> dict[str, Any] | None:
    """Return the filter of the first thing that the term may be and that has any events."""
    # No value of the log has other characters, and PostgreSQL fails on some of them.
    if not term or not term.isprintable():
        return None
    for selection in _selections(term):
        if _has_events(selection):
            return selection
    return None


def _has_events(selection: dict[str, Any]) -> bool:
    column = next(iter(selection)).partition("__")[0]
    events = AuditEvent.objects.filter(**selection)
    if column == "object_key":
        # All of a batch: for the first one by time PostgreSQL may go through the index by time.
        return bool(list(events.order_by().values_list("id")))
    # Not exists(): without an order PostgreSQL may scan the table until it finds a row.
    return events.order_by(*dict.fromkeys((column, "occurred_at", "id"))).first() is not None


def _selections(term: str) -> Iterator[dict[str, Any]]:
    term = _URI.sub("", term)
    of_message = _KEY.fullmatch(term)
    digits = (of_message[1] if of_message else term).lower().replace("-", "")
    if _ID.fullmatch(digits):
        yield {"message_id": UUID(digits)}
    if address := normalized(term):
        yield {"source_ip": address}
    yield from _texts(term)
    if _ID_PREFIX.fullmatch(digits):
        first, last = digits.ljust(_ID_DIGITS, "0"), digits.ljust(_ID_DIGITS, "f")
        yield {"message_id__gte": UUID(first), "message_id__lte": UUID(last)}


def _texts(term: str) -> Iterator[dict[str, Any]]:
    """Yield what the term is as it is written or in small letters, then what has few values."""
    for text in dict.fromkeys((term, term.lower())):
        if text.endswith(BATCH):
            # The end is that of the index (cpsite/audit/migrations/0011_batch_keys.py).
            yield {"object_key": text, "object_key__endswith": BATCH}
        for column in ("client", "actor", "request_id", "sqs_message_id", "reason"):
            yield {column: text}
    for column in ("client", "reason"):
        for value in values_of(column):
            if value.casefold() == term.casefold():
                yield {column: value}
