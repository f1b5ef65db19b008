"""`GET /messages/<message_id>/`: the status of a client's message."""

import logging
import time
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError
from rest_framework import exceptions, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cpsite.audit.history import MessageHistory, read_history
from cpsite.audit.scope import holds_all_messages
from cpsite.moments import rfc3339
from cpsite.web.client_address import source_ip
from validator import accounting, advice
from validator.authentication import IN_HEADER, bearer_token, client_of, missing
from validator.contracts import default
from validator.exceptions import ServiceUnavailable, Unauthorized
from validator.throttling import ClientThrottle, demand, limit_unauthenticated

logger = logging.getLogger(__name__)


class MessageUnknown(exceptions.NotFound):
    """The message does not exist or is another client's. The answer is the same for both."""

    default_detail = "You have no message with this id. A new one may take a second to appear."
    default_code = "message_unknown"


class StatusUnavailable(ServiceUnavailable):
    default_detail = "The audit log is unavailable at the moment. Messages are still accepted."
    default_code = "status_unavailable"


class StatusNotRecorded(exceptions.APIException):
    """The audit log holds only what was refused or has failed (AUDIT_EVENTS)."""

    status_code = status.HTTP_501_NOT_IMPLEMENTED
    default_detail = (
        "This service does not record where messages are. 202 means: it will be stored."
    )
    default_code = "status_not_recorded"


class MessageStatusView(APIView):
    """The status of a message by the audit log: queued, stored, or failed at the last attempt.

    It needs the token of the client that sent the message, in a header (Authorization: Bearer …).
    The audit log is written in the background. It is up to a second behind, and a killed process
    may have lost an event.
    """

    http_method_names = ["get", "head"]

    #: Name of the client, set once its token is known.
    client = ""

    def get(self, request: Request, message_id: UUID) -> Response:
        """Return the status of one message."""
        self.started = time.perf_counter()
        token = bearer_token(request)
        if token is None:
            raise missing(advice.on_missing_header(request.META))
        self.client = client_of(token, IN_HEADER)
        demand(ClientThrottle(), request, self)
        if not holds_all_messages():
            raise StatusNotRecorded
        try:
            history = read_history(message_id)
        except (DatabaseError, InterfaceError) as exc:
            logger.warning("message_status_unavailable", extra={"error": type(exc).__name__})
            raise StatusUnavailable from exc
        if history is None or history.client != self.client:
            raise MessageUnknown
        return Response(_answer(history), headers={"Cache-Control": "no-store"})

    def handle_exception(self, exc: Exception) -> Response:
        if not self.client:
            answer = limit_unauthenticated(exc, self.request)
            if answer is exc and isinstance(exc, Unauthorized):
                accounting.status_refused(
                    exc,
                    source_ip=source_ip(self.request),
                    duration_ms=round((time.perf_counter() - self.started) * 1000),
                )
            exc = answer
        return super().handle_exception(exc)


def _answer(history: MessageHistory) -> dict[str, Any]:
    return {
        "message_id": str(history.message_id),
        "status": history.status.value,
        "contract": history.contract or default().name,
        "accepted_at": rfc3339(history.accepted_at),
        "stored_at": rfc3339(history.stored_at),
        "object_key": history.object_key or None,
    }
