"""The uploader's end of the queue."""

from collections.abc import Sequence

from django.conf import settings
from kombu.messaging import Consumer

from cpsite.aws import QueueRefused
from cpsite.queue.batch import BATCH_ENTRIES
from cpsite.queue.client import Client
from cpsite.queue.connection import consuming_connection, queue
from cpsite.queue.delivery import Delivery


class Receiver:
    """Receives from the queue. One thread receives; any may acknowledge or release."""

    def __init__(self, *, concurrency: int) -> None:
        connection = consuming_connection(
            wait_time_seconds=settings.UPLOADER_WAIT_SECONDS, max_pool_connections=concurrency + 2
        )
        self._connection = connection
        self._received: list[Delivery] = []
        self._channel = connection.channel()
        # Before any other thread needs it: Kombu creates one client for each that comes first.
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
            # One receive: SQS does the waiting, so Kombu must not start another.
            self._connection.drain_events(timeout=0)
        except TimeoutError:
            return []
        return self._received

    def acknowledge(self, deliveries: Sequence[Delivery]) -> list[Exception | None]:
        """Delete up to ten messages from the queue; return for each None or why it stays there.

        Raises one of QUEUE_FAILURES when that is not known of any.
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
        """Let SQS deliver these again after a delay; 0 means at once.

        Raises one of QUEUE_FAILURES, in which case they come back by themselves after the
        queue's visibility timeout.
        """
        for delivery in deliveries:
            self._forget(delivery)
        for failure in self.change_visibility(deliveries, seconds=delay_seconds):
            if failure is not None:
                raise failure

    def change_visibility(
        self, deliveries: Sequence[Delivery], *, seconds: int
    ) -> list[Exception | None]:
        """Hide these for so many seconds from now; return for each None or why it is not.

        Raises one of QUEUE_FAILURES when that is not known of any.
        """
        outcomes: list[Exception | None] = []
        for start in range(0, len(deliveries), BATCH_ENTRIES):
            batch = deliveries[start : start + BATCH_ENTRIES]
            outcomes += self._client().change_visibility(
                settings.SQS_QUEUE_URL, [delivery.receipt_handle for delivery in batch], seconds
            )
        return outcomes

    def attributes(self) -> dict[str, str]:
        """Return the queue's VisibilityTimeout and, where it has one, its RedrivePolicy.

        Raises one of QUEUE_FAILURES.
        """
        answer = self._client().get_queue_attributes(
            QueueUrl=settings.SQS_QUEUE_URL, AttributeNames=["VisibilityTimeout", "RedrivePolicy"]
        )
        found: dict[str, str] | None = answer.get("Attributes")
        if found is None:  # cut short, which is success to botocore
            raise QueueRefused("NoAttributes", sender_fault=False)
        return found

    def visibility_timeout(self) -> int:
        """Return for how many seconds the queue hides what it delivers.

        Raises one of QUEUE_FAILURES.
        """
        return int(self.attributes()["VisibilityTimeout"])

    def _client(self) -> Client:
        client: Client = self._channel.sqs(queue().name)
        return client

    @staticmethod
    def _forget(delivery: Delivery) -> None:
        # Kombu keeps what is neither acked nor rejected, for a restore that we do not want.
        delivery.kombu_message.channel.qos.ack(delivery.receipt_handle)

    def close(self) -> None:
        self._connection.close()
