"""The storage for messages: django-storages for S3, but with obstore for writes."""

import re
import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import obstore
from boto3 import Session
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import File
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.exceptions import BaseError
from obstore.store import S3Store
from storages.backends.s3 import S3Storage

from cpsite import __version__
from cpsite.message import CONTENT_TYPE

if TYPE_CHECKING:
    from obstore.store import S3Config


class StorageUnreachable(OSError):
    """S3 did not answer: no connection, or no answer in time."""


class MessageS3Storage(S3Storage):
    """django-storages' S3Storage, but each save is one PutObject by one shared obstore client.

    S3Storage's own save suits large files: a boto3 resource and a transfer manager for each save, a
    thread-local session, and an `Expect: 100-continue` round trip. obstore (Rust's object_store)
    needs a quarter of what the cheapest small write costs in boto3 (docs/adr/0008). Reading, links
    and everything else are S3Storage's.

    boto3 finds the credentials and the endpoint, and refreshes the credentials.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._store_lock = threading.Lock()
        self._store: S3Store | None = None

    def put_store(self) -> S3Store:
        """Return the client that all threads write with.

        Raises NoCredentialsError, or ImproperlyConfigured for an unknown object parameter.
        """
        with self._store_lock:
            if self._store is None:
                self._store = self._make_store()
            return self._store

    def _make_store(self) -> S3Store:
        session = self._create_session()
        if session.get_credentials() is None:
            raise NoCredentialsError
        endpoint, virtual_hosted = self._endpoint(session)
        config = self.client_config
        return S3Store(
            self.bucket_name,
            region=self.region_name,
            virtual_hosted_style_request=virtual_hosted,
            # This name takes precedence over what obstore finds in the environment.
            config={"aws_endpoint_url_s3": endpoint, **_encryption(self.object_parameters)},
            credential_provider=Boto3CredentialProvider(session, ttl=_CREDENTIALS_TTL),
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=config.connect_timeout),
                "timeout": timedelta(seconds=config.read_timeout),
                "user_agent": f"cpsite/{__version__}",
            },
            retry_config={
                "max_retries": config.retries["total_max_attempts"] - 1,
                "retry_timeout": timedelta(seconds=2 * config.read_timeout),
                "backoff": {"max_backoff": timedelta(seconds=settings.S3_BACKOFF_SECONDS)},
            },
        )

    def _endpoint(self, session: Session) -> tuple[str, bool]:
        """Return the endpoint that boto3 finds, and whether its host name contains the bucket."""
        client = session.client(
            "s3",
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            use_ssl=self.use_ssl,
            # In us-east-1, boto3 uses the global host name by default.
            config=Config(s3={"us_east_1_regional_endpoint": "regional"}),
        )
        endpoint = urlsplit(client.meta.endpoint_url)
        # Outside AWS a bucket may have no DNS name. With a dot in its name, no certificate fits.
        virtual_hosted = (endpoint.hostname or "").endswith(
            _AWS_DOMAINS
        ) and "." not in self.bucket_name
        host = f"{self.bucket_name}.{endpoint.netloc}" if virtual_hosted else endpoint.netloc
        return f"{endpoint.scheme}://{host}", virtual_hosted

    def _save(self, name: str, content: File[bytes]) -> str:
        key = self._normalize_name(name)
        attributes = {"Content-Type": _CONTENT_TYPES.get(PurePath(name).suffix, CONTENT_TYPE)}
        try:
            obstore.put(
                self.put_store(),
                key,
                content.read(),
                attributes=attributes,
                # One unconditional PUT: a redelivery overwrites the object with the same bytes.
                use_multipart=False,
            )
        except (BaseError, OSError) as exc:
            # obstore's texts quote S3's answer: neither text nor exception may reach a log.
            raise _as_botocore_error(str(exc)) from None
        return name


#: How long obstore keeps credentials. It asks for new ones five minutes before the end, and
#: botocore returns none that expire within ten.
_CREDENTIALS_TTL: Final = timedelta(minutes=10)

_AWS_DOMAINS: Final = (".amazonaws.com", ".amazonaws.com.cn")

_CONTENT_TYPES: Final = {".gz": "application/gzip"}

#: boto3's names of object parameters, with obstore's names of the same settings.
_ENCRYPTION: Final = {
    "ServerSideEncryption": "server_side_encryption",
    "SSEKMSKeyId": "sse_kms_key_id",
    "BucketKeyEnabled": "sse_bucket_key_enabled",
}


def _encryption(object_parameters: Mapping[str, Any]) -> "S3Config":
    if unknown := object_parameters.keys() - _ENCRYPTION.keys():
        raise ImproperlyConfigured(
            f"The messages storage cannot set {', '.join(sorted(unknown))}; "
            f"object_parameters may hold {', '.join(_ENCRYPTION)}."
        )
    return cast("S3Config", {_ENCRYPTION[name]: value for name, value in object_parameters.items()})


def _as_botocore_error(text: str) -> ClientError | StorageUnreachable:
    """Return the error that boto3 would have raised, with S3's code but no other part of `text`.

    obstore reports status and answer only in its text (object_store 0.14: RetryError's Display).
    """
    if code := re.search(r"<Code>(\w{1,64})</Code>", text):
        return ClientError({"Error": {"Code": code[1]}}, "PutObject")
    if status := re.search(r"status code: (\d{3})", text):
        return ClientError({"Error": {"Code": status[1]}}, "PutObject")
    return StorageUnreachable("no answer of S3")
