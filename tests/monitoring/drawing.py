"""Draws one panel as SVG: lines, a number or a table, in the manner of Grafana's."""

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from tests.monitoring.units import format_value

BACKGROUND: Final = "#111217"
PANEL: Final = "#181b1f"
BORDER: Final = "#2c3038"
TEXT: Final = "#ccccdc"
FAINT: Final = "#8e8e9c"
GRID: Final = "#262a30"
COLOURS: Final = {
    "green": "#73bf69",
    "yellow": "#fade2a",
    "light-blue": "#8ab8ff",
    "orange": "#ff9830",
    "red": "#f2495c",
    "blue": "#5794f2",
    "purple": "#b877d9",
    "dark-orange": "#fa6400",
    "dark-red": "#c4162a",
    "gray": "#8e8e9c",
}
#: What series get that no override gives a colour.
PALETTE: Final = (
    *("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0"),
    *("#37872d", "#fade2a", "#447ebc", "#c15c17", "#890f02", "#6d1f62", "#584477", "#6ed0e0"),
)

#: Pixels: of the title's line, and around a panel's content.
TITLE: Final = 28
MARGIN: Final = 10
#: Width of a character of the small letters, about.
CHARACTER: Final = 6.6
LEGEND_LINE: Final = 16
#: Lines of the grid, about.
TICKS: Final = 4


@dataclass(frozen=True)
class Line:
    """A named series. Points are (Unix time, value)."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    is_dashed: bool = False
    is_filled: bool = True
    is_stepped: bool = False


@dataclass(frozen=True)
class Box:
    """Where something is drawn, in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass
class Axes:
    """How values become places."""

    box: Box
    start: float
    end: float
    low: float
    high: float
    unit: str
    decimals: int | None
    ticks: list[float] = field(default_factory=list)

    def place(self, at: float, value: float) -> tuple[float, float]:
        x = self.box.x + (at - self.start) / (self.end - self.start) * self.box.width
        share = (value - self.low) / (self.high - self.low)
        return round(x), round(self.box.y + (1 - share) * self.box.height, 1)


def text(
    content: str,
    x: float,
    y: float,
    *,
    size: int = 11,
    colour: str = FAINT,
    anchor: str = "start",
    weight: int = 400,
) -> str:
    """Return a text element whose baseline begins (or is centred, or ends) at the point."""
    style = "" if weight == 400 else f' font-weight="{weight}"'
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{colour}"{place}{style}>'
        f"{escape(content)}</text>"
    )


def frame(box: Box, title: str, *, has_link: bool) -> list[str]:
    """Return an empty panel; an arrow stands for its links to runbooks."""
    border = (
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" '
        f'height="{box.height:.0f}" rx="2" fill="{PANEL}" stroke="{BORDER}"/>'
    )
    found = [border, text(title, box.x + MARGIN, box.y + 19, size=13, colour=TEXT, weight=500)]
    if has_link:
        found.append(text("↗", box.x + box.width - 20, box.y + 19, size=12))
    return found


def inner(box: Box) -> Box:
    """Return what of a panel is left for its content."""
    return Box(
        box.x + MARGIN, box.y + TITLE, box.width - 2 * MARGIN, box.height - TITLE - MARGIN / 2
    )


def stat(box: Box, value: str, colour: str) -> list[str]:
    """Return a large number, or the word in its place."""
    size = 30
    middle = (box.x + box.width / 2, box.y + (box.height - MARGIN) / 2 + size / 3)
    return [text(value, *middle, size=size, colour=colour, anchor="middle", weight=500)]


def table(box: Box, columns: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]]) -> list[str]:
    """Return a table; a cell is its text and its colour."""
    width = box.width / max(1, len(columns))
    found = []
    for number, column in enumerate(columns):
        found.append(text(column, box.x + number * width, box.y + 14, colour="#6e9fff", weight=500))
    for line, row in enumerate(rows):
        y = box.y + 14 + 24 * (line + 1)
        if y > box.y + box.height:
            break
        found.append(
            f'<path d="M{box.x:.0f} {y - 16:.0f}h{box.width:.0f}" stroke="{GRID}" fill="none"/>'
        )
        for number, (content, colour) in enumerate(row):
            found.append(text(content, box.x + number * width, y, size=12, colour=colour))
    return found


