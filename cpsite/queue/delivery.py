"""One delivery of a message by SQS, and what calls about it can fail with."""

import time
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from kombu.exceptions import KombuError
from kombu.message import Message as KombuMessage

from cpsite.aws import QueueRefused
from cpsite.queue.transport import UNDECODABLE_HEADER

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
