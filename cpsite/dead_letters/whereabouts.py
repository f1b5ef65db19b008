"""Where a message is that is neither stored nor discarded, by what the audit log has.

It waits in the queue, for its first attempt or for another one, or it is a dead letter. The log
cannot tell: SQS moves a message there without a word, and the `failed` event before it may be lost
with a killed process.
"""

from typing import Final, NamedTuple

from cpsite.audit.history import MessageHistory, Status
from cpsite.audit.models import AuditEvent, Kind
from cpsite.dead_letters.letter import UNKNOWN, Selection
from cpsite.dead_letters.look import Seen, look

#: Most letters that are looked at to find one.
MOST_LOOKED_AT: Final = 1_000
#: What is said of a message that was found among the dead letters.
DEAD: Final = "dead"


class Place(NamedTuple):
    """A message's status for operators, and what to say after it."""

    status: str
    note: str = ""


def find_place(history: MessageHistory) -> Place:
    """Return the status by the audit log or, if it is not over, by a look among the dead letters.

    `queued` is only said of what is not there. Without an answer it is what the log says.
    """
    if history.status is Status.STORED or history.discarded:
        return Place(history.shown_status)
    seen = look(selection=Selection(ids=[str(history.message_id)]), most=MOST_LOOKED_AT)
    if seen.letters:
        return Place(DEAD, f": it is among the dead letters; {_why_dead(history.last)}")
    if unsure := _unsure(seen):
        return Place(history.shown_status, f"; whether it is a dead letter is unknown: {unsure}")
    return _alive(history)


def _why_dead(last: AuditEvent) -> str:
    if last.kind != Kind.FAILED:
        return "its failed event was lost"
    attempt = f"attempt {last.attempts}" if last.attempts else "its last attempt"
    return f"{attempt} failed: {last.reason or UNKNOWN}"


def _alive(history: MessageHistory) -> Place:
    """Return the place of what is not among the dead letters."""
    if history.status is Status.UNKNOWN:
        return Place(history.shown_status)
    if history.last.kind == Kind.FAILED:
        note = ": it is not among the dead letters, and is retried while SQS has it"
        return Place(history.shown_status, note)
    if history.last.kind == Kind.REFUSED:
        return Place(history.shown_status, ": SQS has not confirmed it, and may have it")
    return Place(Status.QUEUED.value)


def _unsure(seen: Seen) -> str:
    """Say why a letter that was not found may be there all the same, or return an empty text."""
    if seen.depth is None:
        return seen.failure
    if seen.depth.hidden:
        return f"about {seen.depth.hidden} are in flight elsewhere"
    if seen.looked_at >= MOST_LOOKED_AT:
        return f"only {seen.looked_at} were looked at"
    return ""
