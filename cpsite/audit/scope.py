"""What the audit log holds: every message, or only what was refused or has failed.

`AUDIT_EVENTS=failures` leaves out that a message was accepted and that it was stored. So the log no
longer knows where a message is, and whoever asks must hear that instead of a guess.
"""

from typing import Final

from django.conf import settings

from cpsite.audit.models import Kind

#: What `AUDIT_EVENTS=failures` leaves out.
OF_EVERY_MESSAGE: Final = frozenset({Kind.ACCEPTED, Kind.STORED})
#: Why an answer is missing, for people.
WHY: Final = "AUDIT_EVENTS=failures leaves accepted and stored messages out of the audit log"


class NotRecorded(Exception):
    """The audit log cannot answer: it holds only what was refused or has failed."""

    def __init__(self) -> None:
        super().__init__(WHY)


def holds_all_messages() -> bool:
    """Return whether each message that is accepted or stored adds an event."""
    return bool(settings.AUDIT_EVENTS == "all")


def demand_all_messages() -> None:
    """Raise NotRecorded unless each message that is accepted or stored adds an event."""
    if not holds_all_messages():
        raise NotRecorded


def recorded_kinds() -> tuple[Kind, ...]:
    """Return the kinds of events that are recorded."""
    left_out = frozenset() if holds_all_messages() else OF_EVERY_MESSAGE
    return tuple(kind for kind in Kind if kind not in left_out)
