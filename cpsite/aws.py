"""boto3 clients from one shared session, and names for AWS's errors.

A session keeps the service models and endpoints that botocore loads, which take 10 MB of memory.
One session is enough, and processes that are forked later share its memory.
"""

import threading
from functools import cache
from typing import Any, Final

import boto3
from botocore.exceptions import ClientError
from django.conf import settings

#: A session must not make two clients at a time (boto3: "Session", "Multithreading").
_making: Final = threading.Lock()


class QueueRefused(Exception):
    """SQS refused to send, delete or change one message.

    `code` is AWS's error code. With `sender_fault`, SQS would refuse the same call again.
    """

    def __init__(self, code: str, *, sender_fault: bool = True) -> None:
        super().__init__(code)
        self.code = code
        self.sender_fault = sender_fault


@cache
def _session() -> boto3.Session:
    return boto3.Session()


def client(service: str, **options: Any) -> Any:
    """Return a new client for AWS_REGION; `options` are those of `boto3.Session.client`.

    boto3 finds the credentials and the endpoint itself.
    """
    with _making:
        return _session().client(
            service,  # type: ignore[call-overload] # the stubs know names only
            **{"region_name": settings.AWS_REGION, **options},
        )


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
    return type(exc).__name__
