"""How long to wait after a failure, and how often a wait looks for a stop."""

import random
from typing import Final

#: Seconds to wait, at most, between two tries while something is away.
PAUSE_SECONDS_MAX: Final = 30.0
#: Seconds after which a wait looks whether a signal has asked to stop.
NOTICE_SECONDS: Final = 0.25


def pause_seconds(failures: int) -> float:
    """Return how long to wait after so many failures: about 1 s, then twice as long each time.

    Half to all of it, by chance, so that many workers do not come back as one.
    """
    longest = min(PAUSE_SECONDS_MAX, 2.0 ** min(failures - 1, 10))
    return random.uniform(longest / 2, longest)  # noqa: S311 - not for secrets
