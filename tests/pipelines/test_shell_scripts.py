"""The shell scripts of the workflows, with terraform and aws that only note what they are told."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cpsite.settings import BASE_DIR

_SCRIPTS = BASE_DIR / ".github" / "scripts"

_NOTE = f"""#!{sys.executable}
import json, os, pathlib, sys
name, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps([name, *arguments]) + "\\n")
if os.environ.get("FAILS") and os.environ["FAILS"] in arguments:
    sys.exit(1)
"""
_TERRAFORM = (
    _NOTE
    + """
for argument in arguments:
    if argument.startswith("-out="):
        pathlib.Path(argument.removeprefix("-out=")).write_text("a plan")
if "show" in arguments:
    print(os.environ.get("SHOWS", "Plan: 1 to add, 0 to change, 0 to destroy."))
"""
)
_AWS = (
    _NOTE
    + """
bucket = pathlib.Path(os.environ["BUCKET"])
paths = [argument for argument in arguments if not argument.startswith("-")][2:]
place = [bucket / path[5:] if path.startswith("s3://") else pathlib.Path(path) for path in paths]
if "cp" in arguments:
    if not place[0].exists():
        sys.exit("fatal error: Key does not exist")
    place[1].parent.mkdir(parents=True, exist_ok=True)
    place[1].write_bytes(place[0].read_bytes())
elif "--recursive" in arguments:
    for file in place[0].glob("*"):
        file.unlink()
else:
    place[0].unlink()
"""
)


class Shell:
    """Runs a script where `terraform` and `aws` are stand-ins."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # A repository of its own, with what a maintainer has to commit.
        self.scripts = directory / "repository" / ".github" / "scripts"
        shutil.copytree(_SCRIPTS, self.scripts)
        self.lock = directory / "repository" / "terraform" / ".terraform.lock.hcl"
        self.lock.parent.mkdir()
        self.lock.touch()
        tools = directory / "bin"
        tools.mkdir()
        for name, text in (("terraform", _TERRAFORM), ("aws", _AWS)):
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)
        self.environment = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "CALLS": str(directory / "calls"),
            "BUCKET": str(directory / "s3"),
            "GITHUB_OUTPUT": str(directory / "output"),
            "ENVIRONMENT": "dev",
            "STATE_BUCKET": "states",
            "AWS_REGION": "eu-west-1",
        }

    def run(self, script: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.scripts / script), *arguments],
            env=self.environment | more,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[list[str]]:
        lines = (self.directory / "calls").read_text().splitlines()
        return [json.loads(line) for line in lines]

    @property
    def outputs(self) -> dict[str, str]:
        path = self.directory / "output"
        lines = path.read_text().splitlines() if path.exists() else []
        return {name: value for name, _, value in (line.partition("=") for line in lines)}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


ROLE = {"ROLE": "arn:aws:iam::123456789012:role/cpsite-dev-deploy"}
KEYS = {"KEY_ID": "AKIDEXAMPLE", "KEY": "a-secret-key"}


@pytest.mark.parametrize(
    ("given", "way"),
    [
        (ROLE, "role"),
        (KEYS, "key"),
        (ROLE | KEYS, "role"),
        ({"OPTIONAL": "1"}, "none"),
        (KEYS | {"OPTIONAL": "1"}, "key"),
    ],
)
def test_there_is_a_way_into_aws(shell: Shell, given: dict[str, str], way: str) -> None:
    done = shell.run("aws_access.sh", **given)

    assert done.returncode == 0
    assert shell.outputs == {"way": way}
    assert "a-secret-key" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "no way into AWS: set the variable AWS_ROLE_ARN, or the secrets AWS_ACCESS_KEY_ID"),
        ({"KEY_ID": "AKIDEXAMPLE"}, "only one of the secrets"),
        ({"KEY": "a-secret-key", "OPTIONAL": "1"}, "only one of the secrets"),
    ],
)
def test_there_is_none(shell: Shell, given: dict[str, str], said: str) -> None:
    done = shell.run("aws_access.sh", **given)

    assert done.returncode == 1
    assert done.stdout.startswith("::error title=GitHub environment dev::")
    assert said in done.stdout
    assert "a-secret-key" not in done.stdout + done.stderr
    assert shell.outputs == {}


