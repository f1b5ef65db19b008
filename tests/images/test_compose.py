"""compose.yaml by podman-compose, as far as it goes where no image can be pulled.

The embedded AWS is built and run, and what is done once before the services start, on the image
that the other tests have built. The services themselves are those of test_services.py.
"""

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError

import boto3
import pytest

from tests.end_to_end.conftest import free_port
from tests.images.engine import ROOT, Engine
from tests.waiting import wait_for

PROJECT = "cpsite-test"
ONCE = ("prepare-aws", "prepare-monitoring")


class Compose:
    """podman-compose on the tests' own storage and ports."""

    def __init__(self, engine: Engine, scratch: Path) -> None:
        self.engine = engine
        self.aws_port = free_port()
        self._settings = scratch / "env"
        self._settings.write_text(f"AWS_PORT={self.aws_port}\n")
        podman = scratch / "podman"
        options = " ".join(engine.options)
        podman.write_text(f'#!/bin/sh\nexec podman {options} "$@"\n')
        podman.chmod(0o755)
        self._podman = podman

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [
                os.environ.get("PODMAN_COMPOSE", "podman-compose"),
                *("--podman-path", str(self._podman), "--project-name", PROJECT),
                *("--env-file", str(self._settings)),
                "--podman-build-args=--isolation=chroot --network=host --format=docker",
                *arguments,
            ],
            cwd=ROOT,
            env=self.engine.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    def exit_code(self, service: str) -> int:
        name = f"{PROJECT}_{service}_1"
        self.engine("wait", name)
        return int(self.engine("inspect", "--format", "{{.State.ExitCode}}", name))

    def answers(self) -> bool:
        """Whether the embedded AWS does, on the port that is published."""
        url = f"http://127.0.0.1:{self.aws_port}/_ministack/health"
        with suppress(URLError, OSError), urllib.request.urlopen(url, timeout=5):
            return True
        return False


@pytest.fixture(scope="module")
def compose(
    engine: Engine, images: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Compose]:
    made = Compose(engine, tmp_path_factory.mktemp("compose"))
    engine("tag", images["validator"], "localhost/cpsite-validator:latest")
    made("build", "aws")
    made("up", "--detach", "--no-build", "aws")
    try:
        wait_for(made.answers, "the embedded AWS", seconds=120)
        made("up", "--detach", "--no-build", *ONCE)
        yield made
    finally:
        made("down", "--volumes", "--timeout", "5")


def test_the_queues_and_the_bucket_are_made(compose: Compose) -> None:
    assert compose.exit_code("prepare-aws") == 0

    options = {
        "endpoint_url": f"http://127.0.0.1:{compose.aws_port}",
        "region_name": "us-east-1",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }
    sqs, s3 = boto3.client("sqs", **options), boto3.client("s3", **options)
    url = sqs.get_queue_url(QueueName="cpsite-messages")["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert json.loads(found["RedrivePolicy"])["deadLetterTargetArn"].endswith("-dlq")
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["cpsite-messages"]


def test_the_monitoring_finds_its_files(compose: Compose, images: dict[str, str]) -> None:
    assert compose.exit_code("prepare-monitoring") == 0

    # As Prometheus's user, who is in none of our images.
    found = compose.engine.look(
        images["validator"],
        *("find", "/config", "-type", "f", "-readable"),
        options=(f"--volume={PROJECT}_monitoring:/config:ro", "--user=65534"),
    ).split()
    assert "/config/prometheus/prometheus.yml" in found
    assert "/config/grafana/provisioning/datasources/prometheus.yml" in found
    assert any(name.startswith("/config/grafana/dashboards/") for name in found)


def test_the_embedded_aws_is_healthy_and_hardened(compose: Compose) -> None:
    name = f"{PROJECT}_aws_1"

    assert compose.engine.try_run("healthcheck", "run", name).returncode == 0
    found = json.loads(compose.engine("inspect", name))[0]
    assert found["HostConfig"]["ReadonlyRootfs"] is True
    assert found["EffectiveCaps"] in (None, [])


def test_all_of_it_can_be_read(compose: Compose) -> None:
    assert "quay.io/prometheus/prometheus" in compose("config")
