"""Dead letters: messages that could not be stored, looked at and sent back to the queue.

SQS shows a queue only by delivering from it. Looking at letters hides them, therefore, and leaving
`DeadLetterQueue` makes visible again what is still there.

A letter goes back by SendMessageBatch to the queue and then, once SQS has confirmed that very body,
by DeleteMessageBatch here. Whoever dies in between leaves it in both: it is stored twice under the
same key. StartMessageMoveTask would move all or nothing, tell nobody which, and is missing from
most stand-ins for SQS.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Self, cast
from uuid import UUID

from botocore.config import Config
from botocore.exceptions import ClientError
from django.conf import settings
from django.db import Error as DatabaseFailure

from cpsite import aws
from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.recorder import recorder
from cpsite.message import DecodeError, Message
from cpsite.queue import batch as sqs_batch
from cpsite.queue import connection as broker
from cpsite.queue import transport as sqs
from cpsite.queue.batch import BATCH_ENTRIES
from uploader.errors import describe
from uploader.receiver import QUEUE_FAILURES, Delivery

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = logging.getLogger(__name__)

#: Seconds for which a letter that is looked at is hidden: more than reading thousands takes, and
#: the longest that a killed process keeps letters from the next one.
VISIBILITY_SECONDS: Final = 300
#: Seconds of one receive. With a wait, SQS asks all of its servers instead of a sample.
WAIT_SECONDS: Final = 1
#: Receives in a row without anything new that are taken for the end of the queue.
EMPTY_RECEIVES: Final = 3

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


@dataclass(frozen=True, slots=True)
class Depth:
    """How many letters there are, approximately; `hidden` ones are in somebody's hand."""

    visible: int
    hidden: int


def new_client() -> "SQSClient":
    """Return a client for SQS whose every call ends within half a minute."""
    made: SQSClient = aws.client(
        "sqs",
        config=Config(
            connect_timeout=3,
            read_timeout=10,
            retries={"mode": "standard", "total_max_attempts": 2},
        ),
    )
    return made


