"""Looks at the queue before work begins: its settings and ours must fit each other."""

import json
import logging
from dataclasses import dataclass

from django.conf import settings
from django.core.management.base import CommandError

from cpsite.aws import describe
from cpsite.queue.delivery import QUEUE_FAILURES
from uploader.receiver import Receiver
from uploader.storage import longest_write_seconds

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QueueAttributes:
    """What the queue does with deliveries. `max_receive_count` is None without a redrive policy."""

    visibility_timeout_seconds: int
    max_receive_count: int | None

    @classmethod
    def read(cls, attributes: dict[str, str]) -> "QueueAttributes":
        """Read what GetQueueAttributes answers."""
        policy = json.loads(attributes.get("RedrivePolicy") or "{}")
        count = policy.get("maxReceiveCount")
        return cls(int(attributes["VisibilityTimeout"]), None if count is None else int(count))


def check_queue(receiver: Receiver) -> None:
    """Refuse a queue that delivers a message again while it is still being written.

    Warns of a queue without dead letters, and of one that cannot be asked. Raises CommandError.
    """
    try:
        found = QueueAttributes.read(receiver.attributes())
    except QUEUE_FAILURES as exc:
        # SQS may be away just now, which the worker can wait out.
        logger.warning("queue_not_checked", extra={"error": describe(exc)})
        return
    if found.max_receive_count is None:
        logger.warning("queue_without_dead_letters", extra={"queue": settings.SQS_QUEUE_URL})
    if found.visibility_timeout_seconds <= longest_write_seconds():
        raise CommandError(
            f"The queue's visibility timeout is {found.visibility_timeout_seconds} s, and a write "
            f"to S3 may take {longest_write_seconds():.0f} s (two tries of S3_TIMEOUT_SECONDS): a "
            "message would be delivered again while it is being written. Raise the timeout of the "
            "queue (120 s is a good value), or lower S3_TIMEOUT_SECONDS."
        )
