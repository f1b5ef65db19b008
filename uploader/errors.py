"""How errors are named in logs and in the audit log, and which of them are final."""

from typing import Final

from botocore.exceptions import ClientError

from cpsite.queue.batch import QueueRefused

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


def is_refusal(exc: Exception) -> bool:
    """Whether the storage would refuse the same object again."""
    return isinstance(exc, ClientError) and exc.response["Error"]["Code"] in _REFUSALS


def describe(exc: Exception) -> str:
    """Name an error by AWS's code or its class: texts may quote a request."""
    if isinstance(exc, ClientError):
        return f"aws_{exc.response['Error']['Code']}"
    if isinstance(exc, QueueRefused):
        return f"aws_{exc.code}"
    return type(exc).__name__
