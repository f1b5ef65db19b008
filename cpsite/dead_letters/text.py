"""Dead letters as text for a terminal, without content."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from cpsite.audit.models import AuditEvent
from cpsite.cli import table
from cpsite.dead_letters.letter import UNKNOWN, DeadLetter
from cpsite.moments import readable, span

_COLUMNS: Final = ("ID", "CLIENT", "ACCEPTED (UTC)", "AGE", "ATTEMPTS", "REASON", "BYTES")
_NUMBERS: Final = {"AGE", "ATTEMPTS", "BYTES"}


def count(number: int) -> str:
    return f"{number} dead letter" + ("" if number == 1 else "s")


def table_of(letters: Sequence[DeadLetter], *, now: datetime) -> Iterator[str]:
    """Yield the lines of a table with its header."""
    return table(_COLUMNS, [_row(letter, now) for letter in letters], numbers=_NUMBERS)


def _row(letter: DeadLetter, now: datetime) -> list[str]:
    return [
        str(letter.message_id or letter.sqs_message_id),
        letter.client or "-",
        _moment(letter.accepted_at),
        span(now - letter.sent_at),
        str(letter.attempts or "-"),
        letter.reason or UNKNOWN,
        str(letter.size),
    ]


def description(letter: DeadLetter, *, now: datetime, retention: timedelta) -> dict[str, str]:
    """Return names and values of all that is known about a letter."""
    end = letter.sent_at + retention
    return {
        "message id": str(letter.message_id or "-"),
        "SQS message id": letter.sqs_message_id,
        "client": letter.client or "-",
        "accepted (UTC)": _moment(letter.accepted_at),
        "sent to queue (UTC)": f"{readable(letter.sent_at)}, {span(now - letter.sent_at)} ago",
        "last failed (UTC)": _moment(letter.failed_at),
        "SQS deletes it (UTC)": f"{readable(end)}, in {span(end - now)}",
        "attempts": str(letter.attempts or "-"),
        "bytes": str(letter.size),
        "reason": f"{letter.reason or UNKNOWN} {letter.error}".rstrip(),
    }


def _moment(moment: datetime | None) -> str:
    return readable(moment) if moment else "-"


def event_line(event: AuditEvent) -> str:
    attempt = f"attempt {event.attempts}" if event.attempts else ""
    actor = f"by {event.actor}" if event.actor else ""
    details = (event.reason, event.object_key, attempt, actor)
    return "  ".join([readable(event.occurred_at), event.kind, *filter(None, details)])
