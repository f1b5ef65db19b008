"""The dead-letter queue: read the messages that could not be stored, and send them back.

SQS has no other way to read a queue than to receive from it, which hides the messages. So leaving
`DeadLetterQueue` makes the messages visible again that are still there.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self, cast
from uuid import UUID

from botocore.config import Config
from botocore.exceptions import ClientError
from django.conf import settings
from django.db import Error as DatabaseFailure

from cpsite import aws
from cpsite.audit.history import Failure, last_failures, last_failures_of_foreign
from cpsite.aws import describe
from cpsite.dead_letters.letter import DeadLetter, Failures, build, decode
from cpsite.queue import batch
from cpsite.queue.batch import BATCH_ENTRIES
from cpsite.queue.client import Client, SendUnconfirmed, confirm
from cpsite.queue.connection import consuming_connection
from cpsite.queue.delivery import QUEUE_FAILURES

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = logging.getLogger(__name__)

#: Seconds for which a received letter is hidden: longer than it takes to read thousands. If the
#: process is killed, others can receive the letters again after this time.
VISIBILITY_SECONDS: Final = 300
#: Seconds of one receive. With a long poll, SQS asks all of its servers instead of a sample.
WAIT_SECONDS: Final = 1
#: After so many receives in a row without a new letter, the queue counts as read to its end.
EMPTY_RECEIVES: Final = 3


@dataclass(frozen=True, slots=True)
class Depth:
    """The approximate number of letters; `hidden` ones are in flight.

    SQS deletes a letter when `retention` has passed since it was sent.
    """

    visible: int
    hidden: int
    retention: timedelta


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

    Use it in a `with`: leaving it, also by an error or an interrupt, makes visible again what was
    read and is still there. Methods raise one of QUEUE_FAILURES. When `is_stopping()` is true,
    reading ends early, between two receives.
    """

    def __init__(self, *, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self.is_stopping = is_stopping
        #: Letters returned so far.
        self.looked_at = 0
        #: Why the audit log could not be read, or None. After a failure it is not asked again.
        self.audit_failure: str | None = None
        self._client = Client(new_client())
        # Decodes what is on the wire as the uploader does. It makes no calls.
        self._channel = consuming_connection(wait_time_seconds=0, max_pool_connections=1).channel()
        self._seen: set[str] = set()
        #: Receipt handles of the letters that were read and are still there, by SQS's message id.
        self._held: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.release()

    @property
    def held(self) -> int:
        """How many letters this process has hidden."""
        return len(self._held)

    def depth(self) -> Depth:
        visible, hidden = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
        retention = "MessageRetentionPeriod"
        numbers = self._client.get_queue_attributes(
            QueueUrl=settings.SQS_DLQ_URL, AttributeNames=[visible, hidden, retention]
        )["Attributes"]
        return Depth(
            int(numbers[visible]), int(numbers[hidden]), timedelta(seconds=int(numbers[retention]))
        )

    def read(self, *, until: Callable[[], bool] = lambda: False) -> Iterator[list[DeadLetter]]:
        """Yield letters, up to ten at a time and none twice, until `until()` or the end."""
        empty = 0
        while empty < EMPTY_RECEIVES and not until() and not self.is_stopping():
            letters = self._receive()
            # Only new letters count. A letter that comes again, because it was not hidden for long
            # enough, must not make this loop endless.
            empty = 0 if letters else empty + 1
            if letters:
                yield letters

    def _receive(self) -> list[DeadLetter]:
        answer = self._client.receive_message(
            QueueUrl=settings.SQS_DLQ_URL,
            MaxNumberOfMessages=BATCH_ENTRIES,
            VisibilityTimeout=VISIBILITY_SECONDS,
            WaitTimeSeconds=WAIT_SECONDS,
            MessageSystemAttributeNames=["SentTimestamp"],
            MessageAttributeNames=["All"],
        )
        received = {message["MessageId"]: message for message in answer.get("Messages", ())}
        self._held |= {name: message["ReceiptHandle"] for name, message in received.items()}
        new = [message for name, message in received.items() if name not in self._seen]
        self._seen |= received.keys()
        self.looked_at += len(new)
        return self._letters(new)

    def _letters(self, received: Sequence[Mapping[str, Any]]) -> list[DeadLetter]:
        contents = [decode(self._channel, message) for message in received]
        ours = {content.message.message_id for content in contents if content.message}
        pairs = zip(received, contents, strict=True)
        foreign = {message["MessageId"] for message, content in pairs if not content.message}
        failures = self._failures(ours, foreign)
        return [
            build(message, content, failures)
            for message, content in zip(received, contents, strict=True)
        ]

    def _failures(self, ours: Collection[UUID], foreign: Collection[str]) -> Failures | None:
        """Return the last failures of these, by our ids and SQS's: a query for each sort of id."""
        if self.audit_failure is None:
            try:
                found: dict[UUID | str, Failure] = {}
                if ours:
                    found.update(last_failures(ours).items())
                if foreign:
                    found.update(last_failures_of_foreign(foreign).items())
            except DatabaseFailure as exc:
                self.audit_failure = type(exc).__name__
            else:
                return found
        return None

    def send_back(self, letters: Sequence[DeadLetter]) -> list[str | Exception]:
        """Send a batch of letters to the queue; return for each SQS's new id or the error."""
        try:
            return self._send(letters)
        except ClientError as exc:
            if not batch.blames_an_entry(exc):
                raise
            if len(letters) == 1:
                return [exc]
        return [outcome for letter in letters for outcome in self.send_back([letter])]

    def _send(self, letters: Sequence[DeadLetter]) -> list[str | Exception]:
        results = batch.perform(
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
        """Delete up to ten letters for good; return for each None or the error."""
        names = [letter.sqs_message_id for letter in letters]
        outcomes = self._client.delete_messages(
            settings.SQS_DLQ_URL, [self._held[name] for name in names]
        )
        for name, outcome in zip(names, outcomes, strict=True):
            if outcome is None:
                del self._held[name]
        return outcomes

    def release(self) -> None:
        """Make visible again what was read and is still there.

        `held` is then the number of letters for which that failed: SQS makes them visible within
        VISIBILITY_SECONDS.
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


def _outcome(letter: DeadLetter, result: dict[str, Any] | Exception) -> str | Exception:
    if isinstance(result, Exception):
        return result
    try:
        confirm(letter.wire_body.encode(), result)
    except SendUnconfirmed as exc:
        return exc
    return str(result["MessageId"])
