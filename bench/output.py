"""The output of a run: its tables on stdout and, if asked for, a file of numbers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from bench import machine, table
from bench.arguments import Arguments
from bench.results import Result, medians
from bench.stack import Stack

Facts = Mapping[str, Any]


def facts(stack: Stack) -> Facts:
    """Return the context of the numbers: the date, the machine and the versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "versions": machine.versions(stack),
    }


def show(results: Sequence[Result], known: Facts, chosen: Arguments) -> None:
    """Print the tables and, if asked for, save every single run."""
    print(_header(known, chosen))
    rows = medians(results)
    print(table.render(rows, markdown=chosen.markdown))
    print(f"\n{table.LEGEND}")
    ratios = table.render_ratios(rows, markdown=chosen.markdown)
    if ratios:
        print(f"Ours divided by theirs; below 1 is less than the peer's.\n\n{ratios}\n")
    if "backlog" in chosen.only and not chosen.full:
        print("For a backlog of 100,000 messages: --full")
    if chosen.json:
        numbers = {**known, "options": asdict(chosen), "runs": list(map(asdict, results))}
        chosen.json.write_text(json.dumps(numbers, indent=2, default=str) + "\n")


def _header(known: Facts, chosen: Arguments) -> str:
    computer = known["machine"]
    lines = [
        f"{known['date']}, Linux {computer['kernel']}",
        f"{computer['cores']} cores of {computer['processor']}, {computer['memory_gib']} GiB",
        *(f"{group}: {_list(names)}" for group, names in known["versions"].items()),
        _rounds(chosen.rounds),
    ]
    lines += [f"SQS answers {chosen.sqs_delay} ms later."] if chosen.sqs_delay else []
    lines += [f"ours with {_list(chosen.ours, '=')}"] if chosen.ours else []
    return ("  \n" if chosen.markdown else "\n").join(lines) + "\n"


def _rounds(number: int) -> str:
    return "Single runs." if number == 1 else f"Medians of {number} rounds."


def _list(pairs: Mapping[str, str], between: str = " ") -> str:
    return ", ".join(f"{name}{between}{value}" for name, value in pairs.items())
