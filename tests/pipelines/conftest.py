"""An environment as Terraform leaves it, and a job of GitHub's that deploys to it."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from deploy.__main__ import main
from deploy.names import Task

from cpsite.settings import BASE_DIR
from tests.pipelines import api, manifests
from tests.pipelines.api import Answers
from tests.pipelines.ecs import Ecs, TaskEnd, served

ENVIRONMENT = "cpsite-dev"
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

_DOCKER = f"""#!{sys.executable}
import json, os, sys
given = sys.stdin.read() if "--password-stdin" in sys.argv else None
with open(os.environ["DOCKER_CALLS"], "a") as calls:
    calls.write(json.dumps([sys.argv[1:], given]) + "\\n")
if os.environ.get("DOCKER_FAILS_AT") == sys.argv[1]:
    sys.exit("denied: by the test")
if sys.argv[1] == "load":
    print(os.environ.get("DOCKER_LOADS", "Loaded image: cpsite-validator:built"))
if sys.argv[1] == "push":
    sys.path.insert(0, {str(BASE_DIR)!r})
    from tests.pipelines import manifests
    manifests.put(sys.argv[-1])
"""


@dataclass
class Job:
    """Runs commands as a job does, and reads what they left."""

    ecs: Ecs
    ssm: Any
    ecr: Any
    url: str
    scratch: Path
    answers: Answers = api.healthy

    def image(self, service: str = "validator", commit: str = COMMIT) -> str:
        return f"{REGISTRY}/{ENVIRONMENT}/{service}:{commit}"

    def run(self, command: str, *options: str, service: str = "validator") -> int:
        fast = ("--poll-seconds", "0") if command in {"migrate", "release"} else ()
        named = ("--environment", ENVIRONMENT, "--service", service)
        return main([command, *named, *fast, *options])

    def release(self, service: str = "validator", *options: str) -> int:
        """Register and release an image."""
        assert self.run("register", "--image", self.image(service), service=service) == 0
        return self.run(
            *("release", "--image", self.image(service), "--revision", self.output("revision")),
            *("--url", self.url, "--smoke-seconds", "0", *options),
            service=service,
        )

    def digest(self, service: str = "validator", commit: str = COMMIT) -> str:
        """Return the digest that ECR has for a commit's image."""
        found = self.ecr.describe_images(
            repositoryName=f"{ENVIRONMENT}/{service}", imageIds=[{"imageTag": commit}]
        )
        digest: str = found["imageDetails"][0]["imageDigest"]
        return digest

    def output(self, name: str) -> str:
        """Return the last value of an output."""
        lines = (self.scratch / "output").read_text().splitlines()
        return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")][-1]

    @property
    def summary(self) -> str:
        return (self.scratch / "summary").read_text()

    def noted(self, service: str) -> str:
        """Return the image that SSM says is deployed."""
        found = self.ssm.get_parameter(Name=Task(ENVIRONMENT, service).image_parameter)
        value: str = found["Parameter"]["Value"]
        return value

    @property
    def docker(self) -> list[tuple[list[str], str | None]]:
        lines = (self.scratch / "docker-calls").read_text().splitlines()
        return [tuple(json.loads(line)) for line in lines]


@pytest.fixture
def job(aws_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    ecs = Ecs()
    for name in ("validator", "admin", "uploader", "migrate"):
        service = "uploader" if name == "uploader" else "validator"
        image = f"{REGISTRY}/{ENVIRONMENT}/{service}:initial"
        revision = ecs.add_family(f"{ENVIRONMENT}-{name}", name, "a-sidecar", image=image)
        if name != "migrate":
            ecs.add_service(f"{ENVIRONMENT}-{name}", revision)
    clients = {
        name: boto3.client(name, region_name="us-east-1", endpoint_url=aws_endpoint)
        for name in ("ssm", "ecr", "logs")
    }
    _prepare_docker(tmp_path, monkeypatch)
    for variable, file in (("GITHUB_OUTPUT", "output"), ("GITHUB_STEP_SUMMARY", "summary")):
        (tmp_path / file).touch()
        monkeypatch.setenv(variable, str(tmp_path / file))
    with served(ecs) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECS", endpoint)
        monkeypatch.delenv("SMOKE_TOKEN", raising=False)
        job = Job(ecs, clients["ssm"], clients["ecr"], "", tmp_path)

        def answer(method: str, path: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
            return job.answers(method, path, authorization)

        with api.served(answer) as job.url:
            _prepare_aws(job, clients["logs"])
            yield job


def _prepare_aws(job: Job, logs: Any) -> None:
    """Make what one server of moto's holds for all tests what Terraform has just made."""
    for service in ("validator", "uploader"):
        name = f"{ENVIRONMENT}/{service}"
        with suppress(job.ecr.exceptions.RepositoryNotFoundException):
            job.ecr.delete_repository(repositoryName=name, force=True)
        job.ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
        job.ssm.put_parameter(
            Name=Task(ENVIRONMENT, service).image_parameter,
            Value=job.image(service, "initial"),
            Type="String",
            Overwrite=True,
        )

    def write(family: str, task_id: str, end: TaskEnd) -> None:
        if not end.lines:
            return
        task = Task(ENVIRONMENT, family.removeprefix(f"{ENVIRONMENT}-"))
        stream = {"logGroupName": task.log_group, "logStreamName": task.log_stream(task_id)}
        with suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=task.log_group)
        logs.create_log_stream(**stream)
        now = int(time.time() * 1000)
        events = [{"timestamp": now + at, "message": line} for at, line in enumerate(end.lines)]
        logs.put_log_events(**stream, logEvents=events)

    job.ecs.on_stop = write


def _prepare_docker(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = directory / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(_DOCKER)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    (directory / "docker-calls").touch()
    monkeypatch.setenv("DOCKER_CALLS", str(directory / "docker-calls"))


def push_manifest(job: Job, service: str, tag: str) -> None:
    """Put an image into ECR, as `docker push` would."""
    manifests.put(job.image(service, tag))
