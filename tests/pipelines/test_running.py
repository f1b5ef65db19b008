"""What is scanned each morning: what runs, by digest, whatever was pushed since."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cpsite.settings import BASE_DIR
from tests.pipelines.conftest import COMMIT, ENVIRONMENT, REGISTRY, Job, push_manifest

OLD, NEW, OTHER = (f"sha256:{letter * 64}" for letter in "abc")
REPOSITORY = f"{REGISTRY}/{ENVIRONMENT}"
#: Notes what it scans, and finds something in the digests that it is told.
_GRYPE = f"""#!{sys.executable}
import os, sys
with open(os.environ["GRYPE_CALLS"], "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
sys.exit(any(digest in sys.argv[1] for digest in os.environ.get("VULNERABLE", "none").split()))
"""


@pytest.fixture
def running(job: Job) -> Job:
    job.ecs.digests = {
        f"{ENVIRONMENT}-validator": [OLD, NEW, NEW],
        f"{ENVIRONMENT}-admin": [OTHER],
        f"{ENVIRONMENT}-uploader": [OLD],
    }
    return job


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if "@" in line]


def test_each_digest_that_runs_is_listed_once(
    running: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    push_manifest(running, "validator", COMMIT)

    assert running.run("running") == 0

    assert printed(capsys) == [
        f"{REPOSITORY}/uploader@{OLD}",
        *(f"{REPOSITORY}/validator@{digest}" for digest in (OLD, NEW, OTHER)),
    ]


def test_a_service_that_sleeps_is_listed_with_what_it_would_wake_with(
    running: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    del running.ecs.digests[f"{ENVIRONMENT}-uploader"]
    push_manifest(running, "uploader", "initial")

    assert running.run("running") == 0

    assert f"{REPOSITORY}/uploader@{running.digest('uploader', 'initial')}" in printed(capsys)


def test_a_noted_image_that_is_gone_is_an_error(
    running: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    del running.ecs.digests[f"{ENVIRONMENT}-uploader"]

    assert running.run("running") == 1

    assert "ECR does not have" in capsys.readouterr().out


def rescan(job: Job, **more: str) -> subprocess.CompletedProcess[str]:
    grype = job.scratch / "grype"
    grype.write_text(_GRYPE)
    grype.chmod(0o755)
    return subprocess.run(
        [str(BASE_DIR / ".github" / "scripts" / "rescan.sh")],
        cwd=BASE_DIR,
        env=os.environ
        | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": ".github/scripts",
            "NAME": ENVIRONMENT,
            "AWS_REGION": "us-east-1",
            "GRYPE": str(grype),
            "GRYPE_CALLS": str(job.scratch / "grype-calls"),
        }
        | more,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_runs_is_scanned(running: Job) -> None:
    done = rescan(running)

    assert done.returncode == 0, done.stderr
    scanned = (running.scratch / "grype-calls").read_text().splitlines()
    assert len(scanned) == 4
    assert all("--only-fixed --fail-on high" in line for line in scanned)
    assert f"registry:{REPOSITORY}/validator@{NEW} " in scanned[2]
    assert [call[0] for call, _given in running.docker] == ["login"]


def test_all_is_scanned_and_what_is_vulnerable_is_named(running: Job) -> None:
    done = rescan(running, VULNERABLE=f"{OLD} {OTHER}")

    assert done.returncode == 1
    assert len((running.scratch / "grype-calls").read_text().splitlines()) == 4
    (error,) = [line for line in done.stdout.splitlines() if line.startswith("::error")]
    assert (error.count(OLD), error.count(OTHER), error.count(NEW)) == (2, 1, 0)


def test_an_answer_that_fails_is_no_clean_bill(running: Job) -> None:
    running.ecs.digests = {}

    done = rescan(running)

    assert done.returncode == 1
    assert "ECR does not have" in done.stdout + done.stderr
    assert not (running.scratch / "grype-calls").exists()
    assert json.dumps(running.docker) == "[]"
