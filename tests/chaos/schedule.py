"""What is going to happen to processes, database, clock and services: drawn from the seed alone."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.chaos.faults import Fault, Outage, Upstream


@dataclass(frozen=True, order=True)
class Event:
    """Something that is done to one thing, so many seconds after the start.

    `value` is in seconds: how long the thing stays down, where a clock is set after midnight, or
    the queue's visibility timeout.
    """

    at: float
    lane: str
    action: str
    value: float = 0.0

    def __str__(self) -> str:
        return f"{self.at:.1f} {self.lane} {self.action} {self.value:+.1f}"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How much happens, and for how long clients send."""

    seconds: float
    messages: int
    clients: int
    masters: int
    uploaders: int
    poison: int
    worker_kills: int
    master_kills: int
    master_stops: int
    uploader_kills: int
    uploader_stops: int
    #: Seconds of each stop of the database, at least and at most.
    database_stops: Sequence[tuple[float, float]]
    clock_steps: int
    #: Seconds of each outage, at least and at most.
    sqs_outages: Sequence[tuple[float, float]]
    s3_outages: Sequence[tuple[float, float]]
    #: The first time S3 refuses the objects of one KMS key, then all, each time for another reason.
    s3_refusals: Sequence[tuple[float, float]]
    #: Of each service that issues credentials.
    credential_outages: Sequence[tuple[float, float]]
    #: For how many seconds credentials are valid.
    credential_seconds: float
    #: How many times more often than usual a batch fails in part: a short run has few.
    partial_failures: float
    #: Seconds; the queue's must be longer than two tries of a write.
    visibility_timeout: int
    #: Which ones the queue gets meanwhile.
    visibility_changes: Sequence[int]
    s3_timeout: int
    max_receive_count: int
    #: Seconds for a stop, of which ECS gives 30. More in a short run, which is made on machines
    #: that do much else at the same time.
    stop_seconds: float


FULL = Shape(
    seconds=120,
    messages=20_000,
    clients=32,
    masters=2,
    uploaders=3,
    poison=20,
    worker_kills=4,
    master_kills=2,
    master_stops=2,
    uploader_kills=5,
    uploader_stops=3,
    database_stops=[(5, 9), (5, 9)],
    clock_steps=8,
    sqs_outages=[(5, 8), (4, 7), (2, 4), (2, 4)],
    s3_outages=[(20, 25), (3, 6)],
    # A message that is refused comes back every 5 s: it would be a dead letter after five times.
    s3_refusals=[(30, 33), (2, 3), (2, 3), (2, 3)],
    # The first one outlives the credentials.
    credential_outages=[(20, 25), (4, 7)],
    credential_seconds=12,
    partial_failures=1,
    visibility_timeout=15,
    visibility_changes=[30, 12],
    s3_timeout=5,
    max_receive_count=5,
    stop_seconds=25,
)
SHORT = Shape(
    seconds=10,
    messages=500,
    clients=8,
    masters=1,
    uploaders=2,
    poison=4,
    worker_kills=1,
    master_kills=0,
    master_stops=0,
    uploader_kills=1,
    uploader_stops=1,
    database_stops=[(1, 2)],
    clock_steps=3,
    sqs_outages=[(1, 2)],
    s3_outages=[(2, 4)],
    s3_refusals=[(1, 2)],
    credential_outages=[(3, 5)],
    credential_seconds=4,
    partial_failures=3,
    visibility_timeout=8,
    visibility_changes=[20, 8],
    s3_timeout=3,
    max_receive_count=4,
    stop_seconds=90,
)

_SQS_OUTAGES = (
    *(Fault.HANG, Fault.ERROR, Fault.RESET_BEFORE, Fault.RESET_AFTER),
    Fault.EXPIRED,
)
_S3_OUTAGES = (Fault.HANG, Fault.ERROR, Fault.RESET_BEFORE)
_S3_REFUSALS = (Fault.EXPIRED, Fault.DENIED, Fault.PAGE)
_CREDENTIAL_OUTAGES = (Fault.HANG, Fault.ERROR)
#: The last part of the time that clients send is for what has begun before.
_SHARE = 0.92


@dataclass(frozen=True)
class Schedule:
    shape: Shape
    events: Sequence[Event] = field(default_factory=list)
    outages: Mapping[Upstream, Sequence[Outage]] = field(default_factory=dict)
    poison: Sequence[float] = field(default_factory=list)

    def lanes(self) -> dict[str, list[Event]]:
        """Return the events of each thing, in order."""
        found: dict[str, list[Event]] = {}
        for event in self.events:
            found.setdefault(event.lane, []).append(event)
        return found

    def lines(self) -> Iterator[str]:
        """Describe it compactly, as it is printed."""
        yield "events   " + "; ".join(map(str, self.events))
        for upstream, outages in self.outages.items():
            told = (f"{each.start:.1f} to {each.end:.1f} {each.fault}" for each in outages)
            yield f"{upstream:<9} away: " + "; ".join(told)
        yield "poison   " + " ".join(f"{at:.1f}" for at in self.poison)


