"""Checks of the settings that the uploader needs. `cpsite/checks.py` says how they are run."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error


def check_bucket(app_configs: Sequence[Any] | None, **_kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """cpsite.E004: there must be a place to store messages."""
    if settings.S3_BUCKET or settings.MESSAGES_DIRECTORY:
        return []
    return [
        Error(
            "S3_BUCKET is not set.",
            hint="Set it to the bucket's name, which `terraform output s3_bucket_name` prints.",
            id="cpsite.E004",
        )
    ]
