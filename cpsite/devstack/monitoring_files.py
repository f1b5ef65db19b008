"""Production's configuration of Prometheus and Alertmanager, adapted to one machine.

It is made from the files that Terraform fills in, with nothing left out or rewritten. But services
are at known addresses instead of in Cloud Map, and Alertmanager does not send alerts to SNS.
"""

from collections.abc import Mapping
from string import Template
from typing import Any, Final

import yaml

from cpsite.devstack.configuration import ROOT

FILES: Final = ROOT / "terraform" / "modules" / "monitoring" / "files"
RULES: Final = FILES / "alerts.yml"

#: Dummies for the values that Terraform fills in. Only the environment's name matters here.
_PLACEHOLDERS: Final = {
    "namespace": "internal",
    "validator_metrics_port": "9100",
    "uploader_metrics_port": "9101",
    "region": "us-east-1",
    "topic_arn": "arn:aws:sns:us-east-1:000000000000:none",
    "repository_url": "",
    "grafana_url": "",
}


def _filled_in(file_name: str, environment: str) -> dict[str, Any]:
    text = (FILES / file_name).read_text()
    filled: dict[str, Any] = yaml.safe_load(
        Template(text).substitute(_PLACEHOLDERS, name=environment)
    )
    return filled


def prometheus_configuration(
    environment: str, targets: Mapping[str, str], *, rules: str = str(RULES)
) -> dict[str, Any]:
    """Return `prometheus.yml` for services at known addresses.

    `targets` has the `host:port` of each job; alerts are sent to that of `alertmanager`. `rules` is
    the path of the rule file. Raises KeyError for a job without a target and for an unknown
    placeholder in the file.
    """
    configuration = _filled_in("prometheus.yml", environment)
    configuration["rule_files"] = [rules]
    for job in configuration["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    (alertmanager,) = configuration["alerting"]["alertmanagers"]
    alertmanager["static_configs"] = [{"targets": [targets["alertmanager"]]}]
    return configuration


def alertmanager_configuration(
    environment: str, integrations: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return `alertmanager.yml` with `integrations` in place of SNS for each receiver.

    Without any, alerts are grouped and inhibited as in production, but only Alertmanager's page
    shows them.
    """
    configuration = _filled_in("alertmanager.yml", environment)
    configuration["receivers"] = [
        {"name": receiver["name"], **(integrations or {})}
        for receiver in configuration["receivers"]
    ]
    return configuration
