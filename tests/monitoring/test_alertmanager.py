"""The real Alertmanager, with production's file: what is silent, and what is sent to SNS."""

import json
import os
import re
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml

from cpsite.devstack.monitoring import ALERTMANAGER
from tests.end_to_end.conftest import free_port
from tests.monitoring.configuration import VALUES, alerts, filled_in, run
from tests.waiting import wait_for


class Sns(BaseHTTPRequestHandler):
    """SNS as far as Publish goes; `published` is what came."""

    published: list[dict[str, str]] = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.published.append(dict(urllib.parse.parse_qsl(body)))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(
            b"<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult>"
            b"</PublishResponse>"
        )

    def log_message(self, *args):
        pass


@pytest.fixture
def sns():
    Sns.published = []
    server = HTTPServer(("127.0.0.1", 0), Sns)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def configuration(sns):
    """Production's file, with SNS at another address, and in less of a hurry than a test."""
    found = yaml.safe_load(filled_in("alertmanager.yml"))
    for route in (found["route"], *found["route"]["routes"]):
        route["group_wait"] = "1s"
        route["group_interval"] = "1s"
    (receiver,) = found["receivers"]
    receiver["sns_configs"][0]["api_url"] = f"http://127.0.0.1:{sns.server_port}"
    return found


@pytest.fixture
def alertmanager(tmp_path, sns):
    """Address of an Alertmanager that sends to `sns`."""
    program = next(filter(None, map(shutil.which, ALERTMANAGER)))
    address = f"127.0.0.1:{free_port()}"
    path = tmp_path / "alertmanager.yml"
    path.write_text(yaml.safe_dump(configuration(sns)))
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [
            program,
            f"--config.file={path}",
            f"--storage.path={tmp_path / 'data'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ],
        env={
            "PATH": os.environ["PATH"],
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        },
        stdout=log,
        stderr=log,
    )
    url = f"http://{address}"
    wait_for(lambda: is_ready(url), "Alertmanager")
    yield url
    process.kill()
    process.wait()
    log.close()


def is_ready(url):
    try:
        with urllib.request.urlopen(f"{url}/-/ready") as answer:
            return answer.status == 200
    except OSError:
        return False


def alert(name, *, ends_at=None, **labels):
    """An alert as Prometheus tells it to Alertmanager."""
    rule = alerts()[name]
    return {
        "labels": {"alertname": name, "environment": "cpsite-prod", **rule["labels"], **labels},
        "annotations": rule["annotations"],
        "generatorURL": "https://prometheus.example.com/graph?g0.expr=1",
        **({"endsAt": ends_at} if ends_at else {}),
    }


def tell(url, *found):
    """Tell Alertmanager of some alerts at a time."""
    request = urllib.request.Request(
        f"{url}/api/v2/alerts",
        data=json.dumps(found).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request):
        pass


def told(url):
    """Names of the alerts that somebody is told of."""
    with urllib.request.urlopen(f"{url}/api/v2/alerts?inhibited=false") as answer:
        return {alert["labels"]["alertname"] for alert in json.load(answer)}


