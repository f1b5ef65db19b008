"""What is going to happen to processes, database, clock and services: drawn from the seed alone."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.chaos.faults import Fault, Outage


@dataclass(frozen=True, order=True)
class Event:
    """Something that is done to one thing, so many seconds after the start.

    `value` is how long the thing stays down, or where a clock is set, in seconds after midnight.
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
    #: How many times more often than usual a batch fails in part: a short run has few.
    partial_failures: float
    #: Seconds; the queue's must be longer than two tries of a write.
    visibility_timeout: int
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
    sqs_outages=[(5, 8), (4, 7), (2, 4)],
    s3_outages=[(20, 25), (3, 6)],
    partial_failures=1,
    visibility_timeout=15,
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
    partial_failures=3,
    visibility_timeout=8,
    s3_timeout=3,
    max_receive_count=4,
    stop_seconds=90,
)

_SQS_OUTAGES = (Fault.HANG, Fault.ERROR, Fault.RESET_BEFORE, Fault.RESET_AFTER)
_S3_OUTAGES = (Fault.HANG, Fault.ERROR, Fault.RESET_BEFORE)
#: The last part of the time that clients send is for what has begun before.
_SHARE = 0.92


@dataclass(frozen=True)
class Schedule:
    shape: Shape
    events: Sequence[Event] = field(default_factory=list)
    sqs_outages: Sequence[Outage] = field(default_factory=list)
    s3_outages: Sequence[Outage] = field(default_factory=list)
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
        for name, outages in (("SQS", self.sqs_outages), ("S3", self.s3_outages)):
            told = (f"{each.start:.1f} to {each.end:.1f} {each.fault}" for each in outages)
            yield f"{name:<8} away: " + "; ".join(told)
        yield "poison   " + " ".join(f"{at:.1f}" for at in self.poison)


def draw(seed: int, shape: Shape) -> Schedule:
    """Draw what happens."""
    rng = random.Random(f"{seed}/schedule")
    end = shape.seconds * _SHARE
    s3_outages = _outages(rng, shape.s3_outages, end, _S3_OUTAGES)
    longest = max(s3_outages, key=lambda outage: outage.length)
    return Schedule(
        shape=shape,
        events=sorted(
            [*_process_events(rng, shape, end, longest), *_other_events(rng, shape, end)]
        ),
        sqs_outages=_outages(rng, shape.sqs_outages, end, _SQS_OUTAGES),
        s3_outages=s3_outages,
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
    # The first one stops it as an operator does, the second one as a crash does, and so on.
    for number, (at, seconds) in enumerate(_spread(rng, shape.database_stops, end)):
        yield Event(at, "database", ("stop immediate", "stop fast")[number % 2], seconds)
    # To and fro over midnight, which it also passes by itself.
    for number in range(shape.clock_steps):
        at = end * (number + rng.random()) / shape.clock_steps
        size = rng.uniform(1, 6)
        yield Event(at, "clock", "set", size if number % 2 else -size)


def _outages(
    rng: random.Random,
    lengths: Sequence[tuple[float, float]],
    end: float,
    faults: Sequence[Fault],
) -> list[Outage]:
    kinds = rng.sample(faults, len(lengths))
    spread = _spread(rng, lengths, end)
    return [
        Outage(at, at + seconds, kind) for (at, seconds), kind in zip(spread, kinds, strict=True)
    ]


def _spread(
    rng: random.Random, lengths: Sequence[tuple[float, float]], end: float
) -> list[tuple[float, float]]:
    """Return starts and lengths of spans that do not overlap, in random order of their lengths."""
    spans = [rng.uniform(*each) for each in lengths]
    rng.shuffle(spans)
    room = end - sum(spans)
    cuts = sorted(rng.uniform(0.05 * room, room) for _ in spans)
    gaps = [later - earlier for earlier, later in pairwise([0.0, *cuts])]
    starts = []
    at = 0.0
    for gap, span in zip(gaps, spans, strict=True):
        starts.append((at + gap, span))
        at += gap + span
    return starts
