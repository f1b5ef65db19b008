"""The page of accepted messages that are not stored."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.http import Http404, HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from cpsite.audit.admin import marks
from cpsite.audit.admin.display import badge, client_link, message_link, reason_link
from cpsite.audit.history import MessageHistory
from cpsite.audit.scope import WHY, holds_all_messages
from cpsite.audit.unstored import GRACE, SCAN_LIMIT, WINDOW, Place, find_waiting
from cpsite.moments import readable, span

#: The choices of the page: seconds since a message was accepted, and their label.
GRACES: Final = {
    int(GRACE.total_seconds()): "1 minute",
    300: "5 minutes",
    3_600: "1 hour",
}


def context(request: HttpRequest) -> dict[str, Any]:
    """Return what the template `admin/audit/waiting.html` shows.

    In the query, `older` is a key of GRACES and `after` a result of `_written`. Raises Http404 for
    any other `after`.
    """
    if not holds_all_messages():
        return {"not_recorded": WHY}
    asked = request.GET.get("older", "")
    seconds = int(asked) if asked in map(str, GRACES) else int(GRACE.total_seconds())
    place = _place(request.GET.get("after", ""))
    now = timezone.now()
    waiting = find_waiting(now, grace=timedelta(seconds=seconds), place=place)
    return {
        "waiting": waiting,
        "rows": [_row(history, now) for history in waiting.messages],
        "graces": GRACES.items(),
        "seconds": seconds,
        "grace": GRACES[seconds],
        "is_continued": place is not None,
        "window_hours": int(WINDOW.total_seconds() // 3_600),
        "scan_limit": SCAN_LIMIT,
        "next": _written(waiting.next_place),
    }


def _row(history: MessageHistory, now: datetime) -> dict[str, Any]:
    last = history.last
    accepted = history.accepted_at or history.events[0].occurred_at
    return {
        "message": message_link(history.message_id),
        "client": client_link(history.client),
        "status": badge(history.shown_status),
        "reason": reason_link(last.reason),
        "accepted": readable(accepted),
        "waits": format_html("{}{}", marks.of_age(now - accepted), span(now - accepted)),
    }


def _written(place: Place | None) -> str:
    """Return a place as text, for the link to the page that goes on there."""
    return f"{place.occurred_at.timestamp():.6f}-{place.event_id}" if place else ""


def _place(text: str) -> Place | None:
    """Read a result of `_written`. Raises Http404 for anything else."""
    if not text:
        return None
    moment, _, event_id = text.partition("-")
    try:
        return Place(datetime.fromtimestamp(float(moment), UTC), int(event_id))
    except (ValueError, OverflowError, OSError) as exc:
        raise Http404("There is no such place in the audit log.") from exc
