"""Prometheus's HTTP API, as Grafana uses it."""

import json
import math
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError


class QueryRefused(Exception):
    """Prometheus did not take an expression; the text is its reason."""


@dataclass(frozen=True)
class Series:
    """Labels, and values by Unix time; NaN is left out, as Grafana draws nothing there."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Prometheus:
    url: str

    def get(self, path: str, **parameters: object) -> Any:
        """Return `data` of the API's answer. Raises QueryRefused, or OSError."""
        query = urllib.parse.urlencode({name: str(value) for name, value in parameters.items()})
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as answer:
                return json.load(answer)["data"]
        except HTTPError as exc:
            raise QueryRefused(exc.read().decode(errors="replace")) from exc

    def query(self, expression: str) -> list[Series]:
        """Return the values of an expression now."""
        found = self.get("query", query=expression)
        assert found["resultType"] == "vector", f"{expression} is a {found['resultType']}"
        return [_series(item["metric"], [item["value"]]) for item in found["result"]]

    def query_range(
        self, expression: str, *, start: float, end: float, step: float
    ) -> list[Series]:
        """Return the values of an expression from `start` to `end`, each `step` seconds."""
        found = self.get("query_range", query=expression, start=start, end=end, step=step)
        return [_series(item["metric"], item["values"]) for item in found["result"]]

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules, with their health and what came of them."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def targets(self) -> dict[str, str]:
        """Return the health of each job's target."""
        found = self.get("targets", state="active")["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in found}

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        found = self.get("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"}


def _series(labels: dict[str, str], values: list[tuple[float, str]]) -> Series:
    points = [(time, float(value)) for time, value in values]
    return Series(labels, [(time, value) for time, value in points if not math.isnan(value)])
