"""The page of one dead letter: what it is, what happened to it and, for some, its content."""

from collections.abc import Sequence
from typing import Any, Final

from django.db import Error as DatabaseFailure
from django.http import HttpRequest

from cpsite.audit.access import Access, record_access
from cpsite.audit.admin.display import badge
from cpsite.audit.history import read_history
from cpsite.audit.models import AuditEvent
from cpsite.dead_letters.accounting import Person
from cpsite.dead_letters.letter import DeadLetter, Selection, printable
from cpsite.dead_letters.look import look
from cpsite.moments import readable, span

VIEW_CONTENT: Final = "uploader.view_content_deadletterentry"
#: Most letters that are looked at to find one. `manage.py dlq show` looks at all.
MOST_LOOKED_AT: Final = 1_000
#: Bytes of the content that are shown. `manage.py dlq show --body` prints all.
PREVIEW_BYTES: Final = 4_096


def context(request: HttpRequest, letter_id: str, *, reader: Person | None) -> dict[str, Any]:
    """Return what the template `admin/dead_letters/letter.html` shows.

    With a `reader`, who may do so, that is the content as well.
    """
    seen = look(selection=Selection(ids=[letter_id]), most=MOST_LOOKED_AT)
    row = seen.rows[0] if seen.rows else None
    shown: dict[str, Any] = {
        "letter_id": letter_id,
        "seen": seen,
        "letter": row.letter if row else None,
        "row": row,
        "status": badge("dead"),
        "may_view_content": request.user.has_perm(VIEW_CONTENT),
    }
    if row is None:
        return shown
    if request.user.has_perm("audit.view_auditevent"):
        shown |= _events(row.letter)
    if reader:
        shown["content"] = _content(row.letter, reader)
    return shown


def _events(letter: DeadLetter) -> dict[str, Any]:
    """Return the letter's events; those of a foreign one are found by SQS's id."""
    events: Sequence[AuditEvent] = ()
    try:
        if letter.message_id is None:
            of_letter = AuditEvent.objects.filter(sqs_message_id=letter.sqs_message_id)
            events = list(of_letter.order_by("occurred_at", "id"))
        elif history := read_history(letter.message_id):
            events = history.events
    except DatabaseFailure as exc:
        return {"events_failure": type(exc).__name__}
    return {"events": [_row(event, events[0]) for event in events]}


def _row(event: AuditEvent, first: AuditEvent) -> dict[str, Any]:
    return {
        "event": event,
        "when": readable(event.occurred_at),
        "later": span(event.occurred_at - first.occurred_at),
        "what": badge(event.kind),
    }


def _content(letter: DeadLetter, reader: Person) -> dict[str, Any]:
    """Return the beginning of the content, and record who has seen it."""
    record_access(
        Access.BODY_SHOWN,
        actor=reader.actor or "",
        source_ip=reader.source_ip,
        message_id=letter.message_id,
        client=letter.client,
        sqs_message_id=letter.sqs_id_of_foreign,
    )
    preview = letter.payload[:PREVIEW_BYTES].decode(errors="replace")
    return {
        "text": printable(preview),
        "bytes": len(letter.payload),
        "shown": PREVIEW_BYTES,
        "is_cut": len(letter.payload) > PREVIEW_BYTES,
    }
