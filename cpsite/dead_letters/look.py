"""A look at some letters for a page: they are visible again when it is shown."""

from dataclasses import dataclass, field

from django.conf import settings

from cpsite.aws import describe
from cpsite.dead_letters.letter import DeadLetter, Selection
from cpsite.dead_letters.queue import DeadLetterQueue, Depth
from cpsite.queue.delivery import QUEUE_FAILURES


@dataclass(kw_only=True)
class Seen:
    """What a look has found. Without `depth` the queue could not be read; `failure` says why."""

    depth: Depth | None = None
    failure: str = ""
    looked_at: int = 0
    letters: list[DeadLetter] = field(default_factory=list)


def look(
    *, selection: Selection | None = None, limit: int | None = None, most: int | None = None
) -> Seen:
    """Return the selected letters, `limit` at most, after looking at about `most`."""
    seen = Seen()
    if not settings.SQS_DLQ_URL:
        seen.failure = "SQS_DLQ_URL is not set here."
        return seen
    chosen = Selection(limit=limit) if selection is None else selection
    try:
        with DeadLetterQueue() as queue:
            depth = queue.depth()
            for letters in queue.read(
                until=lambda: chosen.is_complete() or (most is not None and queue.looked_at >= most)
            ):
                seen.letters += filter(chosen.takes, letters)
            seen.looked_at = queue.looked_at
    except QUEUE_FAILURES as exc:
        return Seen(failure=f"SQS failed: {describe(exc)}.")
    seen.depth = depth
    return seen
