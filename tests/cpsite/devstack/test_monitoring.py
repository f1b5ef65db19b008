"""`make monitoring` with stand-ins for its programs; tests/monitoring has the real ones."""

import contextlib
import os
import signal
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from string import Template

import pytest
import yaml

from cpsite.devstack import monitoring, monitoring_files
from cpsite.devstack.monitoring_files import (
    FILES,
    RULES,
    alertmanager_configuration,
    prometheus_configuration,
)
from tests.end_to_end.conftest import ROOT, Process, free_port
from tests.waiting import wait_for

TARGETS = {
    "validator": "127.0.0.1:1",
    "uploader": "127.0.0.1:2",
    "prometheus": "127.0.0.1:3",
    "alertmanager": "127.0.0.1:4",
}
STAND_IN = """#!{python}
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

options = dict(option[2:].split("=", 1) for option in sys.argv[1:])
open(options["config.file"]).close()
host, port = options["web.listen-address"].split(":")
HTTPServer((host, int(port)), Handler).serve_forever()
"""


@contextlib.contextmanager
def _answering(port, pages=None):
    """Answer at a port: every path, or only those of `pages`, with their texts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found = pages is None or self.path in pages
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write((pages or {}).get(self.path, "").encode())

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Free ports, and a directory with the programs, as the only one on the path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("prometheus", "prometheus-alertmanager"):
        (programs / name).write_text(STAND_IN.format(python=sys.executable))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    for name in ("VALIDATOR_METRICS", "UPLOADER_METRICS", "PROMETHEUS", "ALERTMANAGER"):
        monkeypatch.setenv(f"{name}_PORT", str(free_port()))
    return os.environ


def _production(name):
    class AnyName(dict):
        def __missing__(self, key):
            return "9"

    return yaml.safe_load(Template((FILES / name).read_text()).substitute(AnyName()))


def test_only_addresses_differ_from_productions_prometheus():
    made, production = prometheus_configuration("local", TARGETS), _production("prometheus.yml")
    assert made.pop("rule_files") == [str(RULES)]
    assert production.pop("rule_files") == ["/config/prometheus/alerts.yml"]
    assert made["global"]["external_labels"].pop("environment") == "local"
    production["global"]["external_labels"].pop("environment")
    jobs, alertmanagers = made["scrape_configs"], made["alerting"]["alertmanagers"]
    assert {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs} == {
        name: [address] for name, address in TARGETS.items()
    }
    assert alertmanagers[0]["static_configs"] == [{"targets": ["127.0.0.1:4"]}]
    for one in (made, production):
        for part in (*one["scrape_configs"], *one["alerting"]["alertmanagers"]):
            part.pop("dns_sd_configs", None)
            part.pop("static_configs", None)
    assert made == production


def test_a_new_job_must_be_given_an_address():
    with pytest.raises(KeyError, match="uploader"):
        prometheus_configuration("local", {"validator": "127.0.0.1:1"})


def test_only_integrations_differ_from_productions_alertmanager():
    webhook = {"webhook_configs": [{"url": "http://127.0.0.1:5"}]}
    made = alertmanager_configuration("local", webhook)
    production = _production("alertmanager.yml")
    assert made.pop("receivers") == [{"name": "sns", **webhook}]
    assert [set(receiver) for receiver in production.pop("receivers")] == [{"name", "sns_configs"}]
    assert made == production
    assert alertmanager_configuration("local")["receivers"] == [{"name": "sns"}]


def test_a_value_that_only_terraform_knows_is_reported(monkeypatch):
    monkeypatch.delitem(monitoring_files._PLACEHOLDERS, "topic_arn")
    with pytest.raises(KeyError, match="topic_arn"):
        alertmanager_configuration("local")


@pytest.mark.parametrize(
    ("missing", "name"),
    [("prometheus", "Prometheus"), ("prometheus-alertmanager", "Alertmanager")],
)
def test_a_missing_program_is_reported_with_the_way_to_get_it(
    missing, name, environment, tmp_path, capsys
):
    (tmp_path / "bin" / missing).unlink()
    assert monitoring.main(["--state", str(tmp_path)]) == 1
    output = capsys.readouterr().err
    assert f"{name} is not installed" in output
    assert "apt-get install" in output
    assert "brew" in output


def test_without_make_run_it_says_so(environment, tmp_path, capsys):
    assert monitoring.main(["--state", str(tmp_path)]) == 1
    output = capsys.readouterr().err
    assert f"127.0.0.1:{environment['VALIDATOR_METRICS_PORT']}/metrics" in output
    assert "is `make run` running?" in output


def test_a_busy_port_is_named(environment, tmp_path, capsys):
    with contextlib.ExitStack() as answering:
        for name in ("VALIDATOR_METRICS_PORT", "UPLOADER_METRICS_PORT", "PROMETHEUS_PORT"):
            answering.enter_context(_answering(int(environment[name])))
        assert monitoring.main(["--state", str(tmp_path)]) == 1
    output = capsys.readouterr().err
    assert f"Port {environment['PROMETHEUS_PORT']} on 127.0.0.1 is in use" in output
    assert "make monitoring" in output


UPSTREAM = {"/targets": "", "/alerts": "", "/": "<script src='script.js'></script>"}
DEBIAN = {"/classic/targets": "", "/classic/alerts": "", "/": "<p>use amtool</p>"}
WITHOUT_PAGES = {"/api/v1/targets": "", "/api/v1/alerts": "", "/": ""}


@pytest.mark.parametrize(
    ("pages", "found"),
    [
        (UPSTREAM, {"targets": "/targets", "alerts": "/alerts", "sent": ""}),
        (
            DEBIAN,
            {
                "targets": "/classic/targets",
                "alerts": "/classic/alerts",
                "sent": "/api/v2/alerts",
            },
        ),
        (
            WITHOUT_PAGES,
            {"targets": "/api/v1/targets", "alerts": "/api/v1/alerts", "sent": "/api/v2/alerts"},
        ),
        ({}, {"targets": "", "alerts": "", "sent": "/api/v2/alerts"}),
    ],
)
def test_only_pages_that_a_build_has_are_named(pages, found):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with _answering(port, pages):
        named = monitoring._pages({"prometheus": url, "alertmanager": url})
    assert named == {name: f"{url}{path}" for name, path in found.items()}


@pytest.mark.end_to_end
def test_it_starts_tells_where_to_look_and_stops(environment, tmp_path):
    log = tmp_path / "log"
    with contextlib.ExitStack() as answering:
        for name in ("VALIDATOR_METRICS_PORT", "UPLOADER_METRICS_PORT"):
            answering.enter_context(_answering(int(environment[name])))
        process = Process(
            ["-m", "cpsite.devstack.monitoring", "--state", str(tmp_path / "state")],
            dict(environment),
            log,
        )
        try:
            wait_for(lambda: "Ctrl-C stops it" in log.read_text(), "the banner")
            url = f"http://127.0.0.1:{environment['PROMETHEUS_PORT']}"
            assert f"{url}/alerts" in log.read_text()
            with urllib.request.urlopen(f"{url}/-/ready", timeout=10) as answer:
                assert answer.status == 200
            process.signal(signal.SIGINT)
            assert process.wait() == 0
        finally:
            process.kill()
    assert log.read_text().rstrip().endswith("Stopped.")
    written = yaml.safe_load((tmp_path / "state" / "prometheus.yml").read_text())
    assert written["rule_files"] == [str(ROOT / RULES.relative_to(ROOT))]
    for name in ("PROMETHEUS_PORT", "ALERTMANAGER_PORT"):
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(f"http://127.0.0.1:{environment[name]}/-/ready", timeout=10)
