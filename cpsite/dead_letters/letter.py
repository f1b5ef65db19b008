"""One dead letter with all that is known about it, and the selection of letters."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from cpsite.audit.history import Failure
from cpsite.message import DecodeError, Message
from cpsite.queue.delivery import Delivery
from cpsite.queue.transport import Channel

#: The last failures of messages, by their ids, and of foreign letters, by SQS's.
Failures = Mapping[UUID | str, Failure]
#: The reason of a foreign letter: it is not one of our messages.
UNDECODABLE: Final = "undecodable"
#: The reason of a letter without a failure in the audit log.
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One message of the dead-letter queue. Its `repr` holds no content.

    `sent_at` is when it was sent to the queue, by the API or by a redrive: SQS does not say when it
    has moved a message. `failed_at` and `attempts` are of its last failure in the audit log, and
    None if that is not known. SQS's own count of deliveries would go up with each look. `size` is
    the body on the wire in bytes. For a foreign letter `message` is None, and `error` says why,
    without content. `reason` is why the message became a dead letter: UNDECODABLE, or the reason of
    its last failure in the audit log; UNKNOWN if there is none; None if the audit log could not be
    read.
    """

    sqs_message_id: str
    sent_at: datetime
    failed_at: datetime | None
    attempts: int | None
    size: int
    reason: str | None
    error: str
    message: Message | None = field(repr=False)
    #: Of our messages, the exact bytes of the object to be stored; of a foreign one, SQS's body.
    payload: bytes = field(repr=False)
    #: What SQS holds. A redrive sends it back unchanged.
    wire_body: str = field(repr=False)
    wire_attributes: Mapping[str, Any] = field(repr=False)

    @property
    def message_id(self) -> UUID | None:
        return self.message.message_id if self.message else None

    @property
    def client(self) -> str:
        """Name of the client that owns the token; empty if unknown."""
        return self.message.client if self.message else ""

    @property
    def accepted_at(self) -> datetime | None:
        return self.message.accepted_at if self.message else None

    @property
    def sqs_id_of_foreign(self) -> str | None:
        """SQS's id of a foreign letter: its events have no other. None for a message of ours."""
        return None if self.message else self.sqs_message_id

    @property
    def ids(self) -> set[str]:
        """The ids that select it, in lower case: SQS's, and our own if it has one."""
        ours = {str(self.message_id)} if self.message else set()
        return ours | {self.sqs_message_id.lower()}

    @property
    def wire_size(self) -> int:
        """Bytes that count towards the limit of a batch."""
        return self.size + sum(
            len(name.encode()) + sum(len(_octets(part)) for part in value.values())
            for name, value in self.wire_attributes.items()
        )


def printable(text: str) -> str:
    """Return a foreign text without what would control a terminal or turn a line around."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode()
        for each in text
    )


def _octets(part: object) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode()


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a letter. For a foreign one `message` is None, and `error` says why."""

    payload: bytes
    message: Message | None
    error: str = ""


def decode(channel: Channel, sqs_message: Mapping[str, Any]) -> Content:
    """Read the content in the way that the uploader reads it."""
    try:
        delivery = Delivery(channel.read(sqs_message))
        if delivery.undecodable is None:
            return Content(delivery.body, Message.decode(delivery.body))
        # Not the header's text: a foreign message may contain that header, too.
        error = "unreadable envelope"
    except DecodeError as exc:
        error = str(exc)
    except Exception as exc:  # noqa: BLE001 - foreign bytes can raise anything
        error = type(exc).__name__
    return Content(sqs_message["Body"].encode(), None, error)


def build(
    sqs_message: Mapping[str, Any], content: Content, failures: Failures | None
) -> DeadLetter:
    """Return the letter for a delivery. `failures` is None if the audit log could not be read."""
    name = content.message.message_id if content.message else sqs_message["MessageId"]
    failure = failures.get(name) if failures else None
    reason: str | None = UNDECODABLE
    if content.message:
        reason = None if failures is None else UNKNOWN
        reason = failure.reason or UNKNOWN if failure else reason
    return DeadLetter(
        sqs_message_id=sqs_message["MessageId"],
        sent_at=datetime.fromtimestamp(int(sqs_message["Attributes"]["SentTimestamp"]) / 1000, UTC),
        failed_at=failure.occurred_at if failure else None,
        attempts=failure.attempts if failure else None,
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
    """Selects the letters with one of `ids`, those with `reason`, or all; at most `limit`.

    With `are_of_sqs` only SQS's ids count, which name exactly one letter each. Ours can be in
    several, or be forged. Without `undecodable` foreign letters are left.

    It remembers which letters it has selected, so use it for one run only.
    """

    ids: Collection[str] = ()
    are_of_sqs: bool = False
    reason: str | None = None
    limit: int | None = None
    undecodable: bool = True
    taken: int = field(default=0, init=False)
    #: Foreign letters that were left for being foreign.
    left_undecodable: int = field(default=0, init=False)
    #: Ids, in lower case, for which no letter was found so far.
    missing: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = frozenset(one.lower() for one in self.ids)
        self.missing = set(self.ids)

    def takes(self, letter: DeadLetter) -> bool:
        """Whether `letter` is selected; if so, counts it."""
        if self.is_complete() or not self._matches(letter):
            return False
        if letter.message is None and not self.undecodable:
            self.left_undecodable += 1
            return False
        self.taken += 1
        self.missing -= self._names(letter)
        return True

    def is_complete(self) -> bool:
        """Whether no further letter can be selected."""
        return self.taken == self.limit or (bool(self.ids) and not self.missing)

    def _matches(self, letter: DeadLetter) -> bool:
        if self.ids:
            return not self._names(letter).isdisjoint(self.ids)
        return self.reason is None or self.reason == letter.reason

    def _names(self, letter: DeadLetter) -> set[str]:
        return {letter.sqs_message_id.lower()} if self.are_of_sqs else letter.ids
