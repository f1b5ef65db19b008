"""Maps each client's Idempotency-Key to its message, so that a retry creates no second one."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models.functions import Now


class IdempotencyRecordQuerySet(models.QuerySet["IdempotencyRecord"]):
    """Compares all times by the database's clock, because the clocks of hosts may differ."""

    def with_now(self) -> "IdempotencyRecordQuerySet":
        """Add the database's time to each record, as `now`."""
        return self.annotate(now=Now())  # type: ignore[no-redef] # declared for its readers

    def prune_batch(self, limit: int) -> int:
        """Delete up to `limit` expired records; return how many.

        One statement, which asks for the expiry of the row that it deletes: meanwhile a request may
        have given the key to a new message.
        """
        expired = self.filter(expires_at__lte=Now())
        oldest = expired.order_by("expires_at").values("id")[:limit]
        # delete() would read first where a signal has a receiver.
        return expired.filter(id__in=oldest)._raw_delete(self.db)  # noqa: SLF001


class IdempotencyRecord(models.Model):
    """The first request with a key, and the message that it created.

    It holds digests of the key and of the content, never the originals.
    """

    client = models.CharField(max_length=64)
    key_sha256 = models.CharField(max_length=64)
    #: Digest of the fields of the request.
    data_sha256 = models.CharField(max_length=64)
    message_id = models.UUIDField()
    #: When the message was accepted. A retry publishes it with the same time.
    accepted_at = models.DateTimeField()
    #: Whether SQS has confirmed the message.
    is_queued = models.BooleanField(default=False)
    #: Until then, one request has the key to itself. Afterwards another may take it over.
    claimed_until = models.DateTimeField()
    expires_at = models.DateTimeField()

    objects = IdempotencyRecordQuerySet.as_manager()

    class Meta:
        constraints = [
            # Ensures one message for concurrent requests, on whichever hosts they arrive.
            models.UniqueConstraint(fields=["client", "key_sha256"], name="idempotency_key"),
        ]
        indexes = [models.Index(fields=["expires_at"], name="idempotency_expiry")]

    #: The database's time when the record was read (`with_now`).
    now: datetime

    def __str__(self) -> str:
        return f"{self.client} {self.message_id}"

    @property
    def is_expired(self) -> bool:
        return self.expires_at <= self.now

    @property
    def is_claimed(self) -> bool:
        """Whether a request may still be in progress."""
        return self.claimed_until > self.now

    def start_afresh(self, values: Mapping[str, Any]) -> bool:
        """Assign an expired key to another message. Return False if another request was faster."""
        expired = IdempotencyRecord.objects.filter(
            id=self.pk, message_id=self.message_id, expires_at__lte=Now()
        )
        return bool(expired.update(**values))

    def take_over(self, values: Mapping[str, Any]) -> bool:
        """Take over the claim of a dead request. Return False if another request was faster."""
        free = IdempotencyRecord.objects.filter(
            id=self.pk,
            message_id=self.message_id,
            is_queued=False,
            claimed_until__lte=Now(),
        )
        # It publishes again, so the key must be known for its whole time from now on.
        return bool(
            free.update(claimed_until=values["claimed_until"], expires_at=values["expires_at"])
        )


def in_seconds(seconds: float) -> Any:
    """Return an expression for the database's time plus `seconds`."""
    return models.ExpressionWrapper(
        Now() + timedelta(seconds=seconds), output_field=models.DateTimeField()
    )
