"""Load on a validator, and the results that its clients saw."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import environment
from bench.errors import CannotMeasure
from bench.processes import run

ACCEPTED: Final = "202"


@dataclass(frozen=True)
class Load:
    """A number of equal requests, over `connections` connections that send one at a time."""

    connections: int
    requests: int
    body: Path


@dataclass(frozen=True)
class Outcome:
    """Seconds from the first request to the last answer, and milliseconds of the requests."""

    seconds: float
    p50_ms: float
    p99_ms: float


def put_on(url: str, load: Load, scratch: Path) -> Outcome:
    """Send the load and wait for all answers. Raises CannotMeasure when one is not a 202."""
    output = run(
        "load",
        [
            environment.node(),
            environment.PEERS / "load.mjs",
            url,
            str(load.connections),
            str(load.requests),
            load.body,
        ],
        environment.bare(scratch),
    )
    seen = json.loads(output)
    if seen["statuses"] != {ACCEPTED: load.requests} or seen["errors"]:
        raise CannotMeasure(
            f"{load.requests} requests were sent, and these answers received: {seen['statuses']}, "
            f"with {seen['errors']} errors."
        )
    return Outcome(seen["seconds"], seen["p50_ms"], seen["p99_ms"])
