"""Rules for workflows that no linter knows, and names in them that must exist elsewhere."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cpsite.settings import BASE_DIR

_GITHUB = BASE_DIR / ".github"
WORKFLOWS = sorted((_GITHUB / "workflows").glob("*.yml"))
PIPELINES = ("validator-pipeline.yml", "uploader-pipeline.yml")

_PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
_LOCAL = re.compile(r"uses: \./\.github/workflows/[\w-]+\.yml( # zizmor: .*)?$")


def load(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text())
    return found


def jobs() -> list[Any]:
    return [
        pytest.param(job, id=f"{path.stem}-{name}")
        for path in WORKFLOWS
        for name, job in load(path)["jobs"].items()
    ]


def scripts() -> list[str]:
    """Return all shell code of all workflows."""
    return [
        step["run"]
        for path in WORKFLOWS
        for job in load(path)["jobs"].values()
        for step in job.get("steps", ())
        if "run" in step
    ]


def test_the_workflows_are_these() -> None:
    assert {path.name for path in WORKFLOWS} == {
        "ci.yml",
        "deploy-service.yml",
        "drift.yml",
        "infra.yml",
        "rescan.yml",
        *PIPELINES,
    }


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_a_whole_hash_and_say_their_version(path: Path) -> None:
    lines = [line.strip(" -") for line in path.read_text().splitlines() if "uses:" in line]

    assert lines
    for line in lines:
        assert _PINNED.match(line) or _LOCAL.match(line), line


def test_an_action_has_one_version_everywhere() -> None:
    versions: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for action, version in re.findall(r"uses: ([\w./-]+)@(.+)", path.read_text()):
            versions.setdefault(action, set()).add(version)

    assert {action: found for action, found in versions.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_nothing_is_permitted_but_what_a_job_asks_for(path: Path) -> None:
    assert load(path)["permissions"] == {}


@pytest.mark.parametrize("job", jobs())
def test_each_job_says_what_it_may_and_how_long(job: dict[str, Any]) -> None:
    assert job["permissions"]
    assert set(job["permissions"].values()) <= {"read", "write"}
    if "uses" not in job:  # the called workflow's jobs have limits
        assert 0 < job["timeout-minutes"] <= 60


@pytest.mark.parametrize("job", jobs())
def test_no_job_that_reaches_aws_runs_the_tests_or_builds(job: dict[str, Any]) -> None:
    """What a dependency does in a test or a build, it does without credentials."""
    permissions = job["permissions"]
    runs = " ".join(step.get("run", "") for step in job.get("steps", ()))

    if permissions.get("id-token") == "write" and "uses" not in job:
        assert "environment" in job
        assert not re.search(r"\bmake\b|docker build|requirements/(dev|base)", runs)
    else:
        assert "environment" not in job


@pytest.mark.parametrize("job", jobs())
def test_checkouts_leave_no_credentials_behind(job: dict[str, Any]) -> None:
    for step in job.get("steps", ()):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_no_expression_is_pasted_into_a_script() -> None:
    assert [script for script in scripts() if "${{" in script] == []


def test_long_scripts_stand_in_files_that_tests_run() -> None:
    assert [script for script in scripts() if len(script.splitlines()) > 3] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_runs_do_not_cross(path: Path) -> None:
    workflow = load(path)
    if "workflow_call" in workflow[True]:  # YAML 1.1 reads `on` as a truth value
        return
    assert workflow["concurrency"]["group"]
    cancels = workflow["concurrency"]["cancel-in-progress"]
    # Half a deployment helps nobody; half a check of a pull request does no harm.
    assert cancels is False or cancels == "${{ github.event_name == 'pull_request' }}"
    assert (cancels is False) == (path.name in PIPELINES)


def test_a_pull_request_plans_with_a_role_that_reads_no_secret() -> None:
    plan = load(_GITHUB / "workflows" / "infra.yml")["jobs"]["plan"]

    assert plan["environment"] == (
        "${{ matrix.environment }}-${{ github.event_name == 'pull_request' && 'plan' || 'infra' }}"
    )
    assert plan["env"]["REFRESH"] == "${{ github.event_name != 'pull_request' }}"
    (access,) = [step for step in plan["steps"] if step.get("id") == "access"]
    assert access["env"]["ENVIRONMENT"] == plan["environment"]


def test_drift_is_looked_for_where_no_branch_can_read_along() -> None:
    workflow = load(_GITHUB / "workflows" / "drift.yml")
    job = workflow["jobs"]["drift"]

    # A schedule runs the default branch, and the environment is given to it alone.
    assert set(workflow[True]) == {"schedule", "workflow_dispatch"}
    assert job["environment"] == "${{ matrix.environment }}-drift"
    assert job["strategy"]["matrix"]["environment"] == ["dev", "prod"]
    assert any("terraform_drift.sh" in step.get("run", "") for step in job["steps"])


@pytest.mark.parametrize("name", PIPELINES)
def test_a_deployment_waits_for_its_own_kind_only(name: str) -> None:
    workflow = load(_GITHUB / "workflows" / name)
    ((service, job),) = workflow["jobs"].items()

    assert name == f"{service}-pipeline.yml"
    assert job["with"]["service"] == service
    environment = job["with"]["environment"]
    assert workflow["concurrency"]["group"] == f"{service}-{environment}"
    assert environment == (
        "${{ inputs.environment || (github.ref_name == 'main' && 'prod' || 'dev') }}"
    )
    assert workflow[True]["push"]["branches"] == ["main", "dev"]


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (BASE_DIR / "Makefile").read_text(), re.MULTILINE))
    named = {name for script in scripts() for name in re.findall(r"\bmake ([a-z-]+)", script)}

    assert {"test", "lint", "typecheck", "terraform-check", "workflows-check"} <= named
    assert named - targets == set()


def test_files_exist() -> None:
    named = re.compile(r"(?:\.github/scripts|requirements)/[\w./-]*\w")
    texts = [path.read_text() for path in WORKFLOWS]
    files = {name for text in texts for name in named.findall(text)}

    assert ".github/scripts/aws_access.sh" in files
    assert {name for name in files if not (BASE_DIR / name).exists()} == set()


def test_ci_tests_each_supported_python() -> None:
    tested = load(_GITHUB / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    project = (BASE_DIR / "pyproject.toml").read_text()
    (oldest,) = re.findall(r'requires-python = ">=(3\.\d+)"', project)
    (newest,) = re.findall(r"python:(3\.\d+)-slim", (BASE_DIR / "Dockerfile").read_text())

    assert (tested[0], tested[-1]) == (oldest, newest)


def test_dependabot_looks_at_directories_that_exist() -> None:
    updates = load(_GITHUB / "dependabot.yml")["updates"]

    assert {update["package-ecosystem"] for update in updates} == {
        "docker",
        "docker-compose",
        "github-actions",
        "pip",
        "terraform",
    }
    for update in updates:
        assert update["cooldown"]["default-days"] >= 7
        assert update["groups"]
        for directory in update.get("directories") or [update["directory"]]:
            assert list(BASE_DIR.glob(directory.lstrip("/") or "Dockerfile")), directory
