"""Twice as many messages as a validator can accept: how soon it answers and what it refuses."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench import environment, servers
from bench.errors import CannotMeasure
from bench.load import ACCEPTED, Load
from bench.processes import run
from bench.progress import report
from bench.results import Result, Task
from bench.servers import Server, Validator
from bench.stack import Stack

SCENARIO: Final = "overload"
#: Connections, each with one request at a time, under which a validator shows what it can accept.
_CONNECTIONS: Final = 64
_TIMES: Final = 2
_SECONDS: Final = 10
_REFUSED: Final = "503"
_CASES: Final = {ACCEPTED: f"{_TIMES} times that: accepted", _REFUSED: f"{_TIMES} times: refused"}


def tasks(
    stack: Stack, validators: Sequence[Validator], *, rounds: int, requests: int
) -> Iterator[Task]:
    """Measure each validator in interleaved rounds."""
    for number in range(1, rounds + 1):
        for validator in validators:
            title = f"round {number}/{rounds}"
            yield partial(_measure_round, stack, validator, title, requests=requests)


def _measure_round(
    stack: Stack, validator: Validator, title: str, *, requests: int
) -> Iterator[Result]:
    body = servers.write_body(stack.scratch)
    stack = stack.of(is_before=validator.is_before)
    with servers.started(validator, stack) as server:
        report(SCENARIO, title, validator.name, f"c={_CONNECTIONS}")
        work = Load(_CONNECTIONS, max(requests, _CONNECTIONS), body)
        can = servers.measure(server, stack, f"c={_CONNECTIONS}", work, scenario=SCENARIO)
        yield can
        report(SCENARIO, title, validator.name, f"{_TIMES * can.rate:,.0f} a second")
        queued = server.queue.depth()
        seen = _overload(server, _TIMES * can.rate, body, stack.scratch)
        _check(seen, server.queue.depth() - queued, name=validator.name)
        for status, case in _CASES.items():
            if status in seen["answers"]:
                yield _result(seen, status, like=can, case=case)


def _overload(server: Server, rate: float, body: Path, scratch: Path) -> Mapping[str, Any]:
    """Send so many requests a second; return what overload.mjs has seen."""
    command: list[str | Path] = [
        environment.node(),
        environment.PEERS / "overload.mjs",
        server.url,
        str(rate),
        str(_SECONDS),
        body,
    ]
    seen: Mapping[str, Any] = json.loads(run("overload", command, environment.bare(scratch)))
    return seen


def _check(seen: Mapping[str, Any], queued: int, *, name: str) -> None:
    """Raise CannotMeasure unless each request was accepted and queued, or refused."""
    numbers = {status: each["answers"] for status, each in seen["answers"].items()}
    if numbers.keys() - _CASES or seen["errors"] or numbers.get(ACCEPTED, 0) != queued:
        raise CannotMeasure(
            f"{name} answered {numbers}, with the errors {seen['errors']}, and {queued} messages "
            "are queued."
        )


def _result(seen: Mapping[str, Any], status: str, *, like: Result, case: str) -> Result:
    answers = seen["answers"][status]
    return Result(
        scenario=SCENARIO,
        variant=like.variant,
        case=case,
        messages=answers["answers"],
        rate=answers["answers"] / seen["seconds"],
        p50_ms=answers["p50_ms"],
        p99_ms=answers["p99_ms"],
        is_ours=like.is_ours,
    )
