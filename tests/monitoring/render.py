"""Draws the dashboards from a running Prometheus: `python -m tests.monitoring.render --help`.

Panels, their places, queries, units, colours and legends are those of the JSON files. Only the
drawing is not Grafana's, which is not needed for it.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cpsite.devstack.configuration import ROOT
from tests.monitoring import dashboards, drawing
from tests.monitoring.drawing import Box, Line
from tests.monitoring.prometheus import Prometheus, QueryRefused, Series
from tests.monitoring.units import format_value

#: Of Grafana's grid, in pixels: 24 columns, rows of 30 with 8 between them.
COLUMN: Final = 60
ROW: Final = 38
GAP: Final = 8
HEAD: Final = 46
#: Points of a line.
POINTS: Final = 100


@dataclass(frozen=True)
class Span:
    """The time that is drawn, in Unix seconds."""

    start: float
    end: float

    @property
    def step(self) -> float:
        return (self.end - self.start) / POINTS


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.monitoring.render",
        description="Draw each dashboard's panels as an SVG, from a running Prometheus.",
    )
    parser.add_argument(
        "--prometheus", default="http://127.0.0.1:9090", help="its URL (default: %(default)s)"
    )
    parser.add_argument(
        "--minutes", type=float, default=30, help="how far back to draw (default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "docs" / "images",
        help="directory for the pictures (default: docs/images)",
    )
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    now = time.time()
    span = Span(now - options.minutes * 60, now)
    try:
        for name, dashboard in dashboards.load().items():
            path = options.out / f"dashboard-{name}.svg"
            path.write_text(render(dashboard, Prometheus(options.prometheus), span))
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    except (OSError, QueryRefused) as exc:
        print(
            f"cpsite: {options.prometheus}: {exc}. Is `make monitoring` running?", file=sys.stderr
        )
        return 1
    return 0


def render(dashboard: dict[str, Any], prometheus: Prometheus, span: Span) -> str:
    """Return a dashboard as SVG. Raises OSError or QueryRefused."""
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    width, height = 24 * COLUMN + GAP, HEAD + bottom * ROW + GAP
    elements = [*_head(dashboard["title"], span, width)]
    for panel in dashboard["panels"]:
        elements += _panel(dashboard, panel, prometheus, span)
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
                f'width="{width}" height="{height}" stroke-width="1.5" stroke-linejoin="round" '
                'font-family="Inter, Helvetica, Arial, sans-serif">'
            ),
            f'<rect width="{width}" height="{height}" fill="{drawing.BACKGROUND}" stroke="none"/>',
            *elements,
            "</svg>\n",
        ]
    )


def _head(title: str, span: Span, width: float) -> Iterator[str]:
    yield drawing.text(title, GAP * 2, 30, size=18, colour=drawing.TEXT, weight=500)
    times = " to ".join(
        time.strftime(form, time.gmtime(at))
        for form, at in (("%Y-%m-%d %H:%M", span.start), ("%H:%M UTC", span.end))
    )
    note = f"{times} · drawn from the dashboard's JSON, not by Grafana"
    yield drawing.text(note, width - GAP * 2, 29, size=12, anchor="end")


def _panel(
    dashboard: dict[str, Any], panel: dict[str, Any], prometheus: Prometheus, span: Span
) -> list[str]:
    place = panel["gridPos"]
    box = Box(
        GAP + place["x"] * COLUMN,
        HEAD + place["y"] * ROW,
        place["w"] * COLUMN - GAP,
        place["h"] * ROW - GAP,
    )
    if panel["type"] == "row":
        title = f"⌄  {panel['title']}"
        return [drawing.text(title, box.x, box.y + 20, size=15, colour=drawing.TEXT, weight=500)]
    draw = {"timeseries": _chart, "stat": _stat, "table": _table}[panel["type"]]
    queries = list(dashboards.panel_queries(dashboard["uid"], panel))
    return [
        *drawing.frame(box, panel["title"], has_link="links" in panel),
        *draw(drawing.inner(box), panel, queries, prometheus, span),
    ]


def _ask(query: dashboards.Query, prometheus: Prometheus, span: Span) -> list[Series]:
    # What Grafana takes for scrapes each 15 s (timeInterval of the data source).
    rate_interval = f"{max(60, int(span.step) + 15)}s"
    expression = query.filled_in(rate_interval=rate_interval)
    if query.is_instant:
        return prometheus.query(expression)
    return prometheus.query_range(expression, start=span.start, end=span.end, step=span.step)


def _chart(
    box: Box,
    panel: dict[str, Any],
    queries: Sequence[dashboards.Query],
    prometheus: Prometheus,
    span: Span,
) -> list[str]:
    defaults = panel["fieldConfig"]["defaults"]
    named = [
        (query.name_of(series.labels), series)
        for query in queries
        for series in _ask(query, prometheus, span)
    ]
    return drawing.chart(
        box,
        [_line(panel, name, series, number) for number, (name, series) in enumerate(named)],
        start=span.start,
        end=span.end,
        unit=defaults["unit"],
        decimals=defaults.get("decimals"),
        lowest=defaults.get("min"),
        highest=defaults.get("max"),
        legend_beside=panel["options"]["legend"]["placement"] == "right",
    )


def _line(panel: dict[str, Any], name: str, series: Series, number: int) -> Line:
    properties = _properties(panel, name)
    colour = properties.get("color", {}).get("fixedColor")
    custom = panel["fieldConfig"]["defaults"]["custom"]
    return Line(
        name=name,
        points=series.points,
        colour=drawing.COLOURS[colour] if colour else drawing.PALETTE[number % 16],
        is_dashed="custom.lineStyle" in properties,
        is_filled=properties.get("custom.fillOpacity", custom["fillOpacity"]) > 0,
        is_stepped=custom.get("lineInterpolation") == "stepAfter",
    )


def _properties(panel: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what the panel's overrides say of a field."""
    return {
        item["id"]: item["value"]
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["options"] == name
        for item in override["properties"]
    }


