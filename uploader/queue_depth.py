"""Reports the lengths of the queues to Prometheus."""

import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from cpsite import aws
from cpsite.aws import describe
from uploader import metrics
from uploader.notices import Notices

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

logger = logging.getLogger(__name__)

#: Seconds between two samples. SQS's numbers are approximate and lag by up to a minute.
INTERVAL: Final = 15.0

_STATES: "Final[dict[QueueAttributeNameType, str]]" = {
    "ApproximateNumberOfMessages": "visible",
    "ApproximateNumberOfMessagesNotVisible": "in_flight",
    "ApproximateNumberOfMessagesDelayed": "delayed",
}


class QueueDepthSampler:
    """Sets `uploader_queue_messages` for the queue and, if configured, the dead-letter queue."""

    def __init__(self) -> None:
        self._client: SQSClient = aws.client(
            "sqs",
            config=Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2}),
        )
        self._notices = Notices(logger)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="queue-depth", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while True:
            try:
                self.sample()
            except Exception:
                # An unexpected error must not end the thread: the metric would keep old numbers.
                logger.exception("queue_depth_failed_unexpectedly")
            if self._stop.wait(INTERVAL):
                return

    def sample(self) -> None:
        """Sample both queues once. If a queue does not answer, its value is NaN, not an old one."""
        for name, url in (
            ("messages", settings.SQS_QUEUE_URL),
            ("dead_letters", settings.SQS_DLQ_URL),
        ):
            if url:
                self._sample(name, url)

    def _sample(self, name: str, url: str) -> None:
        depths = self._depths(name, url)
        for attribute, state in _STATES.items():
            metrics.queue_messages.labels(name, state).set(float(depths.get(attribute, "nan")))

    def _depths(self, name: str, url: str) -> "Mapping[QueueAttributeNameType, str]":
        try:
            answer = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=list(_STATES))
        except (ClientError, BotoCoreError, OSError) as exc:
            self._notices.warning("queue_depth_unknown", error=describe(exc), queue=name)
            return {}
        # botocore takes a truncated answer for success, but it holds no attributes.
        return answer.get("Attributes", {})
