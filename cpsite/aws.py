"""boto3 clients from one shared session, and names for AWS's errors.

A session keeps the service models and endpoints that botocore loads, which take 10 MB of memory.
One session is enough, and processes that are forked later share its memory.
"""

import os
import threading
from functools import cache
from typing import Any, Final

import boto3
import botocore.session
from botocore.exceptions import ClientError
from botocore.httpsession import get_cert_path
from django.conf import settings

from cpsite.credentials import CredentialsUnavailable, RenewedCredentials

#: A session must not make two clients at a time (boto3: "Session", "Multithreading").
_making: Final = threading.Lock()


#: Codes with which AWS's services refuse credentials that were valid before, or are not known yet
#: (AWS: "Common errors" of the SQS and SSM references, "List of error codes" of S3's).
REFUSED_CREDENTIALS: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)


class QueueRefused(Exception):
    """SQS refused to send, delete or change one message.

    `code` is AWS's error code. With `sender_fault`, SQS would refuse the same call again.
    """

    def __init__(self, code: str, *, sender_fault: bool = True) -> None:
        super().__init__(code)
        self.code = code
        self.sender_fault = sender_fault


class StorageUnreachable(OSError):
    """S3 did not answer. `kind` says why: `timed_out`, `certificate`, `wrong_region` and so on."""

    def __init__(self, kind: str = "no_answer") -> None:
        super().__init__(kind)
        self.kind = kind


@cache
def credentials() -> RenewedCredentials:
    """Return the credentials that all clients of this process share."""
    return RenewedCredentials()


def _forget_threads() -> None:
    if credentials.cache_info().currsize:
        credentials().forget_threads()


# The thread that looks for credentials stays behind in the parent.
os.register_at_fork(after_in_child=_forget_threads)


class _Provider:
    """What botocore's sessions ask for credentials, in place of their own chain of providers."""

    def load_credentials(self) -> RenewedCredentials:
        return credentials()


def new_session() -> boto3.Session:
    """Return a session whose clients use `credentials()`. Its models take 10 MB of memory."""
    core = botocore.session.Session()
    core.register_component("credential_provider", _Provider())
    core.register("after-call", _after_call)
    return boto3.Session(botocore_session=core)


def _after_call(**event: Any) -> None:
    note_refused_credentials(event["parsed"].get("Error", {}).get("Code"))


def note_refused_credentials(code: str | None) -> None:
    """Have others looked for, if AWS has answered with a code of REFUSED_CREDENTIALS."""
    if code in REFUSED_CREDENTIALS:
        credentials().distrust()


@cache
def _session() -> boto3.Session:
    return new_session()


def client(service: str, **options: Any) -> Any:
    """Return a new client for AWS_REGION; `options` are those of `boto3.Session.client`.

    boto3 finds the credentials and the endpoint itself.
    """
    with _making:
        return _session().client(
            service,  # type: ignore[call-overload] # the stubs know names only
            **{"region_name": settings.AWS_REGION, **options},
        )


def trusted_authorities() -> str:
    """Return the file with the certificate authorities that boto3 trusts."""
    core = _session()._session  # noqa: SLF001 - boto3 has no public way to ask
    configured = core.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    return str(configured or get_cert_path(verify=True))


def preload(*services: str) -> None:
    """Load what clients of these services need, before processes are forked. Makes no requests."""
    for service in services:
        # Dummy credentials: to find real ones, botocore may make a request.
        client(service, aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106


def describe(exc: Exception) -> str:
    """Return AWS's error code, else the class name; never the text, which may quote a request."""
    if isinstance(exc, ClientError):
        return f"aws_{exc.response['Error']['Code']}"
    if isinstance(exc, QueueRefused):
        return f"aws_{exc.code}"
    if isinstance(exc, StorageUnreachable):
        return f"storage_{exc.kind}"
    if isinstance(exc, CredentialsUnavailable):
        return f"no_credentials_{exc.reason}"
    return type(exc).__name__
