"""Lay out the monitoring's configuration for compose.yaml, as Terraform does on ECS.

The files are those of terraform/modules/monitoring, whose config.tf fills in what stands in
`${…}`; here it is `name=value` on the command line. Only SNS is left out: alerts show in
Alertmanager and Grafana.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Final

import yaml

from cpsite.devstack.monitoring_files import FILES, alertmanager_configuration

#: Where Terraform's templates, and its files as they are, go to.
_TEMPLATES: Final = {
    "prometheus.yml": "prometheus/prometheus.yml",
    "grafana/datasources.yml": "grafana/provisioning/datasources/prometheus.yml",
}
_COPIES: Final = {
    "alerts.yml": "prometheus/alerts.yml",
    "grafana/dashboards.yml": "grafana/provisioning/dashboards/cpsite.yml",
}


def lay_out(target: Path, values: Mapping[str, str]) -> None:
    """Write all configuration files below `target`, in place of an earlier run's.

    Raises KeyError for a placeholder without a value, and OSError.
    """
    for kind in ("prometheus", "grafana"):
        shutil.rmtree(target / kind, ignore_errors=True)
    for name, place in _TEMPLATES.items():
        _write(target / place, Template((FILES / name).read_text()).substitute(values))
    for name, place in _COPIES.items():
        _write(target / place, (FILES / name).read_text())
    for path in (FILES / "dashboards").glob("*.json"):
        _write(target / "grafana" / "dashboards" / path.name, path.read_text())
    alertmanager = alertmanager_configuration(values["name"])
    _write(target / "prometheus" / "alertmanager.yml", yaml.safe_dump(alertmanager))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def main(arguments: Sequence[str]) -> int:
    target, *pairs = arguments
    try:
        lay_out(Path(target), dict(pair.split("=", 1) for pair in pairs))
    except KeyError as exc:
        print(f"compose.yaml gives no value for ${{{exc.args[0]}}}.", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
