"""Waiting for AWS."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from deploy.errors import DeployError

T = TypeVar("T")


@dataclass(frozen=True)
class Pace:
    """How often to ask, and for how long, in seconds."""

    poll_seconds: float
    limit_seconds: float
    #: When the time is over, by the monotonic clock; None begins anew with each wait.
    until: float | None = None

    def begun(self) -> "Pace":
        """Return one whose time runs from now on, for several waits together."""
        return replace(self, until=time.monotonic() + self.limit_seconds)

    def wait(self, ask: Callable[[], T | None], what: str) -> T:
        """Return the first answer that is not None. Raises DeployError when the time is over."""
        until = self.until or time.monotonic() + self.limit_seconds
        while (answer := ask()) is None:
            if time.monotonic() >= until:
                raise DeployError(f"{what}: not within {self.limit_seconds / 60:.0f} minutes")
            time.sleep(self.poll_seconds)
        return answer
