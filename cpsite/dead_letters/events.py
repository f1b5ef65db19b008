"""What the audit log has of dead letters; a foreign one has no id but SQS's."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from cpsite.audit.history import read_history
from cpsite.audit.models import AuditEvent
from cpsite.dead_letters.letter import DeadLetter


def events_of(letter: DeadLetter) -> Sequence[AuditEvent]:
    """Return a letter's events in chronological order. Raises django.db.Error."""
    if letter.message_id is None:
        return _of_foreign(letter.sqs_message_id)
    return _of_message(letter.message_id)


def events_of_id(name: str) -> Sequence[AuditEvent]:
    """Return the events of what has this id, ours or SQS's, also if it is no dead letter any more.

    Raises django.db.Error.
    """
    # No id has other characters, and PostgreSQL fails on some of them.
    if not name.isprintable():
        return ()
    with suppress(ValueError):
        if found := _of_message(UUID(name)):
            return found
    return _of_foreign(name, name.lower())


def _of_message(message_id: UUID) -> Sequence[AuditEvent]:
    history = read_history(message_id)
    return history.events if history else ()


def _of_foreign(*sqs_message_ids: str) -> Sequence[AuditEvent]:
    events = AuditEvent.objects.filter(sqs_message_id__in=sqs_message_ids)
    return list(events.order_by("occurred_at", "id"))
