"""The uploader's end of the queue."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from kombu.exceptions import KombuError
from kombu.message import Message as KombuMessage
from kombu.messaging import Consumer

from cpsite.queue import connection as broker
from cpsite.queue.batch import BATCH_ENTRIES, QueueRefused
from cpsite.queue.transport import UNDECODABLE_HEADER, Client

#: What a call to SQS can fail with.
QUEUE_FAILURES: Final = (ClientError, BotoCoreError, KombuError, OSError, QueueRefused)


@dataclass(eq=False)
class Delivery:
    """One delivery of a message; the same message may be delivered again, as another one."""

    kombu_message: KombuMessage
    #: What was published, byte for byte.
    body: bytes = field(init=False)
    #: When it was received, and since when SQS counts the time until it delivers it again, both by
    #: the monotonic clock.
    received_at: float = field(default_factory=time.monotonic)
    hidden_at: float = field(init=False)

    def __post_init__(self) -> None:
        body = self.kombu_message.body
        self.body = body if isinstance(body, bytes) else str(body).encode()
        self.hidden_at = self.received_at
        # The same in two more forms, which a large message in hand should not take up memory with.
        self.kombu_message.body = None
        self._sqs_message["Body"] = ""

    @property
    def undecodable(self) -> str | None:
        """Why the envelope could not be read, or None when it could."""
        reason: str | None = self.kombu_message.headers.get(UNDECODABLE_HEADER)
        return reason

    @property
    def sqs_message_id(self) -> str:
        """SQS's own id of the message, for the logs: ours is inside the body."""
        return str(self._sqs_message["MessageId"])

    @property
    def attempts(self) -> int:
        """How often SQS has delivered this message, this time included."""
        return int(self._sqs_message["Attributes"]["ApproximateReceiveCount"])

    @property
    def sent_at(self) -> float:
        """When SQS took the message, as Unix time in seconds."""
        return int(self._sqs_message["Attributes"]["SentTimestamp"]) / 1000

    @property
    def receipt_handle(self) -> str:
        """What SQS knows this very delivery by."""
        return str(self.kombu_message.delivery_tag)

    @property
    def _sqs_message(self) -> dict[str, Any]:
        found: dict[str, Any] = self.kombu_message.delivery_info["sqs_message"]
        return found

    def acknowledge(self) -> None:
        """Delete the message from the queue. Raises one of QUEUE_FAILURES when it stays there."""
        self.kombu_message.ack()


class Receiver:
    """Receives from the queue. One thread receives; any may acknowledge or release."""

    def __init__(self, *, concurrency: int) -> None:
        connection = broker.consuming_connection(
            wait_time_seconds=settings.UPLOADER_WAIT_SECONDS, max_pool_connections=concurrency + 2
        )
        self._connection = connection
        self._received: list[Delivery] = []
        self._channel = connection.channel()
        # Before any other thread needs it: Kombu creates one client for each that comes first.
        self._channel.sqs(broker.queue().name)
        self._consumer = Consumer(
            self._channel,
            queues=[broker.queue()],
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
        client: Client = self._channel.sqs(broker.queue().name)
        return client

    @staticmethod
    def _forget(delivery: Delivery) -> None:
        # Kombu keeps what is neither acked nor rejected, for a restore that we do not want.
        delivery.kombu_message.channel.qos.ack(delivery.receipt_handle)

    def close(self) -> None:
        self._connection.close()
