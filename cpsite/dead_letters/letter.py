"""One dead letter: what is known of it, and which letters are meant."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from cpsite.message import DecodeError, Message
from cpsite.queue.delivery import Delivery
from cpsite.queue.transport import Channel

#: The reason of a letter that is none of our messages.
UNDECODABLE: Final = "undecodable"
#: The reason of a letter whose failure the audit log does not have.
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One message of the dead-letter queue. Its `repr` holds no content.

    `receives` counts every delivery by SQS, looking included, and `size` the bytes of the body on
    the wire. `error` says, without content, why a letter is none of our messages; then `message` is
    None. `reason` is why it died: UNDECODABLE, or the reason of its last failure in the audit log,
    UNKNOWN when there is none there, None when the audit log could not be asked.
    """

    sqs_message_id: str
    sent_at: datetime
    receives: int
    size: int
    reason: str | None
    error: str
    message: Message | None = field(repr=False)
    #: For one of ours, byte for byte the object that it should have become; else what SQS holds.
    payload: bytes = field(repr=False)
    #: What SQS holds, and gets back unchanged.
    wire_body: str = field(repr=False)
    wire_attributes: Mapping[str, Any] = field(repr=False)

    @property
    def message_id(self) -> UUID | None:
        return self.message.message_id if self.message else None

    @property
    def client(self) -> str:
        """Name of the token's owner, empty when unknown."""
        return self.message.client if self.message else ""

    @property
    def accepted_at(self) -> datetime | None:
        return self.message.accepted_at if self.message else None

    @property
    def ids(self) -> set[str]:
        """What it may be asked for by, in lower case."""
        ours = {str(self.message_id)} if self.message else set()
        return ours | {self.sqs_message_id.lower()}

    @property
    def wire_size(self) -> int:
        """Bytes that count towards the limit of a batch."""
        return self.size + sum(
            len(name.encode()) + sum(len(_octets(part)) for part in value.values())
            for name, value in self.wire_attributes.items()
        )


def _octets(part: object) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode()


@dataclass(frozen=True, slots=True)
class Content:
    """What is inside a letter. `message` is None for a foreign one, and `error` says why."""

    payload: bytes
    message: Message | None
    error: str = ""


def decode(channel: Channel, sqs_message: Mapping[str, Any]) -> Content:
    """Read what the uploader would read."""
    try:
        delivery = Delivery(channel.read(sqs_message))
        if delivery.undecodable is None:
            return Content(delivery.body, Message.decode(delivery.body))
        # Without what it says: a stranger may have written that, too.
        error = "unreadable envelope"
    except DecodeError as exc:
        error = str(exc)
    except Exception as exc:  # noqa: BLE001 - anything a stranger's bytes can provoke
        error = type(exc).__name__
    return Content(sqs_message["Body"].encode(), None, error)


def build(
    sqs_message: Mapping[str, Any], content: Content, reasons: Mapping[UUID, str] | None
) -> DeadLetter:
    """Make the letter of what SQS delivered, with the audit log's `reasons` where it answered."""
    reason: str | None = UNDECODABLE
    if content.message:
        found = None if reasons is None else reasons.get(content.message.message_id)
        reason = None if reasons is None else found or UNKNOWN
    return DeadLetter(
        sqs_message_id=sqs_message["MessageId"],
        sent_at=datetime.fromtimestamp(int(sqs_message["Attributes"]["SentTimestamp"]) / 1000, UTC),
        receives=int(sqs_message["Attributes"]["ApproximateReceiveCount"]),
        size=len(sqs_message["Body"].encode()),
        reason=reason,
        error=content.error,
        message=content.message,
        payload=content.payload,
        wire_body=sqs_message["Body"],
        wire_attributes=sqs_message.get("MessageAttributes", {}),
    )


@dataclass(kw_only=True)
class Selection:
    """Which letters are meant: those with one of `ids`, those with `reason`, or all.

    At most `limit` of them. It remembers what it has taken, so it serves one run.
    """

    ids: Collection[str] = ()
    reason: str | None = None
    limit: int | None = None
    taken: int = field(default=0, init=False)
    #: Ids, in lower case, that no letter has had so far.
    missing: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = frozenset(one.lower() for one in self.ids)
        self.missing = set(self.ids)

    def takes(self, letter: DeadLetter) -> bool:
        """Whether `letter` is meant; counts it when it is."""
        if self.is_complete() or not self._means(letter):
            return False
        self.taken += 1
        self.missing -= letter.ids
        return True

    def is_complete(self) -> bool:
        """Whether no further letter can be meant."""
        return self.taken == self.limit or (bool(self.ids) and not self.missing)

    def _means(self, letter: DeadLetter) -> bool:
        if self.ids:
            return not letter.ids.isdisjoint(self.ids)
        return self.reason is None or self.reason == letter.reason
