"""Records in the audit log and the log what people do with dead letters."""

import logging
from dataclasses import dataclass
from hashlib import sha256

from cpsite.audit.event import Event, now
from cpsite.audit.models import Kind
from cpsite.audit.recorder import recorder
from cpsite.dead_letters.letter import UNKNOWN, DeadLetter

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts (cpsite/audit/access.py), and from where; without an address for a command."""

    actor: str | None = None
    source_ip: str | None = None


def redriven(letter: DeadLetter, person: Person) -> None:
    """Record that a letter was sent back to the queue."""
    reason = letter.reason or UNKNOWN
    _record(Kind.REDRIVEN, letter, reason, person)
    logger.info("message_redriven", extra=_fields(letter, person))


def discarded(letter: DeadLetter, because: str, person: Person) -> None:
    """Record that a letter was deleted for good."""
    _record(Kind.DISCARDED, letter, because, person)
    logger.info("message_discarded", extra={**_fields(letter, person), "because": because})


def _record(kind: Kind, letter: DeadLetter, reason: str, person: Person) -> None:
    recorder.record(
        Event(
            now(),
            kind,
            message_id=letter.message_id,
            client=letter.client,
            reason=reason[:64],
            accepted_at=letter.accepted_at,
            attempts=letter.attempts,
            actor=person.actor,
            source_ip=person.source_ip,
            payload_sha256=sha256(letter.payload).hexdigest() if letter.message else "",
            sqs_message_id=None if letter.message_id else letter.sqs_message_id,
            contract=(letter.message.contract or None) if letter.message else None,
        )
    )


def _fields(letter: DeadLetter, person: Person) -> dict[str, str | None]:
    return {
        "message_id": str(letter.message_id) if letter.message_id else None,
        "sqs_message_id": letter.sqs_message_id,
        "reason": letter.reason or UNKNOWN,
        "user": person.actor,
    }
