"""How errors are named in logs and in the audit log."""

from botocore.exceptions import ClientError

from cpsite.sqs_batch import QueueRefused


def describe(exc: Exception) -> str:
    """Name an error by AWS's code or its class: texts may quote a request."""
    if isinstance(exc, ClientError):
        return f"aws_{exc.response['Error']['Code']}"
    if isinstance(exc, QueueRefused):
        return f"aws_{exc.code}"
    return type(exc).__name__