OUTAGES = {
    "S3 is away": (
        ["StorageUnavailable", "UploadFailures", "MessagesTooOld", "BacklogGrowing"],
        {"StorageUnavailable"},
    ),
    "the uploader hangs": (
        ["UploaderStalled", "MessagesTooOld", "BacklogGrowing"],
        {"UploaderStalled"},
    ),
    "SQS is away": (
        [
            "PublishFailures",
            "ValidatorErrorBudgetBurnFast",
            "ValidatorErrorBudgetBurnSlow",
            "ValidatorSlow",
        ],
        {"PublishFailures"},
    ),
    "the database is away": (
        ["ValidatorErrorBudgetBurnFast", "ValidatorErrorBudgetBurnSlow", "AuditGaps"],
        {"ValidatorErrorBudgetBurnFast", "AuditGaps"},
    ),
    "too few uploaders": (
        ["MessagesTooOld", "BacklogGrowing", "CPUNearLimit"],
        {"MessagesTooOld", "CPUNearLimit"},
    ),
    "S3 is back, but there are dead letters": (
        ["DeadLetters", "BacklogGrowing"],
        {"DeadLetters", "BacklogGrowing"},
    ),
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_one_outage_is_one_page(alertmanager, outage):
    firing, expected = OUTAGES[outage]
    tell(alertmanager, *map(alert, firing))
    # Alertmanager looks at causes a moment after it has taken them.
    wait_for(lambda: told(alertmanager) == expected, f"{expected}, not {told(alertmanager)}")


def test_an_absent_service_hides_its_targets_and_no_others(alertmanager):
    down = [alert(name, job="validator") for name in ("TargetDown", "RestartLoop")]
    tell(alertmanager, alert("ValidatorAbsent"), *down)
    wait_for(lambda: told(alertmanager) == {"ValidatorAbsent"}, "the cause alone")
    tell(alertmanager, alert("TargetDown", job="uploader"))
    wait_for(lambda: told(alertmanager) == {"ValidatorAbsent", "TargetDown"}, "another service's")


def test_a_message_says_what_to_do(alertmanager, sns):
    tell(alertmanager, alert("DeadLetters"))
    wait_for(lambda: Sns.published, "a notification")
    sent = Sns.published[0]
    assert sent["TopicArn"] == VALUES["topic_arn"]
    assert sent["Subject"] == "FIRING warning DeadLetters (cpsite-prod)"
    lines = sent["Message"].splitlines()
    assert lines[0] == "FIRING: There are dead letters"
    assert lines[1].startswith("Messages that could not be stored")
    assert re.fullmatch(r"Since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", lines[2])
    assert lines[3:6] == [
        "Runbook: https://github.com/octo/cpsite/blob/main/docs/runbooks/DeadLetters.md",
        "Dashboard: https://messages.example.com/grafana/d/cpsite-uploader",
        "Query: https://prometheus.example.com/graph?g0.expr=1",
    ]
    tell(alertmanager, alert("DeadLetters", ends_at="2026-01-01T00:00:00Z"))
    wait_for(lambda: len(Sns.published) == 2, "its end")
    assert Sns.published[1]["Subject"] == "RESOLVED warning DeadLetters (cpsite-prod)"
    assert Sns.published[1]["Message"].startswith("RESOLVED: There are dead letters\n")


def test_many_targets_are_one_message(alertmanager, sns):
    targets = [f"{number}:9100" for number in range(5)]
    tell(alertmanager, *(alert("TargetDown", instance=target) for target in targets))
    wait_for(lambda: Sns.published, "a notification")
    assert Sns.published[0]["Message"].count("does not answer") == 5
    assert len(Sns.published) == 1


def test_subjects_are_as_long_as_sns_takes():
    name = max(alerts(), key=len)
    # project and environment have ten characters each.
    assert len(f"RESOLVED critical {name} ({'x' * 21})") <= 100


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "alertmanager.yml"
    path.write_text(filled_in("alertmanager.yml"))
    return path


def test_alertmanager_takes_its_configuration(file):
    assert "SUCCESS" in run("amtool", "check-config", file)


@pytest.mark.parametrize("severity", ["critical", "warning"])
def test_every_alert_has_a_way_out(file, severity):
    found = run(
        *("amtool", "config", "routes", "test", f"--config.file={file}"),
        *(f"severity={severity}", "alertname=TargetDown"),
    )
    assert found.strip() == "sns"


def test_pages_come_sooner_and_again():
    route = yaml.safe_load(filled_in("alertmanager.yml"))["route"]
    (pages,) = route["routes"]
    assert pages["matchers"] == ['severity="critical"']
    assert (pages["group_wait"], pages["repeat_interval"]) == ("10s", "4h")
    assert (route["group_wait"], route["repeat_interval"]) == ("30s", "24h")
    assert route["group_by"] == ["alertname", "environment"]
