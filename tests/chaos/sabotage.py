"""Switches off one protection of the services from the outside, to show that a run can fail.

Nothing in the product knows of it: a `sitecustomize` module on PYTHONPATH changes ours after their
import (tests/chaos/saboteur/).
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from tests.chaos.verdict import Kind, Verdict

_DIRECTORY = Path(__file__).with_name("saboteur")

#: What is done, and which offences must come of it.
SABOTAGES: Mapping[str, tuple[str, Collection[Kind]]] = {
    "delete-before-storing": ("a message leaves SQS before S3 has it", {Kind.LOST}),
    "fresh-key": ("each delivery is written under a new key", {Kind.DUPLICATED}),
    "trust-the-batch": ("a send counts whatever SQS says of its entry", {Kind.LOST}),
    "swallow-poison": ("what cannot be read is deleted", {Kind.DEAD_LETTERS}),
    "no-unique-key": (
        "each request with a key is a new message",
        {Kind.DUPLICATED, Kind.IDS_DIFFER},
    ),
    "own-time": (
        "a claim that is taken over has a new time of acceptance",
        {Kind.DUPLICATED, Kind.ALTERED},
    ),
    "give-up-in-outage": (
        "what S3 does not take is delivered again at once",
        {Kind.LOST, Kind.DEAD_LETTERS},
    ),
    "refuse-dotted-codes": (
        "an error code with a dot is taken for a refusal of the object",
        {Kind.LOST, Kind.DEAD_LETTERS},
    ),
    "fail-without-credentials": (
        "a moment without credentials raises what botocore raises, RuntimeError",
        {Kind.DEATH, Kind.UNFORESEEN},
    ),
    "lose-events-silently": ("lost audit events are not logged", {Kind.AUDIT}),
    "log-content": ("messages are logged", {Kind.LEAK}),
}


def environment(name: str) -> dict[str, str]:
    """Return what a process needs in its environment to be sabotaged; nothing without a name."""
    return {"PYTHONPATH": str(_DIRECTORY), "CHAOS_SABOTAGE": name} if name else {}


def is_caught(name: str, verdict: Verdict) -> bool:
    """Whether the verdict holds what must come of a sabotage."""
    return any(verdict.count(kind) for kind in SABOTAGES[name][1])
