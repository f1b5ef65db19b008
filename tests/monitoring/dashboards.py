"""The dashboards' JSON files, and what Grafana makes of their variables."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from cpsite.devstack.monitoring_files import FILES

DIRECTORY: Final = FILES / "dashboards"
#: Variables of Grafana in an expression: `$instance`, `$__rate_interval`.
_VARIABLE: Final = re.compile(r"\$(\w+)")


@dataclass(frozen=True)
class Query:
    """One query of a panel. `expression` is as it stands in the file."""

    dashboard: str
    panel: str
    expression: str
    legend: str
    is_instant: bool

    def filled_in(self, *, rate_interval: str) -> str:
        """Return the expression for all instances. Raises KeyError for an unknown variable."""
        values = {"__rate_interval": rate_interval, "instance": ".*"}
        return _VARIABLE.sub(lambda found: values[found[1]], self.expression)


def load() -> dict[str, dict[str, Any]]:
    """Return each dashboard by its file's name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(DIRECTORY.glob("*.json"))}


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all panels but the rows' titles."""
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", [])


def queries(dashboard: dict[str, Any]) -> Iterator[Query]:
    """Yield the queries of all panels."""
    for panel in panels(dashboard):
        yield from panel_queries(dashboard["uid"], panel)


def panel_queries(uid: str, panel: dict[str, Any]) -> Iterator[Query]:
    """Yield the queries of one panel of the dashboard `uid`."""
    for target in panel["targets"]:
        yield Query(
            dashboard=uid,
            panel=panel["title"],
            expression=target["expr"],
            legend=target["legendFormat"],
            is_instant=target.get("instant", False),
        )
