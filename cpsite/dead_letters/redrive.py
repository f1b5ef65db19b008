"""Sends dead letters back to the queue.

SendMessageBatch sends a letter to the queue. Once SQS has confirmed its checksum, the letter is
deleted from the dead-letter queue by DeleteMessageBatch. If the process dies in between, the letter
is in both queues and is stored twice: under the same key, or with UPLOADER_LAYOUT=batch as two
equal lines. StartMessageMoveTask would move all letters or none, would not report which, and is
missing from most emulators of SQS.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from cpsite.aws import describe
from cpsite.dead_letters import accounting
from cpsite.dead_letters.accounting import Person
from cpsite.dead_letters.letter import DeadLetter, Selection
from cpsite.dead_letters.queue import DeadLetterQueue
from cpsite.queue.batch import BATCH_ENTRIES
from cpsite.queue.client import MESSAGE_BYTES
from cpsite.queue.delivery import QUEUE_FAILURES

logger = logging.getLogger(__name__)


@dataclass
class Counts:
    """The result of a redrive. `not_deleted` counts redriven letters that are still here, too."""

    redriven: int = 0
    failed: int = 0
    not_deleted: int = 0
    #: How often each error occurred, by its name.
    errors: Counter[str] = field(default_factory=Counter)


class Redrive:
    """Sends the letters of `selection` back to the queue at SQS_QUEUE_URL.

    `person` is who does so, for the audit log.

    It sends each message once. A message that fails again meanwhile returns as a dead letter and is
    skipped, like every letter that was sent after the start.
    """

    def __init__(
        self,
        queue: DeadLetterQueue,
        selection: Selection,
        person: Person | None = None,
    ) -> None:
        self.counts = Counts()
        self._person = person or Person()
        self._queue = queue
        self._selection = selection
        self._started_at = datetime.now(UTC)
        self._begun: set[UUID] = set()
        # A message keeps its SQS id when SQS moves it to the dead-letter queue. So these ids
        # identify the letters that we have sent, even undecodable ones, which have no id of ours,
        # and even if our clock is ahead of AWS's.
        self._sent: set[str] = set()

    def choose(self) -> Iterator[list[DeadLetter]]:
        """Yield for each receive the letters to send back, which may be none."""
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
        """Send back the chosen letters; after each receive yield the counts so far.

        Raises one of QUEUE_FAILURES when a call to SQS fails; `counts` are still right then. What
        was not sent stays in the dead-letter queue.
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
                accounting.redriven(letter, self._person)
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
    """Divide letters into batches that fit into one call to SQS."""
    batch: list[DeadLetter] = []
    size = 0
    for letter in letters:
        if len(batch) == BATCH_ENTRIES or (batch and size + letter.wire_size > MESSAGE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(letter)
        size += letter.wire_size
    if batch:
        yield batch