def chart(
    box: Box,
    lines: Sequence[Line],
    *,
    start: float,
    end: float,
    unit: str,
    decimals: int | None,
    lowest: float | None,
    highest: float | None,
    legend_beside: bool,
) -> list[str]:
    """Return lines over time with axes and a legend."""
    if not any(line.points for line in lines):
        return [
            text("No data", box.x + box.width / 2, box.y + box.height / 2, size=14, anchor="middle")
        ]
    legend, plot = _legend(box, lines, unit, decimals, beside=legend_beside)
    axes = _axes(plot, lines, start, end, unit, decimals, lowest, highest)
    found = _grid(axes)
    for line in lines:
        found += _paths(axes, line, fill=0.08 if line.is_filled else 0)
    return found + legend


def _axes(
    box: Box,
    lines: Sequence[Line],
    start: float,
    end: float,
    unit: str,
    decimals: int | None,
    lowest: float | None,
    highest: float | None,
) -> Axes:
    values = [value for line in lines for _, value in line.points if math.isfinite(value)]
    low = min(values) if lowest is None else lowest
    high = max(values) if highest is None else highest
    if high <= low:
        high = low + 1
    step = _nice((high - low) / TICKS, unit)
    low = math.floor(low / step + 1e-9) * step
    high = math.ceil(high / step - 1e-9) * step
    ticks = [low + number * step for number in range(round((high - low) / step) + 1)]
    labels = [format_value(tick, unit, None) for tick in ticks]
    margin = 8 + CHARACTER * max(map(len, labels))
    plot = Box(box.x + margin, box.y + 6, box.width - margin - 4, box.height - 26)
    return Axes(plot, start, end, low, high, unit, decimals, ticks)


def _nice(step: float, unit: str) -> float:
    """Return the next larger step that people count in."""
    if unit in {"bytes", "Bps"}:
        return float(2 ** math.ceil(math.log2(step)))
    if unit == "s" and step > 5:
        steps = (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400)
        return float(next((tick for tick in steps if tick >= step), steps[-1]))
    base = 10.0 ** math.floor(math.log10(step))
    return next(factor * base for factor in (1, 2, 2.5, 5, 10) if factor * base >= step * 0.999)


def _grid(axes: Axes) -> list[str]:
    box = axes.box
    found = []
    for tick in axes.ticks:
        _, y = axes.place(axes.start, tick)
        found.append(f'<path d="M{box.x:.0f} {y}h{box.width:.0f}" stroke="{GRID}" fill="none"/>')
        label = format_value(tick, axes.unit, None)
        found.append(text(label, box.x - 6, y + 4, anchor="end"))
    for at in _times(axes.start, axes.end, wanted=max(2, int(box.width / 90))):
        x, _ = axes.place(at, axes.low)
        label = time.strftime("%H:%M", time.gmtime(at))
        found.append(text(label, x, box.y + box.height + 16, anchor="middle"))
    return found


def _times(start: float, end: float, *, wanted: int) -> list[float]:
    """Return round times between two, about so many."""
    steps = (60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600)
    step = next((step for step in steps if (end - start) / step <= wanted), steps[-1])
    first = math.ceil(start / step) * step
    return [float(at) for at in range(first, int(end) + 1, step)]


