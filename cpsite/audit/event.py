"""An audit event on its way to the database: a plain row, cheaper to make than a model instance.

`cpsite.audit.models.AuditEvent` is what is read. It says what each column means.
"""

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from cpsite.audit.models import Kind


class Event(NamedTuple):
    """What has happened, with the names and the order of the table's columns, but for the id."""

    occurred_at: datetime
    kind: Kind
    message_id: UUID | None = None
    client: str = ""
    source_ip: str | None = None
    reason: str = ""
    object_key: str = ""
    payload_sha256: str = ""
    accepted_at: datetime | None = None
    attempts: int | None = None
    duration_ms: int | None = None
    actor: str | None = None
    contract: str | None = None
    request_id: str | None = None
    fields_at_fault: str | None = None
    sqs_message_id: str | None = None
    row_count: int | None = None


def now() -> datetime:
    """Return the time of an event that happens now."""
    return datetime.now(UTC)
