"""bin/: a commit brought by hand into an environment that Terraform has just made."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cpsite.settings import BASE_DIR
from tests.pipelines.stand_ins import NAME, REGISTRY, initial

SERVICES = ("validator", "uploader")
#: What runs, and the repository that its image is in.
RUNNING = {"validator": "validator", "admin": "validator", "uploader": "uploader"}


class Checkout:
    """A repository with the scripts, in which all tools but git are stand-ins."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "checkout"
        tools = directory / "tools"
        tools.mkdir()
        for tool in ("terraform", "aws", "docker", "curl"):
            (tools / tool).write_text(
                f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(BASE_DIR)!r})\n"
                "from tests.pipelines.stand_ins import main\nmain()\n"
            )
            (tools / tool).chmod(0o755)
        shutil.copytree(BASE_DIR / "bin", self.directory / "bin")
        self.world_file = directory / "world.json"
        self.environment = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "WORLD": str(self.world_file),
            "HOME": str(directory),
            "PAUSE_SECONDS": "0",
            **{
                f"GIT_{who}_{what}": "nobody@example.com"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }
        self.git("init", "--quiet")
        self.commit_all()
        self.set(**initial())

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit_all(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a commit")
        return self.git("rev-parse", "HEAD")

    @property
    def world(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.world_file.read_text())
        return found

    def set(self, **values: object) -> None:
        old = self.world if self.world_file.exists() else {}
        self.world_file.write_text(json.dumps(old | values))

    def run(self, line: str, shell: str = "bash", **more: str) -> subprocess.CompletedProcess[str]:
        """Run a line as somebody who has pasted it."""
        return subprocess.run(
            [shell, "-c", line],
            cwd=self.directory,
            env=self.environment | {"AWS_REGION": "eu-west-1"} | more,
            capture_output=True,
            text=True,
            check=False,
        )

    def deploy(self, **more: str) -> subprocess.CompletedProcess[str]:
        return self.run("bin/deploy dev", **more)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def images_of(world: dict[str, Any], family: str) -> list[str]:
    return [one["containerDefinitions"][0]["image"] for one in world["tasks"][f"{NAME}-{family}"]]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_commit_is_deployed(checkout: Checkout, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    commit = checkout.git("rev-parse", "HEAD")

    done = checkout.run("bin/deploy dev", shell)

    assert done.returncode == 0, done.stderr
    world = checkout.world
    for running, repository in RUNNING.items():
        assert images_of(world, running)[-1] == f"{REGISTRY}/{NAME}/{repository}:{commit}"
        assert world["services"][f"{NAME}-{running}"].endswith(f"{NAME}-{running}:2")
    for service in SERVICES:
        image = f"{REGISTRY}/{NAME}/{service}:{commit}"
        assert world["tags"][f"{NAME}/{service}"] == [commit]
        assert world["parameters"][f"/{NAME}/{service}-image"] == image
        assert f"REVISION={commit}" in world["built"][image][1]
    assert images_of(world, "migrate")[-1] == f"{REGISTRY}/{NAME}/validator:{commit}"
    ((migrated, group, overrides),) = world["ran"]
    assert migrated.endswith("-migrate:2")
    assert group == f"{NAME}-validator"
    assert overrides == {}


def test_the_database_is_migrated_before_a_service_starts(checkout: Checkout) -> None:
    assert checkout.deploy().returncode == 0

    calls = [call[4:6] for call in checkout.world["calls"] if call[0] == "aws"]
    order = [operation for _service, operation in calls]
    assert order.index("describe-tasks") < order.index("update-service")
    waited = [call for call in checkout.world["calls"] if "services-stable" in call]
    assert [f"{NAME}-{service}" in waited[-1] for service in RUNNING] == [True] * 3


def test_nothing_is_done_twice(checkout: Checkout) -> None:
    assert checkout.deploy().returncode == 0
    first = checkout.world

    again = checkout.deploy()

    assert again.returncode == 0, again.stderr
    world = checkout.world
    assert again.stdout.count("is there already") == 2
    assert world["tags"] == first["tags"]
    assert world["tasks"] == first["tasks"]
    assert len([call for call in world["calls"] if call[:2] == ["docker", "push"]]) == 2


def test_a_bad_image_is_replaced_by_the_next_commit(checkout: Checkout) -> None:
    assert checkout.deploy().returncode == 0
    better = checkout.commit_all()

    assert checkout.deploy().returncode == 0

    for running in RUNNING:
        assert images_of(checkout.world, running)[-1].endswith(f":{better}")
    for service in SERVICES:
        assert checkout.world["parameters"][f"/{NAME}/{service}-image"].endswith(f":{better}")


def test_what_is_not_committed_is_not_built(checkout: Checkout) -> None:
    (checkout.directory / "bin" / "scratch").write_text("not committed")

    assert checkout.deploy().returncode == 0

    assert [smuggled for smuggled, _arguments in checkout.world["built"].values()] == [False] * 2


@pytest.mark.parametrize(("exit_code", "said"), [(1, "ended with 1"), (None, "no exit code")])
def test_a_failed_migration_touches_no_service(
    checkout: Checkout, exit_code: int | None, said: str
) -> None:
    checkout.set(exit_code=exit_code)

    done = checkout.deploy()

    assert done.returncode == 1
    assert said in done.stderr
    assert f"the log of /{NAME}/migrate" in done.stdout
    assert checkout.world["services"] == {}
    assert checkout.world["parameters"] == {}


@pytest.mark.parametrize("operation", ["list-images", "describe-task-definition", "run-task"])
def test_a_call_that_fails_ends_it(checkout: Checkout, operation: str) -> None:
    checkout.set(fails=operation)

    done = checkout.deploy()

    assert done.returncode == 1
    assert "AccessDenied" in done.stderr
    assert checkout.world["services"] == {}
    assert (operation == "list-images") == (checkout.world["built"] == {})


@pytest.mark.parametrize("service", RUNNING)
def test_a_service_that_went_back_is_a_failure(checkout: Checkout, service: str) -> None:
    checkout.set(goes_back=f"{NAME}-{service}")

    done = checkout.deploy()

    assert done.returncode == 1
    assert f"{NAME}-{service} went back to" in done.stderr
    # An image is noted where all that runs it does.
    noted = {name.removeprefix(f"/{NAME}/") for name in checkout.world["parameters"]}
    assert noted == ({"validator-image"} if service == "uploader" else set())


@pytest.mark.parametrize(
    ("line", "more", "said"),
    [
        ("bin/deploy", {}, "usage"),
        ("bin/deploy dev", {"AWS_REGION": ""}, "AWS_REGION is not set"),
        ("bin/deploy dev", {"AWS_REGION": "eu-west-2"}, "not of cpsite-dev in eu-west-2"),
        ("bin/deploy prod", {}, "not of cpsite-prod"),
        ("bin/deploy dev no-such-commit", {}, "there is no commit no-such-commit"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(
    checkout: Checkout, line: str, more: dict[str, str], said: str
) -> None:
    done = checkout.run(line, **more)

    assert done.returncode == 1
    assert said in done.stderr
    assert [call for call in checkout.world["calls"] if call[0] in ("aws", "docker")] == []


def test_a_command_runs_once(checkout: Checkout) -> None:
    line = """bin/manage dev createsuperuser --noinput --email '"a\\b"@example.com'"""

    done = checkout.run(line, DJANGO_SUPERUSER_PASSWORD='quo"te')

    assert done.returncode == 0, done.stderr
    assert f"the log of /{NAME}/admin" in done.stdout
    ((family, group, overrides),) = checkout.world["ran"]
    assert family == group == f"{NAME}-admin"
    (container,) = overrides["containerOverrides"]
    assert container == {
        "name": "admin",
        "command": [
            *("python", "manage.py", "createsuperuser", "--noinput"),
            *("--email", '"a\\b"@example.com'),
        ],
        "environment": [{"name": "DJANGO_SUPERUSER_PASSWORD", "value": 'quo"te'}],
    }


def test_a_command_that_fails_is_a_failure(checkout: Checkout) -> None:
    checkout.set(exit_code=3)

    done = checkout.run("bin/manage dev dlq list")

    assert done.returncode == 1
    assert "ended with 3" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_three_calls_and_a_stored_message(checkout: Checkout, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    checkout.set(stored_after=2)

    done = checkout.run("bin/try-it", shell)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["202", "401", "400"]
    assert '"status": "stored"' in lines[-1]
    assert "a-token" not in done.stdout


def test_a_message_that_is_not_stored_is_a_failure(checkout: Checkout) -> None:
    checkout.set(stored_after=99)

    done = checkout.run("bin/try-it https://api.example.com", TRIES="3")

    assert done.returncode == 1
    assert "not stored" in done.stderr


def test_lines_of_the_documentation_can_be_pasted() -> None:
    """An interactive zsh takes a comment for words: an apostrophe in it opens a quote."""
    pages = [*BASE_DIR.glob("*.md"), *(BASE_DIR / "docs").rglob("*.md")]
    lines = [
        f"{page.name}: {line}"
        for page in pages
        for block in page.read_text().split("```sh\n")[1:]
        for line in block.split("```")[0].splitlines()
    ]

    assert len(lines) > 50
    assert [line for line in lines if re.search(r"(: |\s)#", line)] == []
