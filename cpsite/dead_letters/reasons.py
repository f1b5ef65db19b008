"""Which reasons a dead letter can have, to notice one that was mistyped."""

from typing import Final

from cpsite.audit.models import AuditEvent, Kind
from cpsite.dead_letters.letter import UNDECODABLE, UNKNOWN

#: Failures that are looked at for the list of reasons, newest first.
RECENT: Final = 10_000
#: Events of one reason that are looked at: one reason can be that of refusals, too.
OF_ONE: Final = 1_000


def known_reasons() -> list[str]:
    """Return the reasons of recent failures, and those without any. Raises django.db.Error."""
    failures = AuditEvent.objects.filter(kind=Kind.FAILED).order_by("-occurred_at", "-id")
    found = set(failures.values_list("reason", flat=True)[:RECENT])
    return sorted((found | {UNDECODABLE, UNKNOWN}) - {""})


def is_known(reason: str) -> bool:
    """Return whether a dead letter can have this reason. Raises django.db.Error."""
    if reason in {UNDECODABLE, UNKNOWN}:
        return True
    events = AuditEvent.objects.filter(reason=reason).order_by("-occurred_at", "-id")
    return Kind.FAILED in events.values_list("kind", flat=True)[:OF_ONE]
