"""Writes messages to the storage, and knows which errors are final."""

from typing import Final

from botocore.exceptions import ClientError
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import storages

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
