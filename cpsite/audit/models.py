"""The audit log: what happened to each message, without its content."""

from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

from django.db import models
from django.utils import timezone


class Kind(models.TextChoices):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    STORED = "stored"
    FAILED = "failed"
    REDRIVEN = "redriven"
    #: An operator has deleted a dead letter for good.
    DISCARDED = "discarded"
    #: Somebody has read content, or the log itself (cpsite/audit/access.py).
    READ = "read"
    #: Old events were deleted, `row_count` of them (prune_audit).
    PRUNED = "pruned"


#: Longest name of an actor: a user of Django's has up to 150 characters.
ACTOR_LENGTH = 200
#: Longest X-Request-ID that a client may choose (cpsite/web/middleware.py).
REQUEST_ID_LENGTH = 128
#: Longest list of the names of fields.
FIELDS_LENGTH = 255


class AppendOnlyError(TypeError):
    """Code tried to change or delete an event of the audit log."""


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def of_message(self, message_id: UUID) -> "AuditEventQuerySet":
        """Return a message's events in chronological order."""
        return self.filter(message_id=message_id).order_by("occurred_at", "id")

    def update(self, **_kwargs: Any) -> NoReturn:
        raise AppendOnlyError("audit events cannot be changed")

    def delete(self) -> NoReturn:
        raise AppendOnlyError("audit events cannot be deleted; old ones go with prune_audit")

    def prune_batch(self, *, before: datetime, limit: int) -> int:
        """Delete up to `limit` of the oldest events from before `before`; return how many.

        Nothing else deletes events but the dropping of whole days (cpsite/audit/partitions.py). It
        deletes what one index has side by side, so that a batch locks few rows for a short time and
        stays cheap on a large table.
        """
        oldest = self.filter(occurred_at__lt=before).order_by("occurred_at", "id")
        rows = list(oldest.values_list("occurred_at", "id")[:limit])
        if rows:
            moment, last_id = rows[-1]
            up_to_last = self.filter(occurred_at__lte=moment).exclude(
                occurred_at=moment, id__gt=last_id
            )
            up_to_last._raw_delete(self.db)  # noqa: SLF001 - delete() is closed
        return len(rows)


class AuditEvent(models.Model):
    """One thing that happened to one message. Append-only; holds no payload and no token."""

    occurred_at = models.DateTimeField(default=timezone.now, editable=False)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    #: Empty for a refused request and for a message that could not be decoded.
    message_id = models.UUIDField(null=True, blank=True)
    #: Name of the client that owns the token; empty if it is missing, unknown or was not read.
    client = models.CharField(max_length=64, blank=True)
    source_ip = models.GenericIPAddressField(null=True, blank=True)
    #: A code, such as `token_unknown`; docs/operations.md lists all.
    reason = models.CharField(max_length=64, blank=True)
    object_key = models.CharField(max_length=255, blank=True)
    #: SHA-256 of the message's stored bytes, in hexadecimal.
    payload_sha256 = models.CharField(max_length=64, blank=True)
    #: When the message was accepted. The uploader's events hold it too: the `accepted` event may
    #: have been lost with a killed process.
    accepted_at = models.DateTimeField(null=True, blank=True)
    #: How many times SQS has delivered the message, including this time.
    attempts = models.PositiveIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    #: Who has redriven or read: a user of the admin, or `shell:user@host`. Null, not empty, for
    #: what clients and services do, so that its index holds few rows.
    actor = models.CharField(max_length=ACTOR_LENGTH, null=True, blank=True)  # noqa: DJ001
    #: The message's contract, or the one that a request was for. Null for the default contract.
    contract = models.CharField(max_length=30, null=True, blank=True)  # noqa: DJ001 - as actor
    #: The X-Request-ID of the request, which its answer had. Null for what has no request.
    request_id = models.CharField(max_length=REQUEST_ID_LENGTH, null=True, blank=True)  # noqa: DJ001
    #: Names of the fields that break the contract, as it declares them: `data.a, data.b`.
    fields_at_fault = models.CharField(max_length=FIELDS_LENGTH, null=True, blank=True)  # noqa: DJ001
    #: SQS's id of a body that is no message of ours. A redrive gives it another one.
    sqs_message_id = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001
    #: How many events were exported.
    row_count = models.PositiveIntegerField(null=True, blank=True)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        # Newest first, and with the id, so that the order is total: Django would otherwise add the
        # primary key itself, and no index would fit.
        ordering = ["-occurred_at", "-id"]
        # SQLite's. PostgreSQL has the same questions answered by smaller ones, with the same names
        # (cpsite/audit/migrations/0009_days.py, 0011_batch_keys.py).
        indexes = [
            models.Index(fields=["occurred_at", "id"], name="audit_time"),
            models.Index(fields=["message_id", "occurred_at", "id"], name="audit_message_time"),
            models.Index(fields=["kind", "occurred_at", "id"], name="audit_kind_time"),
            models.Index(fields=["client", "occurred_at", "id"], name="audit_client_time"),
            models.Index(fields=["reason", "occurred_at", "id"], name="audit_reason_time"),
            models.Index(
                fields=["actor", "occurred_at", "id"],
                name="audit_actor_time",
                condition=models.Q(actor__isnull=False),
            ),
            models.Index(
                fields=["contract", "occurred_at", "id"],
                name="audit_contract_time",
                condition=models.Q(contract__isnull=False),
            ),
            models.Index(
                # A client may send one id for all of its requests.
                fields=["request_id", "occurred_at", "id"],
                name="audit_request_time",
                condition=models.Q(request_id__isnull=False),
            ),
            models.Index(
                fields=["sqs_message_id", "occurred_at", "id"],
                name="audit_sqs_time",
                condition=models.Q(sqs_message_id__isnull=False),
            ),
            models.Index(
                fields=["source_ip", "occurred_at", "id"],
                name="audit_address_time",
                condition=models.Q(source_ip__isnull=False),
            ),
            models.Index(fields=["object_key"], name="audit_object_key"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.message_id or self.reason}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError("audit events cannot be changed")
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise AppendOnlyError("audit events cannot be deleted; old ones go with prune_audit")
