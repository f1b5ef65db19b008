"""The storage for messages: django-storages for S3, but with obstore for writes."""

import os
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import obstore
from boto3 import Session
from botocore.awsrequest import AWSResponse, HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ClientError
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from obstore.exceptions import BaseError
from obstore.store import S3Store
from storages.backends.s3 import S3Storage

from cpsite import __version__, aws
from cpsite.aws import StorageUnreachable
from cpsite.credentials import CredentialsUnavailable
from cpsite.message import CONTENT_TYPE

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from obstore.store import ClientConfig, S3Config, S3Credential


class Target(NamedTuple):
    """Where boto3 would write the objects: `url` is that of a key without the key."""

    url: str
    signing_region: str


class _NoBody:
    """What botocore reads an empty answer from."""

    def stream(self) -> Iterator[bytes]:
        return iter(())


class MessageS3Storage(S3Storage):
    """django-storages' S3Storage, but each save is one PutObject by one shared obstore client.

    S3Storage's own save suits large files: a boto3 resource and a transfer manager for each save, a
    thread-local session, and an `Expect: 100-continue` round trip. obstore (Rust's object_store)
    needs a quarter of what the cheapest small write costs in boto3 (docs/adr/0008). Reading, links
    and everything else are S3Storage's.

    What is configured is what boto3 knows: boto3 decides where a write goes and how its
    certificate is verified, and `cpsite.aws.credentials` signs it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # In us-east-1, boto3 uses the global host name by default.
        configured: Any = self.client_config
        own: Any = {"us_east_1_regional_endpoint": "regional", **(configured.s3 or {})}
        self.client_config: Any = configured.merge(Config(s3=own))
        self._store_lock = threading.Lock()
        self._store: S3Store | None = None

    def put_store(self) -> S3Store:
        """Return the client that all threads write with. Makes no requests.

        Raises BotoCoreError, or ImproperlyConfigured for an unknown object parameter.
        """
        with self._store_lock:
            if self._store is None:
                self._store = self._make_store()
            return self._store

    def _create_session(self) -> Session:
        return aws.new_session()

    def _make_store(self) -> S3Store:
        session = self._create_session()
        target = self.target(session)
        config = self.client_config
        for name in UNDOCUMENTED_VARIABLES & os.environ.keys():
            # object_store would read it. boto3 does not know it.
            del os.environ[name]
        return S3Store(
            self.bucket_name,
            region=target.signing_region,
            # The endpoint includes the bucket, in the host or in the path.
            virtual_hosted_style_request=True,
            # These names take precedence over what object_store finds in the environment.
            config={
                "aws_endpoint_url_s3": target.url,
                # It costs nothing more: the signature holds the same digest. Object Lock needs it.
                "checksum_algorithm": "SHA256",
                **_encryption(self.object_parameters),
            },
            credential_provider=_credential,
            client_options={
                "allow_http": target.url.startswith("http://"),
                "connect_timeout": timedelta(seconds=config.connect_timeout),
                "timeout": timedelta(seconds=config.read_timeout),
                "user_agent": f"cpsite/{__version__}",
                **self._trust(session),
            },
            retry_config={
                "max_retries": config.retries["total_max_attempts"] - 1,
                "retry_timeout": timedelta(seconds=2 * config.read_timeout),
                "backoff": {"max_backoff": timedelta(seconds=settings.S3_BACKOFF_SECONDS)},
            },
        )

    def target(self, session: Session) -> Target:
        """Return where boto3 would write: it prepares a request, which is not sent."""
        client = session.client(
            "s3",
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            use_ssl=self.use_ssl,
            config=self.client_config,
            # To find real ones, botocore may make a request.
            aws_access_key_id="none",
            aws_secret_access_key="none",  # noqa: S106
        )
        prepared: list[AWSPreparedRequest] = []

        def keep(request: "AWSPreparedRequest", **_event: Any) -> AWSResponse:
            prepared.append(request)
            return AWSResponse(request.url, 200, HTTPHeaders(), _NoBody())

        # An answer of a handler of this event takes the place of the call.
        client.meta.events.register("before-send.s3.PutObject", keep)  # type: ignore[arg-type]
        client.put_object(Bucket=self.bucket_name, Key=_PROBE, Body=b"")
        request = prepared[0]
        authorization = request.headers["Authorization"]
        if isinstance(authorization, bytes):
            authorization = authorization.decode()
        scope = re.search(r"AWS4-HMAC-SHA256 Credential=[^/]+/\d+/([^/]+)/s3/", authorization)
        if scope is None:
            raise ImproperlyConfigured(
                "The messages storage signs with AWS4-HMAC-SHA256 for s3 alone; S3_BUCKET or AWS's "
                "configuration asks for something else."
            )
        return Target(request.url.removesuffix(f"/{_PROBE}"), scope[1])

    def _trust(self, session: Session) -> "ClientConfig":
        """Return how to verify certificates, found where boto3 looks for it."""
        verify = self.verify
        if verify is None:
            core = session._session  # noqa: SLF001 - boto3 has no public way to ask
            verify = core.get_config_variable("ca_bundle")
        if verify is None:
            verify = os.environ.get("REQUESTS_CA_BUNDLE")
        if verify is False:
            return {"allow_invalid_certificates": True}
        if not isinstance(verify, str):
            return {}
        try:
            return {"root_certificate": _read_bundle(Path(verify))}
        except OSError as exc:
            raise ImproperlyConfigured(
                f"The CA bundle {verify} (AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE, ca_bundle or verify) "
                f"cannot be read: {exc.strerror}."
            ) from exc

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Write `content`, a File of bytes, under the key `name`, and return the key.

        Django's own looks for a name that is free, and checks it four times, which was a third of
        an upload thread's Python for a message. Here a repeat must overwrite, and keys are ours.

        Raises ClientError, BotoCoreError or OSError; SuspiciousOperation for a key that leaves
        the storage's location, if it has one.
        """
        if not name:
            raise ValueError("an object needs a key")
        key = self._normalize_name(name)
        attributes = {"Content-Type": _GZIP if name.endswith(".gz") else CONTENT_TYPE}
        # Asked for here as well as by obstore, which would hide the error in a text.
        aws.credentials().get_frozen_credentials()
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
            error = _as_botocore_error(str(exc))
            if isinstance(error, ClientError):
                aws.note_refused_credentials(error.response["Error"]["Code"])
            raise error from None
        return name