class DeadLetterQueue:
    """The queue at SQS_DLQ_URL.

    To be used in a `with`: leaving it, by an error or an interrupt too, makes visible again what
    was read and is still there. Methods raise one of QUEUE_FAILURES. Reading ends early, between
    two receives, when `is_stopping()` says so.
    """

    def __init__(self, *, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self.is_stopping = is_stopping
        #: Letters handed out so far.
        self.looked_at = 0
        #: Why the audit log could not be asked for reasons, if so. It is then not asked again.
        self.audit_failure: str | None = None
        self._client = sqs.Client(new_client())
        # Knows how the uploader reads what is on the wire. It makes no calls.
        self._channel = broker.consuming_connection(
            wait_time_seconds=0, max_pool_connections=1
        ).channel()
        self._seen: set[str] = set()
        #: Receipt handles, by SQS's message id, of what was read and is still there.
        self._held: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.release()

    @property
    def held(self) -> int:
        """How many letters are hidden because of us."""
        return len(self._held)

    def depth(self) -> Depth:
        visible, hidden = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
        numbers = self._client.get_queue_attributes(
            QueueUrl=settings.SQS_DLQ_URL, AttributeNames=[visible, hidden]
        )["Attributes"]
        return Depth(int(numbers[visible]), int(numbers[hidden]))

    def read(self, *, until: Callable[[], bool] = lambda: False) -> Iterator[list[DeadLetter]]:
        """Yield letters, up to ten at a time and none twice, until `until()` or the end."""
        in_vain = 0
        while in_vain < EMPTY_RECEIVES and not until() and not self.is_stopping():
            letters = self._receive()
            # What comes a second time was hidden for too short: it must not keep us here for ever.
            in_vain = 0 if letters else in_vain + 1
            if letters:
                yield letters

    def _receive(self) -> list[DeadLetter]:
        answer = self._client.receive_message(
            QueueUrl=settings.SQS_DLQ_URL,
            MaxNumberOfMessages=BATCH_ENTRIES,
            VisibilityTimeout=VISIBILITY_SECONDS,
            WaitTimeSeconds=WAIT_SECONDS,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            MessageAttributeNames=["All"],
        )
        received = {message["MessageId"]: message for message in answer.get("Messages", ())}
        self._held |= {name: message["ReceiptHandle"] for name, message in received.items()}
        new = [message for name, message in received.items() if name not in self._seen]
        self._seen |= received.keys()
        self.looked_at += len(new)
        return self._letters(new)

    def _letters(self, received: Sequence[Mapping[str, Any]]) -> list[DeadLetter]:
        contents = [_decode(self._channel, message) for message in received]
        ids = {content.message.message_id for content in contents if content.message}
        reasons = self._reasons(ids) if ids else {}
        return [
            _letter(message, content, reasons)
            for message, content in zip(received, contents, strict=True)
        ]

    def _reasons(self, message_ids: Collection[UUID]) -> Mapping[UUID, str] | None:
        if self.audit_failure is None:
            try:
                return last_failures(message_ids)
            except DatabaseFailure as exc:
                self.audit_failure = type(exc).__name__
        return None

    def send_back(self, letters: Sequence[DeadLetter]) -> list[str | Exception]:
        """Send letters of one batch to the queue; return for each SQS's new id, or why not."""
        try:
            return self._send(letters)
        except ClientError as exc:
            if not sqs_batch.blames_an_entry(exc):
                raise
            if len(letters) == 1:
                return [exc]
        return [outcome for letter in letters for outcome in self.send_back([letter])]

    def _send(self, letters: Sequence[DeadLetter]) -> list[str | Exception]:
        results = sqs_batch.perform(
            lambda some: cast(
                "Mapping[str, Any]",
                self._client.send_message_batch(QueueUrl=settings.SQS_QUEUE_URL, Entries=some),
            ),
            [
                {"MessageBody": letter.wire_body, "MessageAttributes": letter.wire_attributes}
                for letter in letters
            ],
        )
        return [_outcome(*pair) for pair in zip(letters, results, strict=True)]

    def delete(self, letters: Sequence[DeadLetter]) -> list[Exception | None]:
        """Delete up to ten letters for good; return for each None or why it is still there."""
        names = [letter.sqs_message_id for letter in letters]
        outcomes = self._client.delete_messages(
            settings.SQS_DLQ_URL, [self._held[name] for name in names]
        )
        for name, outcome in zip(names, outcomes, strict=True):
            if outcome is None:
                del self._held[name]
        return outcomes

    def release(self) -> None:
        """Make visible what was read and is still there.

        What SQS does not do at once, it does within VISIBILITY_SECONDS; `held` says how many.
        """
        held = list(self._held.items())
        for start in range(0, len(held), BATCH_ENTRIES):
            some = dict(held[start : start + BATCH_ENTRIES])
            try:
                outcomes = self._client.change_visibility(
                    settings.SQS_DLQ_URL, list(some.values()), 0
                )
            except QUEUE_FAILURES as exc:
                logger.warning("release_failed", extra={"error": describe(exc)})
                return
            for name, outcome in zip(some, outcomes, strict=True):
                if outcome is None:
                    del self._held[name]


@dataclass(frozen=True, slots=True)
class _Content:
    payload: bytes
    message: Message | None
    error: str = ""


def _decode(channel: sqs.Channel, sqs_message: Mapping[str, Any]) -> _Content:
    """Read what the uploader would read."""
    try:
        delivery = Delivery(channel.read(sqs_message))
        if delivery.undecodable is None:
            return _Content(delivery.body, Message.decode(delivery.body))
        # Without what it says: a stranger may have written that, too.
        error = "unreadable envelope"
    except DecodeError as exc:
        error = str(exc)
    except Exception as exc:  # noqa: BLE001 - anything a stranger's bytes can provoke
        error = type(exc).__name__
    return _Content(sqs_message["Body"].encode(), None, error)


def _letter(
    sqs_message: Mapping[str, Any], content: _Content, reasons: Mapping[UUID, str] | None
) -> DeadLetter:
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


def last_failures(message_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return why each of some messages failed last. Raises django.db.Error."""
    failures = AuditEvent.objects.filter(kind=Kind.FAILED, message_id__in=message_ids)
    # In the order of time, so that the last one stays in the dictionary.
    pairs = failures.order_by("occurred_at", "id").values_list("message_id", "reason")
    return {message_id: reason for message_id, reason in pairs if message_id}


def timeline(message_id: UUID) -> list[AuditEvent]:
    """Return what the audit log knows of a message, oldest first. Raises django.db.Error."""
    return list(AuditEvent.objects.of_message(message_id))


def _outcome(letter: DeadLetter, result: dict[str, Any] | Exception) -> str | Exception:
    if isinstance(result, Exception):
        return result
    try:
        sqs.confirm(letter.wire_body.encode(), result)
    except sqs.SendUnconfirmed as exc:
        return exc
    return str(result["MessageId"])


@dataclass
class Counts:
    """What a redrive has done. `not_deleted` of the redriven ones are in both queues."""

    redriven: int = 0
    failed: int = 0
    not_deleted: int = 0
    #: Names of the errors, with how often each came.
    errors: Counter[str] = field(default_factory=Counter)


class Redrive:
    """Sends the letters of `selection` back to the queue at SQS_QUEUE_URL.

    Each message once: one that fails again meanwhile comes back as a dead letter, and is left
    alone, as is every letter that was sent after the start.
    """

    def __init__(self, queue: DeadLetterQueue, selection: Selection) -> None:
        self.counts = Counts()
        self._queue = queue
        self._selection = selection
        self._started_at = datetime.now(UTC)
        self._begun: set[UUID] = set()
        # SQS moves a message with its id. It tells our own where neither a message id does,
        # because they are undecodable, nor a clock that is ahead of AWS's.
        self._sent: set[str] = set()

    def choose(self) -> Iterator[list[DeadLetter]]:
        """Yield for each receive what is to go back, perhaps nothing."""
        for letters in self._queue.read(until=self._selection.is_complete):
            yield [letter for letter in letters if self._takes(letter)]

    def _takes(self, letter: DeadLetter) -> bool:
        if (
            letter.sent_at > self._started_at
            or letter.sqs_message_id in self._sent
            or letter.message_id in self._begun
            or not self._selection.takes(letter)
        ):
            return False
        if letter.message_id:
            self._begun.add(letter.message_id)
        return True

    def run(self) -> Iterator[Counts]:
        """Send back what is chosen; yield what was done so far after each receive.

        Raises one of QUEUE_FAILURES when SQS cannot be asked, and then `counts` still hold. What
        was not sent stays a dead letter.
        """
        for letters in self.choose():
            for batch in _batches(letters):
                if not self._queue.is_stopping():
                    self._send_back(batch)
            yield self.counts

    def _send_back(self, batch: Sequence[DeadLetter]) -> None:
        try:
            outcomes = self._queue.send_back(batch)
        except QUEUE_FAILURES:
            self.counts.failed += len(batch)
            raise
        sent = []
        for letter, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Exception):
                self._count_failure(letter, outcome)
            else:
                self._sent.add(outcome)
                sent.append(letter)
                _account(letter)
        self.counts.redriven += len(sent)
        if sent:
            self._delete(sent)

    def _count_failure(self, letter: DeadLetter, exc: Exception) -> None:
        error = describe(exc)
        self.counts.failed += 1
        self.counts.errors[error] += 1
        logger.warning(
            "redrive_failed", extra={"sqs_message_id": letter.sqs_message_id, "error": error}
        )

    def _delete(self, letters: Sequence[DeadLetter]) -> None:
        try:
            outcomes = self._queue.delete(letters)
        except QUEUE_FAILURES:
            self.counts.not_deleted += len(letters)
            raise
        for letter, outcome in zip(letters, outcomes, strict=True):
            if outcome is not None:
                self.counts.not_deleted += 1
                logger.warning(
                    "redriven_not_deleted",
                    extra={
                        "sqs_message_id": letter.sqs_message_id,
                        "error": describe(outcome),
                    },
                )


def _batches(letters: Sequence[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """Divide letters so that SQS takes each part in one call."""
    batch: list[DeadLetter] = []
    size = 0
    for letter in letters:
        if len(batch) == BATCH_ENTRIES or (batch and size + letter.wire_size > sqs.MESSAGE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(letter)
        size += letter.wire_size
    if batch:
        yield batch


def _account(letter: DeadLetter) -> None:
    """Note in the audit log and the log that a letter is on its way again."""
    recorder.record(
        AuditEvent(
            kind=Kind.REDRIVEN,
            message_id=letter.message_id,
            client=letter.client,
            reason=(letter.reason or UNKNOWN)[:64],
            accepted_at=letter.accepted_at,
            attempts=letter.receives,
            payload_sha256=sha256(letter.payload).hexdigest() if letter.message else "",
        )
    )
    logger.info(
        "message_redriven",
        extra={
            "message_id": str(letter.message_id) if letter.message_id else None,
            "sqs_message_id": letter.sqs_message_id,
            "reason": letter.reason or UNKNOWN,
        },
    )
