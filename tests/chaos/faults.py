"""Which call is disturbed, and how: by chance, and for as long as an outage lasts."""

import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Upstream(StrEnum):
    """What is behind a proxy."""

    SQS = "SQS"
    S3 = "S3"
    #: The endpoint from which a container takes the credentials of its role.
    CONTAINER = "container"
    STS = "STS"


class Fault(StrEnum):
    """What can happen to one call. `AFTER` ones happen when the action has been done."""

    RESET_BEFORE = "reset before"
    RESET_AFTER = "reset after"
    ERROR = "5xx"
    THROTTLED = "throttled"
    SLOW = "slow"
    HANG = "no answer"
    TRUNCATED = "truncated"
    PARTIAL = "partial failure"
    UNMENTIONED = "entry not mentioned"
    REDELIVERY = "redelivered"
    EXPIRED = "credentials expired"
    KEY_DISABLED = "KMS key disabled"
    DENIED = "access denied"
    PAGE = "page of a proxy"


#: What may happen to a call of any kind.
ANY_CALL = frozenset(
    {
        Fault.RESET_BEFORE,
        Fault.RESET_AFTER,
        Fault.ERROR,
        Fault.THROTTLED,
        Fault.SLOW,
        Fault.HANG,
        Fault.TRUNCATED,
    }
)

#: Shares of the calls to which a fault may happen.
SQS_RATES: Mapping[Fault, float] = {
    Fault.RESET_BEFORE: 0.008,
    Fault.RESET_AFTER: 0.015,
    Fault.ERROR: 0.008,
    Fault.THROTTLED: 0.008,
    Fault.SLOW: 0.01,
    Fault.HANG: 0.0015,
    Fault.TRUNCATED: 0.008,
    Fault.PARTIAL: 0.05,
    Fault.UNMENTIONED: 0.02,
    Fault.REDELIVERY: 0.06,
    Fault.EXPIRED: 0.002,
}
#: Faults of batches and receives, of which there are fewer than of other calls.
_OF_ENTRIES = (Fault.PARTIAL, Fault.UNMENTIONED, Fault.REDELIVERY)

S3_RATES: Mapping[Fault, float] = {
    Fault.RESET_BEFORE: 0.008,
    Fault.RESET_AFTER: 0.015,
    Fault.ERROR: 0.015,
    Fault.THROTTLED: 0.01,
    Fault.SLOW: 0.01,
    Fault.HANG: 0.001,
    Fault.TRUNCATED: 0.008,
    Fault.EXPIRED: 0.002,
    Fault.KEY_DISABLED: 0.005,
    Fault.PAGE: 0.002,
}

#: Of the services that issue credentials, which are asked rarely.
CREDENTIAL_RATES: Mapping[Fault, float] = {
    Fault.RESET_BEFORE: 0.04,
    Fault.RESET_AFTER: 0.04,
    Fault.ERROR: 0.08,
    Fault.THROTTLED: 0.04,
    Fault.SLOW: 0.08,
    Fault.HANG: 0.04,
    Fault.TRUNCATED: 0.04,
}


def sqs_rates(entries: float) -> dict[Fault, float]:
    """Return the rates for SQS, those of faults of single entries `entries` times as high."""
    return {
        fault: rate * (entries if fault in _OF_ENTRIES else 1) for fault, rate in SQS_RATES.items()
    }


@dataclass(frozen=True, order=True)
class Outage:
    """From `start` to `end`, in seconds since the faults began, calls meet `fault`.

    That is each call to which it may happen.
    """

    start: float
    end: float
    fault: Fault

    @property
    def length(self) -> float:
        return self.end - self.start


class Injector:
    """Decides about the calls to one service, and counts what it has done to them."""

    def __init__(
        self,
        rng: random.Random,
        rates: Mapping[Fault, float],
        outages: Sequence[Outage] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rng = rng
        self.counts: Counter[str] = Counter()
        self._rates = rates
        self._outages = outages
        self._clock = clock
        self._started_at: float | None = None

    def start(self) -> None:
        """Begin with the faults; before that, all goes through."""
        self._started_at = self._clock()

    def stop(self) -> None:
        """Let everything through from now on."""
        self._started_at = None

    @property
    def is_on(self) -> bool:
        return self._started_at is not None

    def choose(self, possible: Collection[Fault]) -> Fault | None:
        """Return what is to happen to one call, most often nothing."""
        if self._started_at is None:
            return None
        now = self._clock() - self._started_at
        for outage in self._outages:
            if outage.start <= now < outage.end and outage.fault in possible:
                self.counts[f"{outage.fault} (outage)"] += 1
                return outage.fault
        left = self.rng.random()
        for fault, rate in self._rates.items():
            if fault in possible:
                left -= rate
                if left < 0:
                    self.counts[fault] += 1
                    return fault
        return None