#: The key of the request that is prepared and not sent.
_PROBE: Final = "probe"

_GZIP: Final = "application/gzip"

#: obstore asks for credentials anew five minutes before they expire. So it keeps them for a second.
_CREDENTIAL_SECONDS: Final = 301

#: Variables that object_store reads and that boto3 does not know: they would change how writes are
#: signed, encrypted, sent or trusted. tests/cpsite/test_storage.py compares the list with obstore.
UNDOCUMENTED_VARIABLES: Final = {
    f"AWS_{name}"
    for name in (
        *("BUCKET", "BUCKET_NAME", "CHECKSUM_ALGORITHM", "CONDITIONAL_PUT", "COPY_IF_NOT_EXISTS"),
        *("DISABLE_BULK_DELETE", "DISABLE_TAGGING", "ENDPOINT", "IMDSV1_FALLBACK"),
        *("METADATA_ENDPOINT", "REQUEST_PAYER", "S3_EXPRESS", "SERVER_SIDE_ENCRYPTION"),
        *("SKIP_SIGNATURE", "SSE_BUCKET_KEY_ENABLED", "SSE_CUSTOMER_KEY_BASE64", "SSE_KMS_KEY_ID"),
        *("STS_ENDPOINT", "TOKEN", "UNSIGNED_PAYLOAD", "VIRTUAL_HOSTED_STYLE_REQUEST"),
        # Of its HTTP client.
        *("ALLOW_HTTP", "ALLOW_INVALID_CERTIFICATES", "CONNECT_TIMEOUT", "DEFAULT_CONTENT_TYPE"),
        *("DEFAULT_HEADERS", "HTTP1_ONLY", "HTTP2_KEEP_ALIVE_INTERVAL"),
        *("HTTP2_KEEP_ALIVE_TIMEOUT", "HTTP2_KEEP_ALIVE_WHILE_IDLE", "HTTP2_MAX_FRAME_SIZE"),
        *("HTTP2_ONLY", "POOL_IDLE_TIMEOUT", "POOL_MAX_IDLE_PER_HOST", "PROXY_CA_CERTIFICATE"),
        *("PROXY_EXCLUDES", "PROXY_URL", "RANDOMIZE_ADDRESSES", "READ_TIMEOUT"),
        *("ROOT_CERTIFICATE", "TIMEOUT", "USER_AGENT"),
    )
}

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


def _credential() -> "S3Credential":
    """Return the current credentials for obstore. Raises CredentialsUnavailable."""
    found = aws.credentials().current()
    soon = datetime.now(UTC) + timedelta(seconds=_CREDENTIAL_SECONDS)
    expires_at = datetime.fromtimestamp(found.expires_at, UTC) if found.expires_at else soon
    return {
        "access_key_id": str(found.frozen.access_key),
        "secret_access_key": str(found.frozen.secret_key),
        "token": found.frozen.token,
        "expires_at": min(expires_at, soon),
    }


def _read_bundle(path: Path) -> bytes:
    """Return the certificates of a file, or of the files in a directory."""
    if path.is_dir():
        return b"\n".join(file.read_bytes() for file in sorted(path.iterdir()) if file.is_file())
    return path.read_bytes()


#: What obstore's text holds for each kind of failure without an answer of S3, in the order in which
#: they are looked for (object_store 0.14 and reqwest 0.13: how their errors are displayed).
_KINDS: Final = (
    ("External AWS credential provider", "credentials"),
    ("InvalidCertificate", "certificate"),
    ("invalid peer certificate", "certificate"),
    ("Received redirect without LOCATION", "wrong_region"),
    ("dns error", "dns"),
    ("ConnectionRefused", "connection_refused"),
    ("kind: Timeout", "timed_out"),
    ("TimedOut", "timed_out"),
    ("ConnectionReset", "connection_lost"),
    ("IncompleteMessage", "connection_lost"),
    ("BrokenPipe", "connection_lost"),
    ("UnexpectedEof", "connection_lost"),
    ("NetworkUnreachable", "no_route"),
    ("HostUnreachable", "no_route"),
    ("InvalidContentType", "no_tls"),
)


def _as_botocore_error(text: str) -> ClientError | StorageUnreachable | CredentialsUnavailable:
    """Return the error that boto3 would have raised, with S3's code but no other part of `text`.

    obstore reports status and answer only in its text (object_store 0.14: RetryError's Display).
    """
    if answer := re.search(r"non-2xx status code: (\d{3})[^:\n]*:(.*)", text, re.DOTALL):
        # Twice: as it is, and in the representation of the error.
        content = answer[2].partition("\nDebug source:\n")[0]
        code = re.search(r"<Error>.*?<Code>([A-Za-z0-9._-]{1,64})</Code>", content, re.DOTALL)
        if code is None and answer[1].startswith("3"):
            return StorageUnreachable("wrong_region")
        return ClientError({"Error": {"Code": code[1] if code else answer[1]}}, "PutObject")
    kind = next((kind for words, kind in _KINDS if words in text), "no_answer")
    return CredentialsUnavailable("refused") if kind == "credentials" else StorageUnreachable(kind)
