"""Prometheus's HTTP API, as Grafana uses it."""

import json
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError


class QueryRefused(Exception):
    """Prometheus did not take an expression; the text is its reason."""


@dataclass(frozen=True)
class Series:
    """Labels and a value, NaN where Grafana would draw nothing."""

    labels: dict[str, str]
    value: float


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
        return [Series(item["metric"], float(item["value"][1])) for item in found["result"]]

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
