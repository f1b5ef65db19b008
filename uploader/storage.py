"""Where messages are stored, and under which key."""

import threading
import zlib
from base64 import b64encode
from typing import Any

from botocore.client import BaseClient
from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.files.storage import storages
from storages.backends.s3 import S3Storage

from cpsite.message import CONTENT_TYPE, Message


class StoredElsewhereError(Exception):
    """The storage chose another name than the key, so a redelivery would make a second object."""


def object_key(message: Message) -> str:
    """Return the key of a message's object: `messages/2026/11/23/<message_id>.json`.

    It follows from what the message itself carries, so that each delivery of it writes the same
    object, whenever that is. It holds no text that a client has chosen.
    """
    return f"{settings.S3_PREFIX}{message.accepted_at:%Y/%m/%d}/{message.message_id}.json"


def store(key: str, body: bytes) -> None:
    """Write one object. When this returns, the storage has acknowledged it.

    Raises ClientError, BotoCoreError or OSError.
    """
    name = storages["messages"].save(key, ContentFile(body))
    if name != key:
        raise StoredElsewhereError


def warm_up() -> None:
    """Create the S3 client, about 0.2 s of work, before the first message needs it."""
    storage = storages["messages"]
    if isinstance(storage, MessageS3Storage):
        storage.put_client()


class MessageS3Storage(S3Storage):
    """django-storages' S3Storage, but a save is one PutObject on one client for all threads.

    Its own way is made for large files: a boto3 resource and a transfer manager for each save,
    a thread-local session, and an `Expect: 100-continue` round trip. On objects of a few hundred
    bytes that is most of the work. Reading, links and everything else stay as they are.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._client_lock = threading.Lock()
        self._client: BaseClient | None = None

    def put_client(self) -> BaseClient:
        """Return the client that all threads write with."""
        with self._client_lock:
            if self._client is None:
                self._client = self._create_session().client(
                    "s3",
                    region_name=self.region_name,
                    use_ssl=self.use_ssl,
                    endpoint_url=self.endpoint_url,
                    config=self.client_config,
                    verify=self.verify,
                )
                self._client.meta.events.register_last("before-call.s3", _drop_expect)
            return self._client

    def _save(self, name: str, content: File[bytes]) -> str:
        body = content.read()
        self.put_client().put_object(  # type: ignore[attr-defined]
            Bucket=self.bucket_name,
            Key=self._normalize_name(name),
            Body=body,
            # S3 refuses what did not arrive as it was sent. Given here, boto3 need not wrap the
            # body into a chunked one with a trailing checksum.
            ChecksumCRC32=b64encode(zlib.crc32(body).to_bytes(4, "big")).decode(),
            **{"ContentType": CONTENT_TYPE, **self.get_object_parameters(name)},
        )
        return name


def _drop_expect(params: dict[str, Any], **_kwargs: Any) -> None:
    params["headers"].pop("Expect", None)
