"""`make monitoring`: Prometheus and Alertmanager beside a running `make run`."""

import argparse
import os
import shutil
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.error import URLError

import yaml

from cpsite.cli import readers_may_leave
from cpsite.devstack import configuration, monitoring_files
from cpsite.devstack.configuration import HOST, ROOT, CannotStart
from cpsite.devstack.supervisor import Child, ChildFailed, Stopped, Supervisor, tell

BANNER = """
Prometheus scrapes both services, with production's rules and configuration. Ctrl-C stops it; its
data stays in {state}.

  Prometheus    {targets}   is every service scraped?
                {alerts}   which alert would fire?
  Alertmanager  {sent}   what would be sent; nothing is sent from here

The dashboards are for Grafana, which `docker compose up` includes.
"""

#: Where Prometheus may show its pages, the first that answers. Debian has only the old pages.
PAGES: Final = {
    "targets": ("/targets", "/classic/targets", "/api/v1/targets"),
    "alerts": ("/alerts", "/classic/alerts", "/api/v1/alerts"),
}

#: Names that packages give the programs. The first one found is used.
PROMETHEUS: Final = ("prometheus",)
ALERTMANAGER: Final = ("alertmanager", "prometheus-alertmanager")

HOW_TO_INSTALL: Final = """{name} is not installed. On Debian and Ubuntu:
  sudo apt-get install --no-install-recommends prometheus prometheus-alertmanager
  sudo systemctl disable --now prometheus prometheus-alertmanager
On macOS: brew install prometheus, and Alertmanager from https://prometheus.io/download/"""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Paths of programs and data, and ports; `state` is a directory."""

    state: Path
    prometheus: str
    alertmanager: str
    prometheus_port: int
    alertmanager_port: int
    validator_metrics_port: int
    uploader_metrics_port: int

    @property
    def ports(self) -> dict[str, int]:
        """Every port that these programs listen on, by the variable that sets it."""
        return {
            "PROMETHEUS_PORT": self.prometheus_port,
            "ALERTMANAGER_PORT": self.alertmanager_port,
        }

    @property
    def targets(self) -> dict[str, str]:
        """The address of each job of prometheus.yml."""
        return {
            "validator": f"{HOST}:{self.validator_metrics_port}",
            "uploader": f"{HOST}:{self.uploader_metrics_port}",
            "prometheus": f"{HOST}:{self.prometheus_port}",
            "alertmanager": f"{HOST}:{self.alertmanager_port}",
        }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m cpsite.devstack.monitoring",
        description="Run Prometheus and Alertmanager beside a running `make run`.",
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=Path(os.environ.get("DEVSTACK_STATE") or ROOT / "var") / "monitoring",
        help="directory to keep everything in (default: monitoring in that of `make run`)",
    )
    options = parser.parse_args(arguments)
    # Use the ports of `make run`, whose state directory is the parent of ours.
    configuration.recall(options.state.parent)
    try:
        return _run(_read_settings(options.state))
    except (CannotStart, ChildFailed) as exc:
        print(f"cpsite: {exc}", file=sys.stderr)
        return 1


def _read_settings(state: Path) -> Settings:
    """Read the environment and find the programs. Raises CannotStart."""
    return Settings(
        state=state.resolve(),
        prometheus=_program("Prometheus", PROMETHEUS),
        alertmanager=_program("Alertmanager", ALERTMANAGER),
        prometheus_port=configuration.read_port("PROMETHEUS_PORT", 9090),
        alertmanager_port=configuration.read_port("ALERTMANAGER_PORT", 9093),
        validator_metrics_port=configuration.read_port("VALIDATOR_METRICS_PORT", 9100),
        uploader_metrics_port=configuration.read_port("UPLOADER_METRICS_PORT", 9101),
    )


def _program(name: str, candidates: Sequence[str]) -> str:
    for candidate in candidates:
        found = shutil.which(candidate)
        if found:
            return found
    raise CannotStart(HOW_TO_INSTALL.format(name=name))


def _run(settings: Settings) -> int:
    for job in ("validator", "uploader"):
        if not _answers(f"http://{settings.targets[job]}/metrics"):
            raise CannotStart(
                f"Nothing answers at http://{settings.targets[job]}/metrics: is `make run` running?"
            )
    settings.state.mkdir(parents=True, exist_ok=True)
    with configuration.lock(settings.state, "make monitoring"):
        configuration.check_ports(settings, "make monitoring")
        _write_files(settings)
        children = alertmanager, prometheus = _children(settings)
        supervisor = Supervisor(children, stop_order=[prometheus, alertmanager])
        supervisor.install_signal_handlers()
        try:
            for child in children:
                supervisor.start(child)
            print(BANNER.format(state=settings.state, **_pages(_urls(settings))), flush=True)
            supervisor.watch()
        except Stopped:
            pass
        finally:
            tell("Stopping …")
            supervisor.stop()
    tell("Stopped.")
    return 0


def _urls(settings: Settings) -> Mapping[str, str]:
    return {name: f"http://{settings.targets[name]}" for name in ("prometheus", "alertmanager")}


def _pages(urls: Mapping[str, str]) -> dict[str, str]:
    """Return the address of each page of the banner, of those that the running programs have."""
    prometheus, alertmanager = urls["prometheus"], urls["alertmanager"]
    found = {
        name: next(filter(_answers, (f"{prometheus}{path}" for path in paths)), prometheus)
        for name, paths in PAGES.items()
    }
    # Debian's Alertmanager has only a text at `/`, which says that there is no page.
    has_page = b"<script" in (_read(alertmanager) or b"")
    return {**found, "sent": alertmanager if has_page else f"{alertmanager}/api/v2/alerts"}


def _answers(url: str) -> bool:
    return _read(url) is not None


def _read(url: str) -> bytes | None:
    """Return what is at an address of ours, or None where there is nothing."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own address
            content: bytes = answer.read()
            return content
    except (URLError, OSError):
        return None


def _write_files(settings: Settings) -> None:
    for name, made in (
        ("prometheus.yml", monitoring_files.prometheus_configuration("local", settings.targets)),
        ("alertmanager.yml", monitoring_files.alertmanager_configuration("local")),
    ):
        (settings.state / name).write_text(yaml.safe_dump(made, sort_keys=False))


def _children(settings: Settings) -> tuple[Child, Child]:
    """Return Alertmanager and Prometheus, in the order in which they start."""
    urls = _urls(settings)
    return (
        Child(
            name="alertmanager",
            command=[
                settings.alertmanager,
                f"--config.file={settings.state / 'alertmanager.yml'}",
                f"--storage.path={settings.state / 'alertmanager'}",
                f"--web.listen-address={settings.targets['alertmanager']}",
                f"--web.external-url={urls['alertmanager']}",
                "--cluster.listen-address=",
            ],
            environment=os.environ,
            is_ready=lambda: _answers(f"{urls['alertmanager']}/-/ready"),
            log=settings.state / "alertmanager.log",
        ),
        Child(
            name="prometheus",
            command=[
                settings.prometheus,
                f"--config.file={settings.state / 'prometheus.yml'}",
                f"--storage.tsdb.path={settings.state / 'prometheus'}",
                # As in production.
                "--storage.tsdb.retention.size=10GB",
                f"--web.listen-address={settings.targets['prometheus']}",
                f"--web.external-url={urls['prometheus']}",
            ],
            environment=os.environ,
            is_ready=lambda: _answers(f"{urls['prometheus']}/-/ready"),
            log=settings.state / "prometheus.log",
        ),
    )


if __name__ == "__main__":
    with readers_may_leave(exit_code=None):
        sys.exit(main())
