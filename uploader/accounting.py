"""Records the outcome of each delivery in the metrics, the audit log and the log."""

import logging
from hashlib import sha256
from typing import Final

from cpsite.audit.event import Event, now
from cpsite.audit.models import Kind
from cpsite.audit.recorder import recorder
from cpsite.audit.scope import holds_all_messages
from cpsite.message import Message
from cpsite.queue.delivery import Delivery
from uploader import metrics
from uploader.layouts import Part

logger = logging.getLogger(__name__)

# Kept, because a label lookup costs more than the count itself.
_STORED: Final = metrics.messages_total.labels("stored")


def stored(part: Part, *, key: str, duration: float, log: bool) -> None:
    """Record a stored message. `duration` is the duration of the write, in seconds."""
    message, attempts = part.message, part.delivery.attempts
    stored_at = now()
    age = max(0.0, (stored_at - message.accepted_at).total_seconds())
    _STORED.inc()
    metrics.message_age_seconds.observe(age)
    if holds_all_messages():
        recorder.record(
            Event(
                stored_at,
                Kind.STORED,
                message_id=message.message_id,
                client=message.client,
                object_key=key,
                payload_sha256=sha256(part.delivery.body).hexdigest(),
                accepted_at=message.accepted_at,
                attempts=attempts,
                duration_ms=round(duration * 1000),
                contract=message.contract or None,
            )
        )
    if log:
        logger.info(
            "message_stored",
            extra={
                "message_id": str(message.message_id),
                "client": message.client,
                "object_key": key,
                "attempts": attempts,
                "duration_ms": round(duration * 1000),
                "age_ms": round(age * 1000),
            },
        )


def batch_stored(*, key: str, messages: int, size: int, duration: float) -> None:
    """Log a stored batch: one line for all its messages. `size` is in bytes."""
    logger.info(
        "batch_stored",
        extra={
            "object_key": key,
            "messages": messages,
            "bytes": size,
            "duration_ms": round(duration * 1000),
        },
    )


def failed(
    delivery: Delivery, message: Message | None, *, reason: str, retry_in_seconds: int
) -> None:
    """Record a delivery that was not stored. `message` is None for a foreign one."""
    message_id = message.message_id if message else None
    metrics.messages_total.labels("failed" if message else "undecodable").inc()
    recorder.record(
        Event(
            now(),
            Kind.FAILED,
            message_id=message_id,
            client=message.client if message else "",
            reason=reason[:64],
            accepted_at=message.accepted_at if message else None,
            attempts=delivery.attempts,
            # A message of ours is found by its own id.
            sqs_message_id=None if message else delivery.sqs_message_id,
        )
    )
    logger.warning(
        "message_failed",
        extra={
            "message_id": str(message_id) if message_id else None,
            "sqs_message_id": delivery.sqs_message_id,
            "reason": reason,
            "attempts": delivery.attempts,
            "retry_in_seconds": retry_in_seconds,
        },
    )


def failed_again(message: Message | None) -> None:
    """Count one more delivery of a message whose failure is in the audit log already."""
    metrics.messages_total.labels("failed" if message else "undecodable").inc()