def _paths(axes: Axes, line: Line, *, fill: float) -> list[str]:
    """Return a line's path, broken where there is nothing for longer than usual, and its area."""
    found = []
    for run in _runs(line.points):
        places = [axes.place(at, min(max(value, axes.low), axes.high)) for at, value in run]
        places = _without_middles(_stepped(places) if line.is_stepped else places)
        path = "M" + " ".join(f"{x:g} {y:g}" for x, y in places)
        dash = ' stroke-dasharray="6 6" stroke-width="1"' if line.is_dashed else ""
        found.append(f'<path d="{path}" stroke="{line.colour}" fill="none"{dash}/>')
        if fill:
            _, bottom = axes.place(axes.start, max(axes.low, min(0, axes.high)))
            area = f"{path} {places[-1][0]:g} {bottom:g} {places[0][0]:g} {bottom:g}Z"
            found.append(
                f'<path d="{area}" fill="{line.colour}" fill-opacity="{fill}" stroke="none"/>'
            )
    return found


def _runs(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Split points where the distance is larger than the usual one."""
    if not points:
        return []
    usual = min((after[0] - at[0] for at, after in itertools.pairwise(points)), default=0)
    runs = [[points[0]]]
    for at, after in itertools.pairwise(points):
        if after[0] - at[0] > usual * 1.5:
            runs.append([])
        runs[-1].append(after)
    return runs


def _stepped(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    found = [places[0]]
    for x, y in places[1:]:
        found += [(x, found[-1][1]), (x, y)]
    return found


def _without_middles(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out what lies on a level line: most of many series."""
    return [
        place
        for number, place in enumerate(places)
        if not 0 < number < len(places) - 1
        or not places[number - 1][1] == place[1] == places[number + 1][1]
    ]


def _legend(
    box: Box, lines: Sequence[Line], unit: str, decimals: int | None, *, beside: bool
) -> tuple[list[str], Box]:
    """Return the legend and what it leaves of the box."""
    if beside:
        return _legend_beside(box, lines, unit, decimals)
    rows: list[list[Line]] = [[]]
    used = 0.0
    for line in lines:
        width = 26 + CHARACTER * len(line.name)
        if used + width > box.width and rows[-1]:
            rows.append([])
            used = 0
        rows[-1].append(line)
        used += width
    found = []
    for number, row in enumerate(rows):
        x, y = box.x, box.y + box.height - LEGEND_LINE * (len(rows) - 1 - number) - 3
        for line in row:
            found += [_swatch(line, x, y), text(line.name, x + 18, y, colour=TEXT)]
            x += 26 + CHARACTER * len(line.name)
    return found, Box(box.x, box.y, box.width, box.height - LEGEND_LINE * len(rows))


def _legend_beside(
    box: Box, lines: Sequence[Line], unit: str, decimals: int | None
) -> tuple[list[str], Box]:
    """Return a table of the largest and the last values, and what it leaves of the box."""
    ranked = sorted(lines, key=lambda line: -max((v for _, v in line.points), default=0))
    name_width = 26 + CHARACTER * max(len(line.name) for line in lines)
    width = min(box.width * 0.6, name_width + 130)
    x = box.x + box.width - width
    found = [
        text("Max", x + width - 70, box.y + 8, anchor="end", colour="#6e9fff"),
        text("Last", x + width, box.y + 8, anchor="end", colour="#6e9fff"),
    ]
    for number, line in enumerate(ranked):
        y = box.y + 8 + LEGEND_LINE * (number + 1)
        if y > box.y + box.height:
            break
        values = [value for _, value in line.points] or [0]
        found += [
            _swatch(line, x, y),
            text(line.name, x + 18, y, colour=TEXT),
            text(format_value(max(values), unit, decimals), x + width - 70, y, anchor="end"),
            text(format_value(values[-1], unit, decimals), x + width, y, anchor="end"),
        ]
    return found, Box(box.x, box.y, box.width - width - 12, box.height)


def _swatch(line: Line, x: float, y: float) -> str:
    dash = ' stroke-dasharray="4 3"' if line.is_dashed else ""
    return (
        f'<path d="M{x:.0f} {y - 4:.0f}h13" stroke="{line.colour}" stroke-width="3" '
        f'fill="none"{dash}/>'
    )
