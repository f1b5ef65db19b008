"""Writes messages to the storage."""

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import storages

from cpsite.storage import MessageS3Storage


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


def longest_write_seconds() -> float:
    """Return the longest duration of one write in seconds, all S3 client attempts included."""
    pauses = settings.S3_ATTEMPTS - 1
    return float(
        settings.S3_ATTEMPTS * settings.S3_TIMEOUT_SECONDS + pauses * settings.S3_BACKOFF_SECONDS
    )
