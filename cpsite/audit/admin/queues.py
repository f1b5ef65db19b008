"""How many messages the queues hold, by SQS: for those that the role of this process may ask."""

import math
import threading
from dataclasses import dataclass
from functools import cache
from typing import Final

from django.core.cache import cache as django_cache

from cpsite.observability.queue_depth import (
    DEAD_LETTERS,
    MESSAGES,
    QueueDepthSampler,
    of_this_process,
)

#: Seconds for which a process caches what SQS says.
CACHE_SECONDS: Final = 10
#: Seconds that a page waits for SQS. What comes later is on the next page.
WAIT_SECONDS: Final = 2.0
_CACHE_KEY: Final = "audit-queues"
_TITLES: Final = {MESSAGES: "Queue", DEAD_LETTERS: "Dead-letter queue"}


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue's approximate numbers of messages; NaN where SQS does not answer."""

    name: str
    visible: float
    in_flight: float
    delayed: float

    @property
    def title(self) -> str:
        return _TITLES[self.name]

    @property
    def depths(self) -> tuple[float, float, float]:
        return self.visible, self.in_flight, self.delayed


def read_queues() -> dict[str, Queue]:
    """Return the queues that this process may ask for, by name, up to CACHE_SECONDS old.

    Their numbers are NaN if SQS does not answer within WAIT_SECONDS.
    """
    found: dict[str, Queue] | None = django_cache.get(_CACHE_KEY)
    if found is not None:
        return found
    # An SQS that hangs would hold up what the audit log alone can answer.
    asking = threading.Thread(target=_ask, name="queues-of-page", daemon=True)
    asking.start()
    asking.join(WAIT_SECONDS)
    unknown = {name: Queue(name, *[math.nan] * 3) for name in of_this_process()}
    # Kept, or each page would wait and ask anew; unless SQS has answered meanwhile.
    return django_cache.get_or_set(_CACHE_KEY, unknown, CACHE_SECONDS) or unknown


def _ask() -> None:
    sampler = _sampler()
    found = {
        name: Queue(name, **sampler.depths(name, url)) for name, url in of_this_process().items()
    }
    django_cache.set(_CACHE_KEY, found, CACHE_SECONDS)


def dead_letters() -> int | None:
    """Return about how many dead letters there are; None if this process cannot know."""
    queue = read_queues().get(DEAD_LETTERS)
    number = sum(queue.depths) if queue else math.nan
    return None if math.isnan(number) else int(number)


@cache
def _sampler() -> QueueDepthSampler:
    """Return the client of this process, which asks only when a page is shown."""
    return QueueDepthSampler(of_this_process())
