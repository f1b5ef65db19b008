"""One delivery of a message by SQS, and the errors that calls to SQS can raise."""

import time
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from kombu.exceptions import KombuError
from kombu.message import Message as KombuMessage

from cpsite.aws import QueueRefused
from cpsite.queue.transport import UNDECODABLE_HEADER

#: The exceptions that a call to SQS can raise.
QUEUE_FAILURES: Final = (ClientError, BotoCoreError, KombuError, OSError, QueueRefused)


@dataclass(eq=False)
class Delivery:
    """One delivery of a message. SQS may deliver the same message again: that is another one."""

    kombu_message: KombuMessage
    #: What was published, byte for byte.
    body: bytes = field(init=False)
    #: When it was received, and when its current visibility timeout began (monotonic clock).
    received_at: float = field(default_factory=time.monotonic)
    hidden_at: float = field(init=False)
    #: That visibility timeout in seconds, or None if it is the queue's.
    hidden_seconds: int | None = None
    #: Given back to SQS: its visibility must not be extended any more.
    is_released: bool = False
    #: SQS has refused to extend its visibility.
    is_refused: bool = False

    def __post_init__(self) -> None:
        body = self.kombu_message.body
        self.body = body if isinstance(body, bytes) else str(body).encode()
        self.hidden_at = self.received_at
        # Drop two more copies of the body: a large message in flight should take memory only once.
        self.kombu_message.body = None
        self._sqs_message["Body"] = ""

    @property
    def undecodable(self) -> str | None:
        """Why the envelope could not be read, or None when it could."""
        reason: str | None = self.kombu_message.headers.get(UNDECODABLE_HEADER)
        return reason

    @property
    def sqs_message_id(self) -> str:
        """SQS's id of the message, for logs. Our own id is inside the body."""
        return str(self._sqs_message["MessageId"])

    @property
    def attempts(self) -> int:
        """How often SQS has delivered this message, including this time."""
        return int(self._sqs_message["Attributes"]["ApproximateReceiveCount"])

    @property
    def sent_at(self) -> float:
        """When SQS accepted the message, as Unix time in seconds."""
        return int(self._sqs_message["Attributes"]["SentTimestamp"]) / 1000

    @property
    def receipt_handle(self) -> str:
        """SQS's identifier of this delivery."""
        return str(self.kombu_message.delivery_tag)

    @property
    def _sqs_message(self) -> dict[str, Any]:
        found: dict[str, Any] = self.kombu_message.delivery_info["sqs_message"]
        return found

    def acknowledge(self) -> None:
        """Delete the message from the queue. Raises one of QUEUE_FAILURES if it was not deleted."""
        self.kombu_message.ack()
