"""The real Prometheus and Alertmanager, the services between gates, and somebody who is told."""

import json
import os
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import yaml

from bench.processes import free_port
from cpsite.devstack import monitoring_files
from cpsite.devstack.monitoring import ALERTMANAGER, PROMETHEUS
from cpsite.devstack.monitoring_files import RULES
from tests.end_to_end.conftest import Services, services, sqlite_database
from tests.gate import Gate
from tests.monitoring.prometheus import Prometheus
from tests.monitoring.scaling import scaled, scaled_configuration, scaled_rules
from tests.waiting import wait_for

__all__ = ["services"]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """A database that a test can lock."""
    return sqlite_database(tmp_path)


@pytest.fixture
def make_gate(aws_endpoint: str) -> Iterator[Any]:
    made: list[Gate] = []

    def make() -> Gate:
        made.append(Gate(aws_endpoint, free_port()))
        return made[-1]

    yield make
    for gate in made:
        gate.close()


class Webhook:
    """Takes Alertmanager's notifications, in the place of SNS."""

    def __init__(self) -> None:
        self.notifications: list[dict[str, Any]] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.notifications.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def told(self, status: str) -> set[str]:
        """Return the names of the alerts that were told as `firing` or `resolved`."""
        return {
            alert["labels"]["alertname"]
            for notification in list(self.notifications)
            for alert in notification["alerts"]
            if alert["status"] == status
        }


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    made = Webhook()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Monitoring:
    """Prometheus and Alertmanager with production's files, but faster."""

    def __init__(self, scratch: Path, services: Services, webhook: Webhook) -> None:
        self.scratch = scratch
        self.targets = {
            "validator": f"127.0.0.1:{services.environment['VALIDATOR_METRICS_PORT']}",
            "uploader": f"127.0.0.1:{services.environment['UPLOADER_METRICS_PORT']}",
            "prometheus": f"127.0.0.1:{free_port()}",
            "alertmanager": f"127.0.0.1:{free_port()}",
        }
        self.prometheus = Prometheus(f"http://{self.targets['prometheus']}")
        self.started: list[subprocess.Popen[bytes]] = []
        self._write(webhook)

    def _write(self, webhook: Webhook) -> None:
        rules = self.scratch / "alerts.yml"
        rules.write_text(scaled_rules(RULES.read_text()))
        told = {"webhook_configs": [{"url": webhook.url, "send_resolved": True}]}
        for name, made in (
            (
                "prometheus.yml",
                monitoring_files.prometheus_configuration("test", self.targets, rules=str(rules)),
            ),
            ("alertmanager.yml", monitoring_files.alertmanager_configuration("test", told)),
        ):
            (self.scratch / name).write_text(yaml.safe_dump(scaled_configuration(made)))

    def start(self) -> None:
        self._start(
            ALERTMANAGER,
            self.targets["alertmanager"],
            f"--config.file={self.scratch / 'alertmanager.yml'}",
            f"--storage.path={self.scratch / 'alertmanager'}",
            "--cluster.listen-address=",
        )
        self._start(
            PROMETHEUS,
            self.targets["prometheus"],
            f"--config.file={self.scratch / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.scratch / 'prometheus'}",
            "--storage.tsdb.retention.size=10GB",
            # Prometheus's own default, 5m.
            f"--query.lookback-delta={scaled('5m')}",
        )

    def _start(self, names: tuple[str, ...], address: str, *options: str) -> None:
        program = next(filter(None, map(shutil.which, names)))
        with (self.scratch / f"{names[0]}.log").open("ab") as log:
            self.started.append(
                subprocess.Popen(
                    [program, f"--web.listen-address={address}", *options],
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
        wait_for(lambda: _is_ready(address), names[0])

    def stop(self) -> None:
        for process in self.started:
            process.terminate()
            process.wait(30)

    def notified_about(self) -> list[dict[str, Any]]:
        """Return the alerts as Alertmanager has them, with what inhibits them."""
        url = f"http://{self.targets['alertmanager']}/api/v2/alerts"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def inhibited(self) -> set[str]:
        """Return the names of the alerts that nobody is told of, because of another one."""
        return {
            alert["labels"]["alertname"]
            for alert in self.notified_about()
            if alert["status"]["inhibitedBy"]
        }


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=10):
            return True
    except (URLError, OSError):
        return False


@pytest.fixture
def _programs() -> None:
    for names in (PROMETHEUS, ALERTMANAGER):
        if not any(map(shutil.which, names)):
            reason = f"{names[0]} is not installed (Debian: prometheus, prometheus-alertmanager)"
            if os.environ.get("CI"):
                pytest.fail(f"CI needs it: {reason}")
            pytest.skip(reason)


@pytest.fixture
def monitoring(
    _programs: None, services: Services, webhook: Webhook, tmp_path: Path
) -> Iterator[Monitoring]:
    made = Monitoring(tmp_path, services, webhook)
    made.start()
    yield made
    made.stop()
