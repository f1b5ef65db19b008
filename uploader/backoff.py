"""How long to wait after a failure, and how often a wait checks for a stop."""

import random
from typing import Final

#: Longest wait between two attempts while a backend is unavailable, in seconds.
PAUSE_SECONDS_MAX: Final = 30.0
#: Seconds between two checks, during a wait, whether a signal has asked to stop.
NOTICE_SECONDS: Final = 0.25


def pause_seconds(failures: int) -> float:
    """Return the seconds to wait after so many failures: up to 1, then twice as long each time.

    The result is random, between half of that and all of it (jitter), so that many workers do not
    retry at the same moment.
    """
    longest = min(PAUSE_SECONDS_MAX, 2.0 ** min(failures - 1, 10))
    return random.uniform(longest / 2, longest)  # noqa: S311 - not for secrets
