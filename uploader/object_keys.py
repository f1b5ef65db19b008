"""Under which keys messages are stored, in either layout."""

from collections.abc import Sequence
from hashlib import sha256

from django.conf import settings

from cpsite.message import Message


def object_key(message: Message) -> str:
    """Return the key of a message's object: `messages/2026/11/23/<message_id>.json`.

    A message of another contract than the default one has that contract's name before the year.

    It depends only on the message, so that every delivery writes the same object, at any time. It
    holds no text from a client.
    """
    return f"{object_directory(message)}{message.message_id}.json"


def batch_key(messages: Sequence[Message]) -> str:
    """Return the key of a batch: `messages/2026/11/23/<32 hex digits>.ndjson.gz`.

    Its messages share the contract and the day. The digits depend on the ids and their order
    alone, so that equal batches have equal keys.
    """
    digest = sha256(b"".join(message.message_id.bytes for message in messages)).hexdigest()
    return f"{object_directory(messages[0])}{digest[:32]}.ndjson.gz"


def object_directory(message: Message) -> str:
    """Return the key prefix of a day's objects: `messages/2026/11/23/`, or `messages/orders/…`.

    The day is the day of acceptance in UTC, not the day of storing.
    """
    contract = f"{message.contract}/" if message.contract else ""
    return f"{settings.S3_PREFIX}{contract}{message.accepted_at:%Y/%m/%d}/"
