"""What the services record in the audit log, before it reaches a database."""

from typing import Any

from django.forms.models import model_to_dict

from cpsite.audit.event import Event
from cpsite.audit.models import AuditEvent


def facts(event: Event | AuditEvent) -> dict[str, Any]:
    """Return what an event holds beside its own time."""
    held = event._asdict() if isinstance(event, Event) else model_to_dict(event)
    return {
        name: value
        for name, value in held.items()
        if name not in {"id", "occurred_at"} and value not in {None, ""}
    }
