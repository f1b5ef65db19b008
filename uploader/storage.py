"""Where messages are stored, under which key, and which failures are final."""

from datetime import datetime
from typing import Final

from botocore.exceptions import ClientError
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import storages

from cpsite.message import Message
from cpsite.storage import MessageS3Storage

#: S3's codes, or the status where there is no code, for "not this object, whenever you ask". What
#: is not here (5xx, throttling, no connection, expired credentials, a missing bucket, a full disk)
#: is about the storage, and passes (AWS: S3 API reference, "List of error codes").
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
    """The storage chose another name than the key, so a redelivery would make a second object."""


def object_directory(accepted_at: datetime) -> str:
    """Return what the keys of a day's objects begin with: `messages/2026/11/23/`.

    The day is that of acceptance in UTC, never that of storing: see `object_key`.
    """
    return f"{settings.S3_PREFIX}{accepted_at:%Y/%m/%d}/"


def object_key(message: Message) -> str:
    """Return the key of a message's object: `messages/2026/11/23/<message_id>.json`.

    It follows from what the message itself carries, so that each delivery of it writes the same
    object, whenever that is. It holds no text that a client has chosen.
    """
    return f"{object_directory(message.accepted_at)}{message.message_id}.json"


def store(key: str, body: bytes) -> None:
    """Write one object. When this returns, the storage has acknowledged it.

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
    """Whether the storage would refuse the same object again."""
    return isinstance(exc, ClientError) and exc.response["Error"]["Code"] in _REFUSALS


def longest_write_seconds() -> float:
    """Return how long one write may take, all attempts of the S3 client included."""
    pauses = settings.S3_ATTEMPTS - 1
    return float(
        settings.S3_ATTEMPTS * settings.S3_TIMEOUT_SECONDS + pauses * settings.S3_BACKOFF_SECONDS
    )
