"""Records the outcome of each request in the metrics, the audit log and the log."""

import hashlib
import logging
from typing import Final
from uuid import UUID

from rest_framework.exceptions import APIException, Throttled

from cpsite.audit.event import Event, now
from cpsite.audit.models import Kind
from cpsite.audit.recorder import recorder
from cpsite.audit.scope import holds_all_messages
from cpsite.message import Message
from cpsite.observability.logging import request_id
from validator import metrics
from validator.exceptions import (
    CONTRACT_BROKEN,
    INTERNAL_ERROR,
    REASON_OF_FIELD,
    code_of,
    reason_of,
)

logger = logging.getLogger(__name__)

# Kept, because a label's lookup costs more than the count itself.
_ACCEPTED: Final = metrics.messages_total.labels("accepted")


def accepted(message: Message, body: str, *, source_ip: str | None, duration_ms: int) -> None:
    """Record a message that SQS has confirmed; `body` is its encoded form on the queue."""
    _ACCEPTED.inc()
    if holds_all_messages():
        recorder.record(
            Event(
                message.accepted_at,
                Kind.ACCEPTED,
                message_id=message.message_id,
                client=message.client,
                source_ip=source_ip,
                payload_sha256=hashlib.sha256(body.encode()).hexdigest(),
                accepted_at=message.accepted_at,
                duration_ms=duration_ms,
                contract=message.contract or None,
                request_id=request_id.get() or None,
            )
        )
    _log("message_accepted", message, duration_ms)


def repeated(message: Message, *, duration_ms: int) -> None:
    """Record a repeated request. The audit log already has the acceptance of its message."""
    metrics.messages_total.labels("repeated").inc()
    _log("message_repeated", message, duration_ms)


def _log(event: str, message: Message, duration_ms: int) -> None:
    logger.info(
        event,
        extra={
            "message_id": str(message.message_id),
            "client": message.client,
            "duration_ms": duration_ms,
        },
    )


def refused(
    exc: Exception,
    *,
    client: str,
    source_ip: str | None,
    duration_ms: int,
    message_id: UUID | None,
    contract: str = "",
    fields_at_fault: str = "",
) -> None:
    """Record a request that was not accepted. `message_id` is set if SQS may have its message.

    `contract` is the name of the path's contract, empty for the default one. `fields_at_fault` are
    names of its fields (validator/faults.py).
    """
    code, reason = INTERNAL_ERROR, INTERNAL_ERROR
    if isinstance(exc, APIException):
        code, reason = code_of(exc), reason_of(exc)
    metrics.messages_total.labels(code).inc()
    if code == CONTRACT_BROKEN:
        metrics.contract_errors_total.labels(reason.removeprefix(REASON_OF_FIELD)).inc()
    if isinstance(exc, Throttled) and not client:
        return  # so that a flood of requests does not fill the log
    logger.info(
        "message_refused",
        extra={
            "reason": reason,
            "fields_at_fault": fields_at_fault or None,
            "client": client or None,
            "source_ip": source_ip,
            "duration_ms": duration_ms,
            "message_id": str(message_id) if message_id else None,
            "cause": type(exc.__cause__).__name__ if exc.__cause__ else None,
        },
    )
    if not isinstance(exc, Throttled):
        recorder.record(
            Event(
                now(),
                Kind.REFUSED,
                message_id=message_id,
                client=client,
                source_ip=source_ip,
                reason=reason,
                duration_ms=duration_ms,
                contract=contract or None,
                request_id=request_id.get() or None,
                fields_at_fault=fields_at_fault or None,
            )
        )


def status_refused(exc: APIException, *, source_ip: str | None, duration_ms: int) -> None:
    """Audit a refused `GET /messages/<id>/`, so that token guessing there is visible, too."""
    recorder.record(
        Event(
            now(),
            Kind.REFUSED,
            source_ip=source_ip,
            reason=reason_of(exc),
            duration_ms=duration_ms,
            request_id=request_id.get() or None,
        )
    )
