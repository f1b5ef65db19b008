"""Under which keys messages are stored, in either layout."""

import uuid
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256

from django.conf import settings

from cpsite.message import Message


def object_key(message: Message) -> str:
    """Return the key of a message's object: `messages/2026/11/23/<message_id>.json`.

    It depends only on the message, so that every delivery writes the same object, at any time. It
    holds no text from a client.
    """
    return f"{object_directory(message.accepted_at)}{message.message_id}.json"


def batch_key(accepted_at: datetime, message_ids: Iterable[uuid.UUID]) -> str:
    """Return the key of a batch: `messages/2026/11/23/<32 hex digits>.ndjson.gz`.

    `accepted_at` is of any of its messages, which share the day. The digits depend on the ids and
    their order alone, so that equal batches have equal keys.
    """
    digest = sha256(b"".join(message_id.bytes for message_id in message_ids)).hexdigest()
    return f"{object_directory(accepted_at)}{digest[:32]}.ndjson.gz"


def object_directory(accepted_at: datetime) -> str:
    """Return the key prefix of a day's objects: `messages/2026/11/23/`.

    The day is the day of acceptance in UTC, not the day of storing.
    """
    return f"{settings.S3_PREFIX}{accepted_at:%Y/%m/%d}/"
