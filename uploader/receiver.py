"""Receives messages from SQS and acknowledges, hides or releases them."""

import threading
from collections.abc import Sequence

from django.conf import settings
from kombu.message import Message as KombuMessage
from kombu.messaging import Consumer

from cpsite.aws import QueueRefused
from cpsite.queue.batch import BATCH_ENTRIES
from cpsite.queue.client import Client
from cpsite.queue.connection import consuming_connection, queue
from cpsite.queue.delivery import Delivery
from uploader.queue_settings import QueueAttributes


class Receiver:
    """Receives from the queue. One thread may receive; any may acknowledge, hide or release."""

    def __init__(self, *, concurrency: int) -> None:
        connection = consuming_connection(
            wait_time_seconds=settings.UPLOADER_WAIT_SECONDS, max_pool_connections=concurrency + 2
        )
        self._connection = connection
        #: The queue's settings when they were last read, or None.
        self.settings: QueueAttributes | None = None
        # An extension under way would hide a message anew that is released meanwhile.
        self._changing = threading.Lock()
        self._received: list[Delivery] = []
        #: For how long the receive under way hides messages, or None if the queue says.
        self._hidden_seconds: int | None = None
        self._channel = connection.channel()
        # Created before other threads need it: concurrent first calls would each create a client.
        # Kept, because Kombu takes longer to find it than a message takes to decode.
        self._client: Client = self._channel.sqs(queue().name)
        self._consumer = Consumer(
            self._channel,
            queues=[queue()],
            on_message=self._take,
            auto_declare=False,
        )
        self._consumer.consume()

    def _take(self, message: KombuMessage) -> None:
        self._received.append(Delivery(message, hidden_seconds=self._hidden_seconds))

    def receive(self, limit: int) -> list[Delivery]:
        """Wait up to UPLOADER_WAIT_SECONDS for messages; return at most `limit`, perhaps none.

        Raises one of QUEUE_FAILURES.
        """
        self._channel.receive_limit = min(limit, BATCH_ENTRIES)
        # Noted before the call: other settings may be read meanwhile.
        self._hidden_seconds = self.settings.hidden_seconds if self.settings else None
        options = {"VisibilityTimeout": self._hidden_seconds} if self._hidden_seconds else {}
        self._client.receive_options = options
        self._received = []
        try:
            # One receive, no more: SQS waits for messages, so Kombu must not repeat it.
            self._connection.drain_events(timeout=0)
        except TimeoutError:
            return []
        return self._received

    def acknowledge(self, deliveries: Sequence[Delivery]) -> list[Exception | None]:
        """Delete up to ten messages from the queue. Return None or the error for each.

        Raises one of QUEUE_FAILURES when the whole call fails.
        """
        if len(deliveries) == 1:
            deliveries[0].acknowledge()
            return [None]
        for delivery in deliveries:
            self._forget(delivery)
        return self._client.delete_messages(
            settings.SQS_QUEUE_URL, [delivery.receipt_handle for delivery in deliveries]
        )

    def release(self, deliveries: Sequence[Delivery], *, delay_seconds: int) -> None:
        """Have SQS deliver these again after a delay in seconds; 0 means at once.

        Raises one of QUEUE_FAILURES. SQS then delivers them after the queue's visibility timeout.
        """
        for delivery in deliveries:
            self._forget(delivery)
            delivery.is_released = True
        with self._changing:
            outcomes = self.change_visibility(deliveries, seconds=delay_seconds)
        for failure in outcomes:
            if failure is not None:
                raise failure

    def extend(self, deliveries: Sequence[Delivery], *, seconds: int) -> list[Exception | None]:
        """Hide up to ten deliveries for so many seconds from now, but none that is released.

        Return None or the error for each. Raises one of QUEUE_FAILURES when the call fails.
        """
        with self._changing:
            held = [delivery for delivery in deliveries if not delivery.is_released]
            outcomes = dict(zip(held, self.change_visibility(held, seconds=seconds), strict=True))
        return [outcomes.get(delivery) for delivery in deliveries]

    def change_visibility(
        self, deliveries: Sequence[Delivery], *, seconds: int
    ) -> list[Exception | None]:
        """Hide these for so many seconds from now. Return None or the error for each.

        Raises one of QUEUE_FAILURES when a whole call fails.
        """
        outcomes: list[Exception | None] = []
        for start in range(0, len(deliveries), BATCH_ENTRIES):
            batch = deliveries[start : start + BATCH_ENTRIES]
            outcomes += self._client.change_visibility(
                settings.SQS_QUEUE_URL, [delivery.receipt_handle for delivery in batch], seconds
            )
        return outcomes

    def read_settings(self) -> QueueAttributes:
        """Read the queue's settings, use them for receives, and return them.

        Raises one of QUEUE_FAILURES.
        """
        answer = self._client.get_queue_attributes(
            QueueUrl=settings.SQS_QUEUE_URL, AttributeNames=["VisibilityTimeout", "RedrivePolicy"]
        )
        found: dict[str, str] | None = answer.get("Attributes")
        if found is None:  # a truncated answer, which botocore takes for success
            raise QueueRefused("NoAttributes", sender_fault=False)
        known = QueueAttributes.read(found)
        self.use(known)
        return known

    def use(self, known: QueueAttributes) -> None:
        """Use the queue's settings. Receives then say themselves how long they hide messages.

        Otherwise an operator who lowers the queue's timeout would shorten it for messages in flight
        before we know.
        """
        self.settings = known

    @staticmethod
    def _forget(delivery: Delivery) -> None:
        # Kombu keeps each unacknowledged message in order to restore it, which must not happen.
        delivery.kombu_message.channel.qos.ack(delivery.receipt_handle)

    def close(self) -> None:
        self._connection.close()
