"""Reports the lengths of the queues to Prometheus, from every service that may ask for them.

The uploader asks, and so does the validator (`cpsite/web/queue_watch.py`): while one of them is
down, the other one's numbers are still there.
"""

import logging
import threading
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from prometheus_client import Gauge

from cpsite import aws
from cpsite.aws import describe
from cpsite.observability.notices import Notices

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

logger = logging.getLogger(__name__)

#: Seconds between two samples. SQS's numbers are approximate and lag by up to a minute.
INTERVAL: Final = 15.0

#: Names of the queues in `cpsite_queue_messages`.
MESSAGES: Final = "messages"
DEAD_LETTERS: Final = "dead_letters"

_STATES: "Final[dict[QueueAttributeNameType, str]]" = {
    "ApproximateNumberOfMessages": "visible",
    "ApproximateNumberOfMessagesNotVisible": "in_flight",
    "ApproximateNumberOfMessagesDelayed": "delayed",
}

# Of several processes only one samples. When it ends, its numbers go.
queue_messages: Final = Gauge(
    "cpsite_queue_messages",
    "Approximate number of messages, by queue (messages, dead_letters) and state (visible, "
    "in_flight, delayed).",
    ["queue", "state"],
    multiprocess_mode="livemostrecent",
)


def of_this_process() -> dict[str, str]:
    """Return the URLs, by name, of the queues that the role of this HTTP process may ask for."""
    queues = {}
    if settings.SERVES_ADMIN and settings.SQS_DLQ_URL:
        queues[DEAD_LETTERS] = settings.SQS_DLQ_URL
    if settings.SERVES_API and settings.SQS_QUEUE_URL:
        queues[MESSAGES] = settings.SQS_QUEUE_URL
    return queues


class QueueDepthSampler:
    """Sets `cpsite_queue_messages` for `queues`, which are URLs by name, in a thread of its own."""

    def __init__(self, queues: Mapping[str, str]) -> None:
        self._queues = queues
        self._notices = Notices(logger)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="queue-depth", daemon=True)

    @cached_property
    def _client(self) -> "SQSClient":
        """Made by the first sample: a process that never samples needs none."""
        made: SQSClient = aws.client(
            "sqs",
            config=Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2}),
        )
        return made

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
        """Sample each queue once. If one does not answer, its value is NaN, not an old one."""
        for name, url in self._queues.items():
            self.sample_queue(name, url)

    def sample_queue(self, name: str, url: str) -> float:
        """Sample one queue; return its messages in all states, NaN if it does not answer."""
        depths = self.depths(name, url)
        for state, depth in depths.items():
            queue_messages.labels(name, state).set(depth)
        return sum(depths.values())

    def depths(self, name: str, url: str) -> dict[str, float]:
        """Return a queue's number of messages by state, NaN if it does not answer."""
        found = self._attributes(name, url)
        return {state: float(found.get(key, "nan")) for key, state in _STATES.items()}

    def _attributes(self, name: str, url: str) -> "Mapping[QueueAttributeNameType, str]":
        try:
            answer = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=list(_STATES))
        except (ClientError, BotoCoreError, OSError) as exc:
            self._notices.warning("queue_depth_unknown", error=describe(exc), queue=name)
            return {}
        # botocore takes a truncated answer for success, but it holds no attributes.
        return answer.get("Attributes", {})
