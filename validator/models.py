"""What a client's Idempotency-Key stands for, so that a retried request is one message."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models.functions import Now


class IdempotencyRecordQuerySet(models.QuerySet["IdempotencyRecord"]):
    """All times are compared by the database's clock: hosts may disagree about theirs."""

    def with_now(self) -> "IdempotencyRecordQuerySet":
        """Add the database's time to each record, as `now`."""
        return self.annotate(now=Now())  # type: ignore[no-redef] # declared for its readers

    def prune_batch(self, limit: int) -> int:
        """Delete up to `limit` records whose time is over; return how many."""
        ids = self.filter(expires_at__lte=Now()).order_by("expires_at").values_list("id", flat=True)
        return self.filter(id__in=list(ids[:limit])).delete()[0]


class IdempotencyRecord(models.Model):
    """The first request with a key, and the message that it became.

    Holds no key and no content, but digests of both.
    """

    client = models.CharField(max_length=64)
    key_sha256 = models.CharField(max_length=64)
    #: Of the fields that came with the key.
    data_sha256 = models.CharField(max_length=64)
    message_id = models.UUIDField()
    #: Of the message, which is published with the same time whichever try of it succeeds.
    accepted_at = models.DateTimeField()
    #: Whether SQS has confirmed the message.
    is_queued = models.BooleanField(default=False)
    #: Until when one request may be at work on it; then another one may.
    claimed_until = models.DateTimeField()
    expires_at = models.DateTimeField()

    objects = IdempotencyRecordQuerySet.as_manager()

    class Meta:
        constraints = [
            # What makes two concurrent requests one message, whichever hosts they reach.
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
        """Whether a request may still be at work on it."""
        return self.claimed_until > self.now

    def start_afresh(self, values: Mapping[str, Any]) -> bool:
        """Give an expired key to another message; return False when somebody was quicker."""
        expired = IdempotencyRecord.objects.filter(
            id=self.pk, message_id=self.message_id, expires_at__lte=Now()
        )
        return bool(expired.update(**values))

    def take_over(self, values: Mapping[str, Any]) -> bool:
        """Claim it anew after its request has died; return False when somebody was quicker."""
        free = IdempotencyRecord.objects.filter(
            id=self.pk,
            message_id=self.message_id,
            is_queued=False,
            claimed_until__lte=Now(),
        )
        return bool(free.update(claimed_until=values["claimed_until"]))


def in_seconds(seconds: float) -> Any:
    """Return the database's time so many seconds from now, as an expression."""
    return models.ExpressionWrapper(
        Now() + timedelta(seconds=seconds), output_field=models.DateTimeField()
    )
