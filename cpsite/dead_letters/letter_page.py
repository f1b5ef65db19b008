"""The page of one dead letter: what it is, what happened to it and, for some, its content."""

from typing import Any, Final

from django.db import Error as DatabaseFailure
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cpsite.audit.access import Access, record_access
from cpsite.audit.admin.display import badge, copyable, events_url
from cpsite.audit.admin.message_page import timeline
from cpsite.audit.models import AuditEvent
from cpsite.dead_letters.accounting import Person
from cpsite.dead_letters.events import events_of, events_of_id
from cpsite.dead_letters.letter import DeadLetter, Selection, printable
from cpsite.dead_letters.look import look
from cpsite.dead_letters.rows import VIEW_EVENTS, rows_of

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
    may_see_events = request.user.has_perm(VIEW_EVENTS)
    row = next(iter(rows_of(seen, has_links=may_see_events)), None)
    shown: dict[str, Any] = {
        "letter_id": letter_id,
        "seen": seen,
        "letter": row.letter if row else None,
        "row": row,
        "sqs_message_id": _sqs_id(row.letter) if row else "",
        "status": badge("dead"),
        "may_view_content": request.user.has_perm(VIEW_CONTENT),
    }
    if may_see_events:
        shown |= _events(row.letter if row else None, letter_id)
    if row and reader:
        shown["content"] = _content(row.letter, reader)
    return shown


def _sqs_id(letter: DeadLetter) -> SafeString:
    shown = format_html('<span class="audit-id">{}</span>', letter.sqs_message_id)
    return copyable(shown, "SQS's id")


def _events(letter: DeadLetter | None, letter_id: str) -> dict[str, Any]:
    """Return the events of a letter; of one that was not found, those that have its id."""
    try:
        events = events_of(letter) if letter else events_of_id(letter_id)
    except DatabaseFailure as exc:
        return {"events_failure": type(exc).__name__}
    if not events:
        return {"events": ()}
    return {
        "events": timeline(events),
        "in_list": _list_url(events[0]),
    }


def _list_url(event: AuditEvent) -> str:
    """Return the address of the list of all events with the same id."""
    if event.message_id:
        # Not a search, which leads to the message's page.
        return events_url(message_id=str(event.message_id))
    return events_url(q=event.sqs_message_id or "")


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
