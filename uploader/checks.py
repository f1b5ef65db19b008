"""Checks of the settings that the uploader needs. `cpsite/checks.py` says how they are run."""

import re
from collections.abc import Sequence
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error

#: A bucket's name, loosely: other stores than AWS's take more. Or the ARN of an access point.
_BUCKET: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]"
    r"|arn:aws[a-z-]*:s3:[a-z0-9-]+:\d{12}:accesspoint[:/][a-z0-9-]+"
)


def check_bucket(app_configs: Sequence[Any] | None, **_kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """cpsite.E004: there must be a place to store messages."""
    if settings.MESSAGES_DIRECTORY:
        return []
    if problem := _bucket_problem(settings.S3_BUCKET):
        return [
            Error(
                problem,
                hint="Set it to the bucket's name alone, which `terraform output s3_bucket_name` "
                "prints, or to the ARN of an access point. Folders are for S3_PREFIX.",
                id="cpsite.E004",
            )
        ]
    return []


def _bucket_problem(bucket: str) -> str:
    if not bucket:
        return "S3_BUCKET is not set."
    if not _BUCKET.fullmatch(bucket):
        return "S3_BUCKET is not the name of a bucket."
    if bucket.endswith("--x-s3"):
        return "S3_BUCKET names a directory bucket, which is not supported."
    return ""
