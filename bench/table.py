"""Results as one table, in plain text or Markdown, and ratios between ours and the peers."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from bench.results import Result

_NOTHING: Final = "-"

_Column = tuple[str, Callable[[Result], str]]


def _number(value: float | None, digits: int) -> str:
    return _NOTHING if value is None else f"{value:,.{digits}f}"


def _calls(kind: str) -> Callable[[Result], str]:
    return lambda result: _number(result.calls.get(kind) or None, 3)


_COLUMNS: Final[tuple[_Column, ...]] = (
    ("scenario", lambda result: result.scenario),
    ("case", lambda result: result.case),
    ("who", lambda result: result.variant),
    ("CPU ms", lambda result: _number(result.cpu_ms, 2)),
    ("msg/s", lambda result: _number(result.rate, 0)),
    ("p50 ms", lambda result: _number(result.p50_ms, 1)),
    ("p99 ms", lambda result: _number(result.p99_ms, 1)),
    ("send", _calls("send")),
    ("receive", _calls("receive")),
    ("delete", _calls("delete")),
    ("visib.", _calls("visibility")),
    ("PUT", lambda result: _number(result.puts, 3)),
    ("peak MiB", lambda result: _number(result.peak_mib, 0)),
)
_RATIO_HEADER: Final = ("scenario", "case", "ours", "against", "CPU", "p50", "msg/s")

LEGEND: Final = """\
CPU ms: CPU time of the measured processes, per message. send, receive, delete, visib.: SQS calls
per message. PUT: S3 writes per message. peak MiB: memory (PSS) of the measured processes together.
Ours also write an audit log, metrics and a log line a message; the database's own CPU is not in it.
"""


def render(results: Sequence[Result], *, markdown: bool) -> str:
    """Return one row for each result."""
    header = [title for title, _ in _COLUMNS]
    rows = [[cell(result) for _, cell in _COLUMNS] for result in results]
    return _grid(header, rows, text_columns=3, markdown=markdown)


def render_ratios(results: Sequence[Result], *, markdown: bool) -> str:
    """Return ours divided by each peer with the same scenario and case; nothing without peers."""
    rows = [
        [*ours.condition, ours.variant, peer.variant, *_ratios(ours, peer)]
        for ours, peer in _pairs(results)
    ]
    return _grid(list(_RATIO_HEADER), rows, text_columns=4, markdown=markdown) if rows else ""


def _pairs(results: Sequence[Result]) -> Iterator[tuple[Result, Result]]:
    for ours in results:
        for peer in results:
            if ours.is_ours and not peer.is_ours and ours.condition == peer.condition:
                yield ours, peer


def _ratios(ours: Result, peer: Result) -> list[str]:
    pairs = (ours.cpu_ms, peer.cpu_ms), (ours.p50_ms, peer.p50_ms), (ours.rate, peer.rate)
    return [f"{mine / theirs:.2f}" if mine and theirs else _NOTHING for mine, theirs in pairs]


def _grid(header: list[str], rows: list[list[str]], *, text_columns: int, markdown: bool) -> str:
    """Align the cells: the first columns to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    aligned = [
        [
            cell.ljust(width) if index < text_columns else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in (header, *rows)
    ]
    rule = ["-" * width for width in widths]
    if markdown:
        rule[text_columns:] = [f"{dashes[:-1]}:" for dashes in rule[text_columns:]]
    lines = [aligned[0], rule, *aligned[1:]]
    if markdown:
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in lines)
