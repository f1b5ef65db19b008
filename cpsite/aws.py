"""The clients of AWS that a process has, from one session, and the names of AWS's errors.

What botocore reads for a client (service models, endpoints) takes 10 MB of memory and is kept by
its session. One session is enough, and processes that are forked later share what it holds.
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
    """SQS refused a send or a change of one message.

    `code` is AWS's. With `sender_fault` it would refuse the same again.
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

    Credentials and endpoint come from where boto3 takes them.
    """
    with _making:
        return _session().client(
            service,  # type: ignore[call-overload] # the stubs know names only
            **{"region_name": settings.AWS_REGION, **options},
        )


def preload(*services: str) -> None:
    """Read what clients of these services need, before processes are forked. Makes no calls."""
    for service in services:
        # Any credentials, or botocore would look for ours, which may mean a request.
        client(service, aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106


def describe(exc: Exception) -> str:
    """Name an error by AWS's code or its class: texts may quote a request."""
    if isinstance(exc, ClientError):
        return f"aws_{exc.response['Error']['Code']}"
    if isinstance(exc, QueueRefused):
        return f"aws_{exc.code}"
    return type(exc).__name__
