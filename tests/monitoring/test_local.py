"""`make monitoring` with the real Prometheus and Alertmanager."""

import json
import re
import signal
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from cpsite.devstack.monitoring_files import RULES
from tests.end_to_end.conftest import Process, free_port
from tests.monitoring.prometheus import Prometheus
from tests.waiting import wait_for

pytestmark = [pytest.mark.end_to_end, pytest.mark.usefixtures("_programs")]


@pytest.fixture
def metrics_port():
    """A port that has metrics, of no meaning."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(b"something 1\n")

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def _addresses_answer(banner):
    """Each address of the banner has what the banner says, whoever has built the programs."""
    contents = []
    for address in re.findall(r"http://127\.0\.0\.1:\d+\S*", banner):
        with urllib.request.urlopen(address, timeout=10) as answer:
            contents.append(answer.read().decode())
    targets, alerts, sent = contents
    assert "target" in targets.lower()
    assert "alert" in alerts.lower()
    assert "<script" in sent or isinstance(json.loads(sent), list)


def test_it_reads_both_services_by_productions_rules_and_keeps_what_it_has(metrics_port, tmp_path):
    log = tmp_path / "log"
    prometheus = Prometheus(f"http://127.0.0.1:{free_port()}")
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "VALIDATOR_METRICS_PORT": str(metrics_port),
        "UPLOADER_METRICS_PORT": str(metrics_port),
        "PROMETHEUS_PORT": prometheus.url.rpartition(":")[2],
        "ALERTMANAGER_PORT": str(free_port()),
    }
    command = ["-m", "cpsite.devstack.monitoring", "--state", str(tmp_path / "state")]
    for banners in (1, 2):
        process = Process(command, environment, log)
        try:
            wait_for(lambda: log.read_text().count("Ctrl-C stops it") == banners, "the banner")  # noqa: B023 - used at once
            wait_for(
                lambda: (
                    sorted(prometheus.targets().items())
                    == [
                        ("alertmanager", "up"),
                        ("prometheus", "up"),
                        ("uploader", "up"),
                        ("validator", "up"),
                    ]
                ),
                "all targets",
            )
            if banners == 1:
                _addresses_answer(log.read_text())
            if banners == 2:
                assert prometheus.query("count_over_time(something[1h]) > 1")
            process.signal(signal.SIGINT)
            assert process.wait() == 0
        finally:
            process.kill()
    assert "Stopped." in log.read_text()


def test_all_rules_are_there(metrics_port, monitoring):
    names = {
        rule.get("alert") or rule["record"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
    }
    assert {rule["name"] for rule in monitoring.prometheus.rules()} == names