def draw(seed: int, shape: Shape) -> Schedule:
    """Draw what happens."""
    rng = random.Random(f"{seed}/schedule")
    end = shape.seconds * _SHARE
    s3_outages = _outages(
        rng,
        [*_drawn(rng, _S3_OUTAGES, shape.s3_outages), *_refusals(rng, shape.s3_refusals)],
        end,
    )
    longest = max(
        (outage for outage in s3_outages if outage.fault in _S3_OUTAGES),
        key=lambda outage: outage.length,
    )
    outages = {
        Upstream.SQS: _outages(rng, _drawn(rng, _SQS_OUTAGES, shape.sqs_outages), end),
        Upstream.S3: s3_outages,
    }
    for issuer in (Upstream.CONTAINER, Upstream.STS):
        drawn = _drawn(rng, _CREDENTIAL_OUTAGES, shape.credential_outages)
        outages[issuer] = _outages(rng, drawn, end)
    return Schedule(
        shape=shape,
        events=sorted(
            [*_process_events(rng, shape, end, longest), *_other_events(rng, shape, end)]
        ),
        outages=outages,
        # Early: what cannot be read comes back several times before SQS gives it up.
        poison=sorted(rng.uniform(0, end / 2) for _ in range(shape.poison)),
    )


def _process_events(
    rng: random.Random, shape: Shape, end: float, s3_outage: Outage
) -> Iterator[Event]:
    for number, thing, count, action in (
        (shape.worker_kills, "master", shape.masters, "kill worker"),
        (shape.master_kills, "master", shape.masters, "kill"),
        (shape.master_stops, "master", shape.masters, "stop"),
        (shape.uploader_kills, "uploader", shape.uploaders, "kill"),
        (shape.uploader_stops, "uploader", shape.uploaders, "stop"),
    ):
        for index in range(number):
            at = rng.uniform(0.05 * end, end)
            if thing == "uploader" and index == 0:
                # Once when it has most in hand: messages that it cannot store.
                at = rng.uniform(s3_outage.start + 0.6 * s3_outage.length, s3_outage.end)
            yield Event(at, f"{thing} {rng.randrange(count)}", action, rng.uniform(0.3, 4))


def _other_events(rng: random.Random, shape: Shape, end: float) -> Iterator[Event]:
    stops = [rng.uniform(*each) for each in shape.database_stops]
    # The first one stops it as an operator does, the second one as a crash does, and so on.
    for number, (at, seconds) in enumerate(zip(_starts(rng, stops, end), stops, strict=True)):
        yield Event(at, "database", ("stop immediate", "stop fast")[number % 2], seconds)
    # To and fro over midnight, which it also passes by itself.
    for number in range(shape.clock_steps):
        at = end * (number + rng.random()) / shape.clock_steps
        size = rng.uniform(1, 6)
        yield Event(at, "clock", "set", size if number % 2 else -size)
    for number, seconds in enumerate(shape.visibility_changes):
        at = end * (number + rng.random()) / len(shape.visibility_changes)
        yield Event(at, "queue", "set visibility timeout", seconds)


def _drawn(
    rng: random.Random, faults: Sequence[Fault], lengths: Sequence[tuple[float, float]]
) -> list[tuple[Fault, float]]:
    """Return a fault for each length: a different one each time."""
    kinds = rng.sample(faults, len(lengths))
    return [(kind, rng.uniform(*length)) for kind, length in zip(kinds, lengths, strict=True)]


def _refusals(
    rng: random.Random, lengths: Sequence[tuple[float, float]]
) -> list[tuple[Fault, float]]:
    first, *others = lengths
    return [
        (Fault.KEY_DISABLED, rng.uniform(*first)),
        *_drawn(rng, _S3_REFUSALS, others),
    ]


def _outages(rng: random.Random, faults: Sequence[tuple[Fault, float]], end: float) -> list[Outage]:
    """Return outages that do not overlap, in random order."""
    shuffled = rng.sample(faults, len(faults))
    starts = _starts(rng, [seconds for _, seconds in shuffled], end)
    return [
        Outage(at, at + seconds, fault)
        for at, (fault, seconds) in zip(starts, shuffled, strict=True)
    ]


def _starts(rng: random.Random, spans: Sequence[float], end: float) -> list[float]:
    """Return when each span begins, so that they do not overlap, and all are over at the end."""
    room = end - sum(spans)
    cuts = sorted(rng.uniform(0.05 * room, room) for _ in spans)
    gaps = [later - earlier for earlier, later in pairwise([0.0, *cuts])]
    starts = []
    at = 0.0
    for gap, span in zip(gaps, spans, strict=True):
        starts.append(at + gap)
        at += gap + span
    return starts
