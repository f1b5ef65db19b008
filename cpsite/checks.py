"""System checks: a service does not start with a configuration that it cannot work with.

Checks are tagged with the service that needs them and registered as deployment checks, so that
`manage.py migrate` does not ask for an API token. Services call `require`; people run
`manage.py check --deploy`.
"""

import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import botocore.session
from botocore.exceptions import BotoCoreError
from django.conf import settings
from django.core.checks import CheckMessage, Error, run_checks
from django.core.management.base import SystemCheckError

from cpsite import aws

VALIDATOR: Final = "validator"
UPLOADER: Final = "uploader"

#: `https://host/account/name`, as SQS returns them; the URLs of FIFO queues end in `.fifo`.
_QUEUE_URL = re.compile(r"https?://[^/]+/(?:.+/)?[A-Za-z0-9_-]{1,80}(\.fifo)?")


#: Hosts of SQS, with the region: `sqs.<region>.amazonaws.com`, its FIPS, dualstack and VPC
#: endpoints, and the older `<region>.queue.amazonaws.com` (AWS: "Amazon SQS endpoints and quotas").
_SQS_HOSTS: Final = (
    re.compile(r"(?:.+\.)?sqs(?:-fips)?\.([a-z0-9-]+)\.(?:vpce\.)?amazonaws\.com(?:\.cn)?"),
    re.compile(r"(?:.+\.)?sqs(?:-fips)?\.([a-z0-9-]+)\.api\.(?:aws|amazonwebservices\.com\.cn)"),
    re.compile(r"([a-z0-9-]+)\.queue\.amazonaws\.com(?:\.cn)?"),
)


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


def check_dead_letter_queue(
    app_configs: Sequence[Any] | None,  # noqa: ARG001
    **_kwargs: Any,
) -> list[CheckMessage]:
    """cpsite.E010: SQS_DLQ_URL, where it is set, must name another standard queue."""
    url = settings.SQS_DLQ_URL
    if not url:
        return []
    if url.rstrip("/") == settings.SQS_QUEUE_URL.rstrip("/"):
        problem = "SQS_DLQ_URL and SQS_QUEUE_URL name the same queue."
    elif (match := _QUEUE_URL.fullmatch(url)) is None or match[1]:
        problem = "SQS_DLQ_URL is not the URL of a standard queue."
    else:
        return []
    hint = "Set it to what `terraform output sqs_dlq_url` prints, or leave it out."
    return [Error(problem, hint=hint, id="cpsite.E010")]


def check_queue_endpoint(
    app_configs: Sequence[Any] | None,  # noqa: ARG001
    **_kwargs: Any,
) -> list[CheckMessage]:
    """cpsite.E011: the queues must be where the client will call."""
    try:
        endpoint = str(aws.client("sqs", **_NO_CREDENTIALS).meta.endpoint_url)
    except (BotoCoreError, ValueError) as exc:  # ValueError: an endpoint that is no URL
        return [] if _profile_problem() else [_misplaced(f"AWS's configuration: {exc}")]
    called = _sqs_region(endpoint)
    return [
        _misplaced(f"{name} is at {urlsplit(url).netloc}, but the client will call {endpoint}.")
        for name in ("SQS_QUEUE_URL", "SQS_DLQ_URL")
        if _QUEUE_URL.fullmatch(url := getattr(settings, name)) and _sqs_region(url) != called
    ]


#: To find real ones, botocore may make a request.
_NO_CREDENTIALS: Final = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}


def _misplaced(problem: str) -> Error:
    return Error(
        problem,
        hint="Set AWS_REGION to the queue's region. Set AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_SQS "
        "for an emulator of SQS, and for nothing else.",
        id="cpsite.E011",
    )


def _sqs_region(url: str) -> str | None:
    """Return the region of a URL of SQS, or None when it is not one of AWS's."""
    host = urlsplit(url).hostname or ""
    if host == "queue.amazonaws.com":
        return "us-east-1"
    matches = (pattern.fullmatch(host) for pattern in _SQS_HOSTS)
    return next((match[1] for match in matches if match), None)


def check_profile(app_configs: Sequence[Any] | None, **_kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """cpsite.E012: AWS_PROFILE, where it is set, must name a profile."""
    problem = _profile_problem()
    hint = "Correct AWS_PROFILE, AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE, or unset them."
    return [Error(problem, hint=hint, id="cpsite.E012")] if problem else []


def _profile_problem() -> str:
    try:
        botocore.session.Session().get_scoped_config()
    except BotoCoreError as exc:
        return f"AWS's configuration cannot be used: {exc}"
    return ""
