"""The shell lines of deploy-service.yml's last job, run one after the other as GitHub does."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cpsite.settings import BASE_DIR
from tests.pipelines.conftest import COMMIT, REGISTRY, Job, push_manifest
from tests.pipelines.ecs import TaskEnd

_EXPRESSION = re.compile(r"\$\{\{ (.*?) \}\}")
#: Whatever installs something, which the tests' environment has.
_INSTALLS = "pip install"


#: Notes its arguments; knows no attestation where it is told so.
_GH = f"""#!{sys.executable}
import json, os, sys
with open(os.environ["GH_CALLS"], "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
sys.exit("no attestation" if os.environ.get("NOT_ATTESTED") else 0)
"""


class Runner:
    """Evaluates the expressions that the job uses, and runs its scripts."""

    def __init__(self, job: Job, service: str, earlier: str = "") -> None:
        self.job = job
        self.values = {
            "inputs.service": service,
            "inputs.environment": "dev",
            "inputs.commit || github.sha": earlier or COMMIT,
            "inputs.commit == '' && 'image.tar' || ''": "" if earlier else "image.tar",
            "vars.AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/cpsite-dev-deploy",
            "vars.AWS_REGION || 'us-east-1'": "us-east-1",
            "vars.PROJECT || 'cpsite'": "cpsite",
            "vars.API_URL": job.url,
            "secrets.AWS_ACCESS_KEY_ID": "",
            "secrets.AWS_SECRET_ACCESS_KEY": "",
            "secrets.SMOKE_TOKEN": "",
            "github.token": "a-token-of-github",
        }
        path = BASE_DIR / ".github" / "workflows" / "deploy-service.yml"
        self.definition: dict[str, Any] = yaml.safe_load(path.read_text())["jobs"]["deploy"]
        self.environment = os.environ | self._evaluated(self.definition["env"])
        gh = job.scratch / "bin" / "gh"
        gh.write_text(_GH)
        gh.chmod(0o755)
        self.environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment |= {
            "GH_CALLS": str(job.scratch / "gh-calls"),
            "GITHUB_REPOSITORY": "octo/cpsite",
        }

    def run(self) -> Iterator[tuple[str, subprocess.CompletedProcess[str]]]:
        """Run each script until one fails; yield its name and how it ended."""
        for step in self.definition["steps"]:
            if "run" not in step or _INSTALLS in step["run"]:
                continue
            done = subprocess.run(
                ["bash", "-e", "-c", step["run"]],
                env=self.environment | self._evaluated(step.get("env", {})),
                cwd=BASE_DIR,
                capture_output=True,
                text=True,
                check=False,
            )
            yield step["name"], done
            if done.returncode:
                return
            outputs = (self.job.scratch / "output").read_text().splitlines()
            for name, _, value in (line.partition("=") for line in outputs):
                self.values[f"steps.{step.get('id')}.outputs.{name}"] = value

    def _evaluated(self, environment: dict[str, str]) -> dict[str, str]:
        return {
            name: _EXPRESSION.sub(lambda found: self.values[found.group(1)], str(value))
            for name, value in environment.items()
        }


@pytest.fixture
def quick(job: Job) -> Job:
    """A job that is waited for nowhere."""
    job.ecs.fates = ["completes_at_once"]
    job.ecs.ends = [TaskEnd(lines=("done",), at_once=True)]
    return job


@pytest.mark.parametrize("service", ["validator", "uploader"])
def test_a_commit_is_deployed(quick: Job, service: str) -> None:
    steps = list(Runner(quick, service).run())

    assert {name: done.returncode for name, done in steps} == {
        "The way into AWS": 0,
        "Push": 0,
        "Let docker in": 0,
        "Verify who built it": 0,
        "Register the revision": 0,
        "Migrate, or wait for it": 0,
        "Roll out, test, or roll back": 0,
    }, steps[-1][1]
    assert quick.noted(service) == quick.image(service)
    assert f"cpsite-dev-{service} is deployed" in quick.summary
    assert [call[0] for call, _given in quick.docker][-3:] == ["push", "logout", "login"]
    (asked,) = (quick.scratch / "gh-calls").read_text().splitlines()
    assert json.loads(asked) == [
        *(
            "attestation",
            "verify",
            f"oci://{REGISTRY}/cpsite-dev/{service}@{quick.digest(service)}",
        ),
        *("--repo", "octo/cpsite"),
        *("--signer-workflow", "octo/cpsite/.github/workflows/deploy-service.yml"),
    ]


def test_an_earlier_commit_is_deployed_again(quick: Job) -> None:
    earlier = COMMIT[::-1]
    push_manifest(quick, "validator", earlier)

    steps = list(Runner(quick, "validator", earlier).run())

    assert len(steps) == 7
    assert steps[-1][1].returncode == 0
    assert quick.noted("validator") == quick.image("validator", earlier)
    assert [call[0] for call, _given in quick.docker] == ["login"]


def test_an_image_that_no_pipeline_built_is_not_deployed(
    quick: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOT_ATTESTED", "1")
    push_manifest(quick, "validator", COMMIT[::-1])

    *_before, (name, done) = Runner(quick, "validator", COMMIT[::-1]).run()

    assert (name, done.returncode) == ("Verify who built it", 1)
    assert quick.ecs.asked("RegisterTaskDefinition") == []


def test_nothing_is_rolled_out_after_a_failed_migration(quick: Job) -> None:
    quick.ecs.ends = [TaskEnd(1, lines=("no",), at_once=True)]

    *_before, (name, done) = Runner(quick, "validator").run()

    assert (name, done.returncode) == ("Migrate, or wait for it", 1)
    assert quick.ecs.asked("UpdateService") == []