def _stat(
    box: Box,
    panel: dict[str, Any],
    queries: Sequence[dashboards.Query],
    prometheus: Prometheus,
    span: Span,
) -> list[str]:
    defaults = panel["fieldConfig"]["defaults"]
    found = [series for query in queries for series in _ask(query, prometheus, span)]
    if not found or not found[0].points:
        return drawing.stat(box, defaults["noValue"], drawing.FAINT)
    value = found[0].points[-1][1]
    steps = defaults["thresholds"]["steps"]
    reached = [step for step in steps if step["value"] is None or value >= step["value"]]
    shown = format_value(value, defaults["unit"], defaults.get("decimals"))
    return drawing.stat(box, shown, drawing.COLOURS[reached[-1]["color"]])


def _table(
    box: Box,
    panel: dict[str, Any],
    queries: Sequence[dashboards.Query],
    prometheus: Prometheus,
    span: Span,
) -> list[str]:
    columns: dict[str, str] = next(
        step["options"]["renameByName"]
        for step in panel["transformations"]
        if step["id"] == "organize"
    )
    rows = []
    for query in queries:
        for series in _ask(query, prometheus, span):
            values = series.labels | {"Value": f"{series.points[-1][1]:g}"}
            rows.append([_cell(panel, columns[name], values.get(name, "")) for name in columns])
    if not rows:
        rows = [[(panel["fieldConfig"]["defaults"]["noValue"], drawing.FAINT)]]
    return drawing.table(box, list(columns.values()), sorted(rows))


def _cell(panel: dict[str, Any], column: str, value: str) -> tuple[str, str]:
    for mapping in _properties(panel, column).get("mappings", []):
        if value in mapping["options"]:
            option = mapping["options"][value]
            return option.get("text", value), drawing.COLOURS[option["color"]]
    return value, drawing.TEXT


if __name__ == "__main__":
    sys.exit(main())
