"""Checks at the start that the queue's settings fit the uploader's."""

import logging

from django.conf import settings
from django.core.management.base import CommandError

from cpsite.aws import describe
from cpsite.queue.delivery import QUEUE_FAILURES
from uploader.receiver import Receiver
from uploader.storage import longest_write_seconds

logger = logging.getLogger(__name__)


def check_queue(receiver: Receiver) -> None:
    """Refuse a queue that would deliver a message again while it is still being written.

    Raises CommandError. Logs a warning when the queue has no dead-letter queue or does not answer.
    """
    try:
        found = receiver.read_settings()
    except QUEUE_FAILURES as exc:
        # SQS may be unavailable just now. The worker retries, so it may start.
        logger.warning("queue_not_checked", extra={"error": describe(exc)})
        return
    if found.max_receive_count is None:
        logger.warning("queue_without_dead_letters", extra={"queue": settings.SQS_QUEUE_URL})
    if found.visibility_timeout_seconds <= longest_write_seconds():
        raise CommandError(
            f"The queue's visibility timeout is {found.visibility_timeout_seconds} s, and a write "
            f"to S3 may take {longest_write_seconds():.0f} s (two attempts of "
            "S3_TIMEOUT_SECONDS): a message would be delivered again while it is being written. "
            "Raise the timeout of the queue (120 s is a good value), or lower S3_TIMEOUT_SECONDS."
        )
