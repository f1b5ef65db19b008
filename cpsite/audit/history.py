"""The history of one message, built from its events in the audit log."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeVar
from uuid import UUID

from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.scope import holds_all_messages

_Id = TypeVar("_Id")


class Status(StrEnum):
    """Where a message is, as far as the audit log knows."""

    #: SQS has it, by what the audit log knows: a dead letter whose `failed` event was lost, too.
    QUEUED = "queued"
    #: S3 has it.
    STORED = "stored"
    #: The last attempt to store it failed. It will be retried, or it is in the dead-letter queue
    #: or was discarded there.
    FAILED = "failed"
    #: The audit log does not say: it holds only what was refused or has failed.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class MessageHistory:
    """One message's events in chronological order; never empty."""

    events: tuple[AuditEvent, ...]

    @property
    def message_id(self) -> UUID:
        found = self.events[0].message_id
        if found is None:
            raise ValueError("these events belong to no message")
        return found

    @property
    def status(self) -> Status:
        if self._stored is not None:
            return Status.STORED
        if not holds_all_messages() and self.discarded is None:
            return Status.UNKNOWN  # it may have been stored since
        # A refused request with an id is one whose publishing failed: SQS may have it.
        return Status.FAILED if self.last.kind in {Kind.FAILED, Kind.DISCARDED} else Status.QUEUED

    @property
    def has_outcome(self) -> bool:
        """Whether an event says that it is stored, or that the last attempt failed."""
        return self.status is not Status.QUEUED

    @property
    def shown_status(self) -> str:
        """What operators are told: the last kind of event where none says what became of it.

        Such a message need not be in the queue. It is a dead letter if its `failed` event was lost.
        """
        return self.status.value if self.has_outcome else str(self.last.kind)

    @property
    def discarded(self) -> AuditEvent | None:
        """The event that says that it was deleted as a dead letter, and by whom; if that is so."""
        is_gone = self._stored is None and self.last.kind == Kind.DISCARDED
        return self.last if is_gone else None

    @property
    def last(self) -> AuditEvent:
        """The last thing that happened to it. That somebody has read it is none."""
        happened = [event for event in self.events if event.kind != Kind.READ]
        return (happened or self.events)[-1]

    @property
    def client(self) -> str:
        """Name of the client that sent the message; empty if no event holds it."""
        return next((event.client for event in self.events if event.client), "")

    @property
    def contract(self) -> str:
        """Name of the message's contract; empty for the default one."""
        return next((event.contract for event in self.events if event.contract), "")

    @property
    def request_id(self) -> str:
        """X-Request-ID of the request that sent it; empty if no event holds it."""
        return next((event.request_id for event in self.events if event.request_id), "")

    @property
    def accepted_at(self) -> datetime | None:
        return next((event.accepted_at for event in self.events if event.accepted_at), None)

    @property
    def stored_at(self) -> datetime | None:
        """When it was first stored."""
        return self._stored.occurred_at if self._stored else None

    @property
    def object_key(self) -> str:
        """Key of the first object that holds it, or empty."""
        return self._stored.object_key if self._stored else ""

    @property
    def payload_sha256(self) -> str:
        """SHA-256 of the message's bytes in S3, in hexadecimal, or empty."""
        return next((event.payload_sha256 for event in self.events if event.payload_sha256), "")

    @property
    def _stored(self) -> AuditEvent | None:
        return next((event for event in self.events if event.kind == Kind.STORED), None)


def read_history(message_id: UUID) -> MessageHistory | None:
    """Return a message's history, or None without any event. Raises Django's database errors."""
    events = tuple(AuditEvent.objects.of_message(message_id))
    # A message of which it is only known that somebody has read it: the rest was pruned.
    is_known = any(event.kind != Kind.READ for event in events)
    return MessageHistory(events) if is_known else None


class Failure(NamedTuple):
    """The last failed attempt to store a message."""

    occurred_at: datetime
    reason: str
    #: How many times SQS had delivered the message by then, since it was last sent to the queue.
    attempts: int | None


def last_failures(message_ids: Collection[UUID]) -> dict[UUID, Failure]:
    """Return the last failure of each message that has one. Raises django.db.Error."""
    return _last_failures("message_id", message_ids)


def last_failures_of_foreign(sqs_message_ids: Collection[str]) -> dict[str, Failure]:
    """Return the last failure of each foreign body that has one. Raises django.db.Error."""
    return _last_failures("sqs_message_id", sqs_message_ids)


def _last_failures(column: str, ids: Collection[_Id]) -> dict[_Id, Failure]:
    failures = AuditEvent.objects.filter(kind=Kind.FAILED, **{f"{column}__in": ids})
    # In chronological order, so that the dictionary keeps the last one.
    rows = failures.order_by("occurred_at", "id").values_list(
        column, "occurred_at", "reason", "attempts"
    )
    return {each: Failure(*failure) for each, *failure in rows}
