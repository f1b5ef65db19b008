"""Deletes dead letters for good: those that a person has looked at, and named one by one.

SQS deletes by the receipt handle of a delivery. So each letter is received again and identified by
SQS's message id, which no other message has and which no sender can choose.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cpsite.aws import describe
from cpsite.dead_letters import accounting
from cpsite.dead_letters.accounting import Person
from cpsite.dead_letters.letter import DeadLetter, Selection
from cpsite.dead_letters.queue import DeadLetterQueue
from cpsite.queue.delivery import QUEUE_FAILURES

logger = logging.getLogger(__name__)


class Because(StrEnum):
    """Why a letter is discarded: the reason of an event of the kind `discarded`.

    Not a text of one's own: the audit log lists reasons, and nobody can paste content into it.
    """

    FOREIGN = "foreign"
    TEST = "test"
    SENT_AGAIN = "sent_again"
    UNSTORABLE = "unstorable"
    UNWANTED = "unwanted"


#: What each of them means, for people who choose one.
MEANINGS: Final = {
    Because.FOREIGN: "something else has sent it to the queue",
    Because.TEST: "it was a test",
    Because.SENT_AGAIN: "its client has sent it again, as another message",
    Because.UNSTORABLE: "it can never be stored",
    Because.UNWANTED: "its owner does not want it stored",
}


@dataclass
class Discarded:
    """The result of a discard."""

    discarded: int = 0
    failed: int = 0
    #: How often each error occurred, by its name.
    errors: Counter[str] = field(default_factory=Counter)


class Discard:
    """Deletes the letters with these ids of SQS's from the dead-letter queue."""

    def __init__(
        self,
        queue: DeadLetterQueue,
        sqs_message_ids: Collection[str],
        *,
        because: Because,
        person: Person,
    ) -> None:
        self.counts = Discarded()
        self._queue = queue
        self._selection = Selection(ids=sqs_message_ids, are_of_sqs=True)
        self._because, self._person = because, person

    @property
    def missing(self) -> set[str]:
        """Ids, in lower case, of which no letter was found."""
        return self._selection.missing

    def run(self) -> Iterator[Discarded]:
        """Delete the letters; after each receive yield the counts so far.

        Raises one of QUEUE_FAILURES when a call to SQS fails; `counts` are still right then.
        """
        for letters in self._queue.read(until=self._selection.is_complete):
            chosen = list(filter(self._selection.takes, letters))
            if chosen and not self._queue.is_stopping():
                self._delete(chosen)
            yield self.counts

    def _delete(self, letters: Sequence[DeadLetter]) -> None:
        try:
            outcomes = self._queue.delete(letters)
        except QUEUE_FAILURES:
            self.counts.failed += len(letters)
            raise
        for letter, outcome in zip(letters, outcomes, strict=True):
            if outcome is None:
                self.counts.discarded += 1
                accounting.discarded(letter, self._because, self._person)
            else:
                self._count_failure(letter, outcome)

    def _count_failure(self, letter: DeadLetter, exc: Exception) -> None:
        error = describe(exc)
        self.counts.failed += 1
        self.counts.errors[error] += 1
        logger.warning(
            "discard_failed", extra={"sqs_message_id": letter.sqs_message_id, "error": error}
        )
