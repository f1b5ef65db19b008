"""Where and under which keys messages are stored, and which errors are final."""

from datetime import datetime
from typing import Final

from botocore.exceptions import ClientError
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import storages

from cpsite.message import Message
from cpsite.storage import MessageS3Storage

#: Error codes of S3, or the HTTP status if there is no code, that a retry would get again. Any
#: other error (5xx, throttling, no connection, expired credentials, a missing bucket, a full disk)
#: concerns the storage and is temporary (AWS: S3 API reference, "List of error codes").
_REFUSALS: Final = {
    "AccessDenied",
    "EntityTooLarge",
    "InvalidArgument",
    "InvalidRequest",
    "InvalidTag",
    "KeyTooLongError",
    "MetadataTooLarge",
    "MethodNotAllowed",
    "400",
    "403",
    "405",
    "413",
}


class StoredElsewhereError(Exception):
    """The storage used another name than the key. A redelivery would create a second object."""


def object_directory(accepted_at: datetime) -> str:
    """Return the key prefix of a day's objects: `messages/2026/11/23/`.

    The day is the day of acceptance in UTC, not the day of storing: see `object_key`.
    """
    return f"{settings.S3_PREFIX}{accepted_at:%Y/%m/%d}/"


def object_key(message: Message) -> str:
    """Return the key of a message's object: `messages/2026/11/23/<message_id>.json`.

    It depends only on the message, so that every delivery writes the same object, at any time. It
    holds no text from a client.
    """
    return f"{object_directory(message.accepted_at)}{message.message_id}.json"


def store(key: str, body: bytes) -> None:
    """Write one object. Return once the storage has acknowledged it.

    Raises ClientError, BotoCoreError or OSError.
    """
    name = storages["messages"].save(key, ContentFile(body))
    if name != key:
        raise StoredElsewhereError


def warm_up() -> None:
    """Create the S3 client before the first message needs it."""
    storage = storages["messages"]
    if isinstance(storage, MessageS3Storage):
        storage.put_store()


def is_refusal(exc: Exception) -> bool:
    """Return whether the storage would refuse the same object again."""
    return isinstance(exc, ClientError) and exc.response["Error"]["Code"] in _REFUSALS


def longest_write_seconds() -> float:
    """Return the longest duration of one write in seconds, all S3 client attempts included."""
    pauses = settings.S3_ATTEMPTS - 1
    return float(
        settings.S3_ATTEMPTS * settings.S3_TIMEOUT_SECONDS + pauses * settings.S3_BACKOFF_SECONDS
    )
