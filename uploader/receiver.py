"""Receives messages from SQS and acknowledges, hides or releases them."""

from collections.abc import Sequence

from django.conf import settings
from kombu.messaging import Consumer

from cpsite.aws import QueueRefused
from cpsite.queue.batch import BATCH_ENTRIES
from cpsite.queue.client import Client
from cpsite.queue.connection import consuming_connection, queue
from cpsite.queue.delivery import Delivery


class Receiver:
    """Receives from the queue. One thread may receive; any may acknowledge, hide or release."""

    def __init__(self, *, concurrency: int) -> None:
        connection = consuming_connection(
            wait_time_seconds=settings.UPLOADER_WAIT_SECONDS, max_pool_connections=concurrency + 2
        )
        self._connection = connection
        self._received: list[Delivery] = []
        self._channel = connection.channel()
        # Created before other threads need it: concurrent first calls would each create a client.
        self._channel.sqs(queue().name)
        self._consumer = Consumer(
            self._channel,
            queues=[queue()],
            on_message=lambda message: self._received.append(Delivery(message)),
            auto_declare=False,
        )
        self._consumer.consume()

    def receive(self, limit: int) -> list[Delivery]:
        """Wait up to UPLOADER_WAIT_SECONDS for messages; return at most `limit`, perhaps none.

        Raises one of QUEUE_FAILURES.
        """
        self._channel.receive_limit = min(limit, BATCH_ENTRIES)
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
        client = self._client()
        if len(deliveries) == 1:
            deliveries[0].acknowledge()
            return [None]
        for delivery in deliveries:
            self._forget(delivery)
        return client.delete_messages(
            settings.SQS_QUEUE_URL, [delivery.receipt_handle for delivery in deliveries]
        )

    def release(self, deliveries: Sequence[Delivery], *, delay_seconds: int) -> None:
        """Have SQS deliver these again after a delay in seconds; 0 means at once.

        Raises one of QUEUE_FAILURES. SQS then delivers them after the queue's visibility timeout.
        """
        for delivery in deliveries:
            self._forget(delivery)
        for failure in self.change_visibility(deliveries, seconds=delay_seconds):
            if failure is not None:
                raise failure

    def change_visibility(
        self, deliveries: Sequence[Delivery], *, seconds: int
    ) -> list[Exception | None]:
        """Hide these for so many seconds from now. Return None or the error for each.

        Raises one of QUEUE_FAILURES when a whole call fails.
        """
        outcomes: list[Exception | None] = []
        for start in range(0, len(deliveries), BATCH_ENTRIES):
            batch = deliveries[start : start + BATCH_ENTRIES]
            outcomes += self._client().change_visibility(
                settings.SQS_QUEUE_URL, [delivery.receipt_handle for delivery in batch], seconds
            )
        return outcomes

    def attributes(self) -> dict[str, str]:
        """Return the queue's VisibilityTimeout and, if it has one, its RedrivePolicy.

        Raises one of QUEUE_FAILURES.
        """
        answer = self._client().get_queue_attributes(
            QueueUrl=settings.SQS_QUEUE_URL, AttributeNames=["VisibilityTimeout", "RedrivePolicy"]
        )
        found: dict[str, str] | None = answer.get("Attributes")
        if found is None:  # a truncated answer, which botocore takes for success
            raise QueueRefused("NoAttributes", sender_fault=False)
        return found

    def visibility_timeout(self) -> int:
        """Return the queue's visibility timeout in seconds.

        Raises one of QUEUE_FAILURES.
        """
        return int(self.attributes()["VisibilityTimeout"])

    def _client(self) -> Client:
        client: Client = self._channel.sqs(queue().name)
        return client

    @staticmethod
    def _forget(delivery: Delivery) -> None:
        # Kombu keeps each unacknowledged message in order to restore it, which must not happen.
        delivery.kombu_message.channel.qos.ack(delivery.receipt_handle)

    def close(self) -> None:
        self._connection.close()
