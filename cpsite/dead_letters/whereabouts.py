"""Where a message is of which no event says that it is stored, or that an attempt has failed.

It waits in the queue, or it is a dead letter whose `failed` event was lost with a killed process.
"""

from typing import Final, NamedTuple

from cpsite.audit.history import MessageHistory, Status
from cpsite.audit.models import Kind
from cpsite.dead_letters.letter import Selection
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
    """Return the status by the audit log or, if it has none, by a look among the dead letters.

    `queued` is only said of what is not there. Without an answer it is the last kind of event.
    """
    if history.has_outcome:
        return Place(history.shown_status)
    seen = look(selection=Selection(ids=[str(history.message_id)]), most=MOST_LOOKED_AT)
    if seen.letters:
        return Place(DEAD, ": it is among the dead letters; its failed event was lost")
    if unsure := _unsure(seen):
        return Place(history.shown_status, f"; whether it is a dead letter is unknown: {unsure}")
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
