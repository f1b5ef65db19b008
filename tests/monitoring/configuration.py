"""The files that Terraform delivers, with the values that it would fill in."""

import subprocess
from pathlib import Path
from string import Template
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
FILES: Final = ROOT / "terraform" / "modules" / "monitoring" / "files"
RULES: Final = FILES / "alerts.yml"
RUNBOOKS: Final = ROOT / "docs" / "runbooks"

VALUES: Final = {
    "name": "cpsite-prod",
    "namespace": "cpsite-prod.internal",
    "validator_metrics_port": "9100",
    "uploader_metrics_port": "9101",
    "topic_arn": "arn:aws:sns:eu-west-1:123456789012:cpsite-prod-alarms",
    "region": "eu-west-1",
    "repository_url": "https://github.com/octo/cpsite/blob/main/",
    "grafana_url": "https://messages.example.com/grafana",
    "remote_write_url": "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write",
    "remote_write_region": "eu-west-1",
}


def filled_in(name: str) -> str:
    """Return a file as Terraform's `templatefile` makes it."""
    return Template((FILES / name).read_text()).substitute(VALUES)


def groups() -> dict[str, list[dict[str, Any]]]:
    """Return the rules of each group."""
    return {group["name"]: group["rules"] for group in yaml.safe_load(RULES.read_text())["groups"]}


def alerts() -> dict[str, dict[str, Any]]:
    """Return the alerts by name."""
    return {rule["alert"]: rule for rules in groups().values() for rule in rules if "alert" in rule}


def run(*command: str | Path) -> str:
    """Run one of the tools; return what it says, or fail with it.

    Raises FileNotFoundError where it is not installed: this is no reason to skip a test.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
