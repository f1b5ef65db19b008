"""System checks: a service does not start with a configuration that it cannot work with.

Checks are tagged with the service that needs them and registered as deployment checks, so that
`manage.py migrate` does not ask for an API token. Services call `require`; people run
`manage.py check --deploy`.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, run_checks
from django.core.management.base import SystemCheckError

VALIDATOR: Final = "validator"
UPLOADER: Final = "uploader"

#: `https://host/account/name`, as SQS returns them; the URLs of FIFO queues end in `.fifo`.
_QUEUE_URL = re.compile(r"https?://[^/]+/(?:.+/)?[A-Za-z0-9_-]{1,80}(\.fifo)?")


def require(service: str) -> None:
    """Run the checks of `service`. Raises SystemCheckError listing every error found."""
    messages = run_checks(tags=[service], include_deployment_checks=True)
    errors = [message for message in messages if message.is_serious()]
    if errors:
        raise SystemCheckError(
            f"The {service} cannot start:\n" + "\n".join(str(error) for error in errors)
        )


def check_queue_url(app_configs: Sequence[Any] | None, **_kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """cpsite.E003: SQS_QUEUE_URL must name a standard queue."""
    match = _QUEUE_URL.fullmatch(settings.SQS_QUEUE_URL)
    if match is None:
        return [
            Error(
                "SQS_QUEUE_URL is not the URL of a queue.",
                hint="Set it to what `terraform output sqs_queue_url` prints, "
                "for example https://sqs.us-east-1.amazonaws.com/123456789012/cpsite-messages.",
                id="cpsite.E003",
            )
        ]
    if match[1]:
        return [
            Error(
                "SQS_QUEUE_URL names a FIFO queue.",
                hint="Use a standard queue: messages are independent of each other, and a FIFO "
                "queue would deliver them one at a time.",
                id="cpsite.E003",
            )
        ]
    return []