def test_a_variable_without_a_value_is_named(shell: Shell) -> None:
    assert shell.run("aws_access.sh", "API_URL", **ROLE, API_URL="https://api").returncode == 0

    done = shell.run("aws_access.sh", "API_URL", **ROLE)

    assert done.returncode == 1
    assert "the variable API_URL is not set" in done.stdout


def test_what_is_not_set_up_at_all_needs_no_variables(shell: Shell) -> None:
    assert shell.run("aws_access.sh", "STATE_BUCKET", OPTIONAL="1", STATE_BUCKET="").returncode == 0


def test_a_plan_is_made_without_a_lock(shell: Shell) -> None:
    (shell.directory / "plan-dev").mkdir()

    assert shell.run("terraform_plan.sh", "plan-dev").returncode == 0

    init, plan, show = shell.calls
    assert init[1:] == [
        *("-chdir=terraform", "init", "-input=false", "-no-color", "-lockfile=readonly"),
        *("-backend-config=bucket=states", "-backend-config=region=eu-west-1"),
        "-backend-config=key=dev/terraform.tfstate",
    ]
    out = shell.directory / "plan-dev" / "plan"
    assert {"-lock=false", "-var-file=environments/dev.tfvars", f"-out={out}"} <= set(plan)
    assert show[-1] == str(out)
    assert out.read_text() == "a plan"
    assert "1 to add" in (shell.directory / "plan-dev" / "plan.txt").read_text()


def test_a_plan_of_a_pull_request_reads_no_secret(shell: Shell) -> None:
    """Refreshing a parameter decrypts it, so who may refresh may read all secrets."""
    assert shell.run("terraform_plan.sh", ".", REFRESH="false").returncode == 0

    _init, plan, _show = shell.calls
    assert "-refresh=false" in plan
    told, *_rest = (shell.directory / "plan.txt").read_text().splitlines()
    assert told.startswith("Compared with the state as it was last written")


def test_a_plan_that_is_applied_looks_at_aws(shell: Shell) -> None:
    assert shell.run("terraform_plan.sh", ".", REFRESH="true").returncode == 0

    _init, plan, _show = shell.calls
    assert "-refresh=true" in plan
    assert (shell.directory / "plan.txt").read_text().startswith("Plan: 1 to add")


@pytest.mark.parametrize("step", ["init", "plan", "show"])
def test_a_failing_plan_is_a_failure(shell: Shell, step: str) -> None:
    assert shell.run("terraform_plan.sh", ".", FAILS=step).returncode != 0


def test_no_drift(shell: Shell) -> None:
    nothing = "No changes. Your infrastructure matches the configuration."

    done = shell.run("terraform_drift.sh", ".", REFRESH="false", SHOWS=nothing)

    assert done.returncode == 0, done.stderr
    assert "-refresh=true" in shell.calls[1]


def test_drift_is_a_failure(shell: Shell) -> None:
    done = shell.run("terraform_drift.sh", ".")

    assert done.returncode == 1
    assert "::error title=drift in dev::AWS is not what the code says" in done.stdout
    assert "1 to add" in (shell.directory / "plan.txt").read_text()


@pytest.mark.parametrize("script", ["terraform_plan.sh", "terraform_apply.sh"])
def test_providers_are_the_locked_ones(shell: Shell, script: str) -> None:
    (shell.directory / "saved").touch()
    assert shell.run(script, "saved" if "apply" in script else ".").returncode == 0
    assert "-lockfile=readonly" in shell.calls[0]

    shell.lock.unlink()
    done = shell.run(script, "saved" if "apply" in script else ".")

    assert done.returncode == 1
    assert ".terraform.lock.hcl is not committed" in done.stdout
    assert len([call for call in shell.calls if "init" in call]) == 1


