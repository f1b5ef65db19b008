"""The result of one run, and the medians of several rounds."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Result:
    """One run, or the median of several. All but rate, latencies and memory are per message."""

    #: "validator", "overload", "uploader", "backlog" or "size".
    scenario: str
    #: What was measured: "cpsite", "cpsite batch", "Flask + boto3", …
    variant: str
    #: Load or size: "c=64", "10,000 messages", "64 KB".
    case: str
    messages: int
    cpu_ms: float | None = None
    #: Messages per second.
    rate: float
    #: Milliseconds from request to answer.
    p50_ms: float | None = None
    p99_ms: float | None = None
    #: Calls of SQS actions by what they do ("send", "receive", "delete", "visibility").
    calls: Mapping[str, float] = field(default_factory=dict)
    puts: float | None = None
    #: Of the process and all that it has started.
    peak_mib: float | None = None
    #: Whether this is the project's own service, and not a peer.
    is_ours: bool

    @property
    def condition(self) -> tuple[str, str]:
        """The scenario and case that it shares with the results that it is compared with."""
        return self.scenario, self.case


#: A part of a run. If it fails, the others still run.
Task = Callable[[], Iterator[Result]]

#: SQS actions, grouped by what they do.
_ACTIONS = {
    "SendMessage": "send",
    "SendMessageBatch": "send",
    "ReceiveMessage": "receive",
    "DeleteMessage": "delete",
    "DeleteMessageBatch": "delete",
    "ChangeMessageVisibility": "visibility",
    "ChangeMessageVisibilityBatch": "visibility",
}


def calls_per_message(
    before: Mapping[str, int], after: Mapping[str, int], messages: int
) -> dict[str, float]:
    """Return the SQS calls per message between two counts, grouped by what they do."""
    calls = dict.fromkeys(_ACTIONS.values(), 0.0)
    for action, kind in _ACTIONS.items():
        calls[kind] += (after.get(action, 0) - before.get(action, 0)) / messages
    return calls


def medians(results: Sequence[Result]) -> list[Result]:
    """Return one result for each row: for each number the median of its rounds.

    Rows with the same scenario and case are adjacent.
    """
    conditions = list(dict.fromkeys(result.condition for result in results))
    rows = dict.fromkeys((result.condition, result.variant) for result in results)
    return [
        _median([result for result in results if (result.condition, result.variant) == row])
        for row in sorted(rows, key=lambda row: conditions.index(row[0]))
    ]


def _median(rounds: list[Result]) -> Result:
    first = rounds[0]

    def middle(value: Callable[[Result], float | None]) -> float | None:
        values = [number for result in rounds if (number := value(result)) is not None]
        return statistics.median(values) if values else None

    return Result(
        scenario=first.scenario,
        variant=first.variant,
        case=first.case,
        messages=first.messages,
        cpu_ms=middle(lambda result: result.cpu_ms),
        rate=statistics.median(result.rate for result in rounds),
        p50_ms=middle(lambda result: result.p50_ms),
        p99_ms=middle(lambda result: result.p99_ms),
        calls={
            kind: statistics.median(result.calls[kind] for result in rounds) for kind in first.calls
        },
        puts=middle(lambda result: result.puts),
        peak_mib=middle(lambda result: result.peak_mib),
        is_ours=first.is_ours,
    )
