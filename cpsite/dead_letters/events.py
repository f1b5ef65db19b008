"""What the audit log has of dead letters; a foreign one has no id but SQS's."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from uuid import UUID

from cpsite.audit.history import Failure, read_history
from cpsite.audit.models import AuditEvent, Kind
from cpsite.dead_letters.letter import DeadLetter


def last_failures_of_foreign(sqs_message_ids: Collection[str]) -> dict[str, Failure]:
    """Return the last failure of each foreign letter that has one. Raises django.db.Error."""
    failures = AuditEvent.objects.filter(kind=Kind.FAILED, sqs_message_id__in=sqs_message_ids)
    # In chronological order, so that the dictionary keeps the last one.
    rows = failures.order_by("occurred_at", "id").values_list(
        "sqs_message_id", "occurred_at", "reason", "attempts"
    )
    return {
        name: Failure(occurred_at, reason, attempts)
        for name, occurred_at, reason, attempts in rows
        if name
    }


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