def test_the_files_that_the_scripts_name_exist() -> None:
    for environment in ("dev", "prod"):
        assert (BASE_DIR / "terraform" / "environments" / f"{environment}.tfvars").is_file()


def save(shell: Shell, content: str, run: str) -> dict[str, str]:
    (shell.directory / "plan").write_text(content)
    done = shell.run("saved_plan.sh", "save", "plan", GITHUB_RUN_ID=run, GITHUB_RUN_ATTEMPT="2")
    assert done.returncode == 0, done.stderr
    return shell.outputs


def fetch(shell: Shell, saved: dict[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    arguments = ("fetch", saved["key"], saved["sha256"], "fetched")
    return shell.run("saved_plan.sh", *arguments, **more)


def test_a_plan_is_kept_beside_the_state(shell: Shell) -> None:
    saved = save(shell, "a plan", "77")

    assert saved["key"] == "plans/dev/77-2.tfplan"
    assert saved["sha256"] == hashlib.sha256(b"a plan").hexdigest()
    assert (shell.directory / "s3" / "states" / saved["key"]).read_text() == "a plan"
    assert fetch(shell, saved).returncode == 0
    assert (shell.directory / "fetched").read_text() == "a plan"


def test_a_plan_that_was_exchanged_is_not_applied(shell: Shell) -> None:
    saved = save(shell, "a plan", "77")
    (shell.directory / "s3" / "states" / saved["key"]).write_text("another")

    assert fetch(shell, saved).returncode != 0


def test_a_newer_plan_takes_the_place_of_an_older_one(shell: Shell) -> None:
    older = save(shell, "a plan", "77")
    newer = save(shell, "another plan", "78")

    done = fetch(shell, older)
    assert done.returncode == 1
    assert "is gone: a newer one was made" in done.stdout
    assert fetch(shell, newer).returncode == 0


def test_an_applied_plan_is_forgotten(shell: Shell) -> None:
    saved = save(shell, "a plan", "77")

    assert shell.run("saved_plan.sh", "remove", saved["key"]).returncode == 0

    assert fetch(shell, saved).returncode == 1


def test_what_is_applied_is_the_plan_and_nothing_else(shell: Shell) -> None:
    (shell.directory / "saved.tfplan").write_text("a plan")

    assert shell.run("terraform_apply.sh", "saved.tfplan").returncode == 0

    init, apply = shell.calls
    assert "-backend-config=key=dev/terraform.tfstate" in init
    assert apply[1:] == [
        *("-chdir=terraform", "apply", "-input=false", "-no-color", "-lock-timeout=5m"),
        str(shell.directory / "saved.tfplan"),
    ]


@pytest.mark.parametrize("step", ["init", "apply"])
def test_a_failing_apply_is_a_failure(shell: Shell, step: str) -> None:
    (shell.directory / "saved.tfplan").write_text("a plan")

    assert shell.run("terraform_apply.sh", "saved.tfplan", FAILS=step).returncode != 0


@pytest.mark.parametrize("missing", ["STATE_BUCKET", "ENVIRONMENT", "AWS_REGION"])
@pytest.mark.parametrize("script", ["terraform_plan.sh", "terraform_apply.sh"])
def test_a_variable_that_is_missing_ends_it(shell: Shell, script: str, missing: str) -> None:
    del shell.environment[missing]

    done = shell.run(script, ".")

    assert done.returncode != 0
    assert missing in done.stderr


def test_an_unknown_word_is_a_usage_error(shell: Shell) -> None:
    assert shell.run("saved_plan.sh", "burn").returncode == 2


def test_scripts_may_be_run() -> None:
    scripts: list[Any] = sorted(_SCRIPTS.glob("*.sh"))

    assert scripts
    assert [path.name for path in scripts if not os.access(path, os.X_OK)] == []
    assert shutil.which("bash")
