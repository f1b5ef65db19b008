"""Dead letters as pages of the admin show them, with links for those who may follow them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cpsite.audit.admin.display import EMPTY, ago, client_link, reason_link
from cpsite.dead_letters.letter import UNKNOWN, DeadLetter
from cpsite.dead_letters.look import Seen
from cpsite.moments import readable, rfc3339, span

#: Who has this permission sees the pages that the links lead to.
VIEW_EVENTS: Final = "audit.view_auditevent"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A letter with its times relative to now."""

    letter: DeadLetter
    client: str
    reason: str
    #: How long ago it was sent to the queue, and accepted.
    age: str
    accepted_ago: str
    failed: str
    #: When SQS deletes it, and how long that still is.
    end: SafeString
    left: str


def rows_of(seen: Seen, *, has_links: bool) -> list[Row]:
    """Return a row for each letter of a look."""
    if seen.depth is None:
        return []
    retention, now = seen.depth.retention, timezone.now()
    return [_row(each, each.sent_at + retention, now, has_links) for each in seen.letters]


def _row(letter: DeadLetter, end: datetime, now: datetime, has_links: bool) -> Row:  # noqa: FBT001
    reason = letter.reason or UNKNOWN
    return Row(
        letter=letter,
        client=client_link(letter.client) if has_links else letter.client or EMPTY,
        # No event has the reason UNKNOWN.
        reason=reason_link(reason) if has_links and reason != UNKNOWN else reason,
        age=span(now - letter.sent_at),
        accepted_ago=span(now - letter.accepted_at) if letter.accepted_at else "",
        failed=ago(letter.failed_at) if letter.failed_at else EMPTY,
        end=_ahead(end, now),
        left=span(end - now),
    )


def _ahead(moment: datetime, now: datetime) -> SafeString:
    """Return a moment as the time until then. The exact one, in UTC, is its title."""
    return format_html(
        '<time datetime="{}" title="{} UTC">in {}</time>',
        rfc3339(moment),
        readable(moment),
        span(moment - now),
    )
