"""Leaves a trace in the audit log of who has read messages, or the log itself.

Events are about content and about the log as a whole. Lists, the pages of messages, `trace` and
`dlq list` show what the log holds anyway, and leave none.
"""

import getpass
import logging
import socket
from enum import StrEnum
from typing import Final
from uuid import UUID

from django.http import HttpRequest

from cpsite.audit.event import Event, now
from cpsite.audit.models import ACTOR_LENGTH, Kind
from cpsite.audit.recorder import recorder

logger = logging.getLogger(__name__)


class Access(StrEnum):
    """What was read: the reason of an event of the kind `read`."""

    #: A link to an object was made, which works for a minute.
    OBJECT_OPENED = "object_opened"
    #: `trace --verify` has read an object, without showing it.
    OBJECT_VERIFIED = "object_verified"
    #: `dlq show --body`, or a dead letter's page in the admin, has shown its content.
    BODY_SHOWN = "body_shown"
    #: Events were exported as CSV.
    EVENTS_EXPORTED = "events_exported"


def actor_of(request: HttpRequest) -> str:
    """Return the name of the admin's user."""
    return request.user.get_username()


def actor_of_shell() -> str:
    """Return who runs a command: `shell:user@host`. No user of the admin can have such a name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = _UNNAMED
    return f"shell:{user}@{socket.gethostname()}"[:ACTOR_LENGTH]


_UNNAMED: Final = "unnamed"


def record_access(
    access: Access,
    *,
    actor: str,
    source_ip: str | None = None,
    message_id: UUID | None = None,
    client: str = "",
    object_key: str = "",
    sqs_message_id: str | None = None,
    row_count: int | None = None,
) -> None:
    """Record that `actor` has read something; also in the log. Never raises and never waits.

    `sqs_message_id` names a body that is no message of ours; `row_count` is the number of events
    that were exported.
    """
    recorder.record(
        Event(
            now(),
            Kind.READ,
            reason=access.value,
            actor=actor,
            source_ip=source_ip,
            message_id=message_id,
            client=client,
            object_key=object_key,
            sqs_message_id=sqs_message_id,
            row_count=row_count,
        )
    )
    logger.info(
        access.value,
        extra={
            "user": actor,
            "source_ip": source_ip,
            "message_id": str(message_id) if message_id else None,
            "sqs_message_id": sqs_message_id,
            "rows": row_count,
        },
    )
