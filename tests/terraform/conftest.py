"""What Terraform would make of each environment, by its own word.

`terraform test` with a mocked AWS prints plan and state as JSON, without an account. Run by
`make terraform-check`, which sets TERRAFORM: a run of all tests does not wait for it.
"""

import json
import os
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ("dev", "prod")


@dataclass(frozen=True)
class Infrastructure:
    """One environment: resources by address, as planned, and the whole text of plan and state."""

    environment: str
    resources: dict[str, dict[str, Any]]
    documents: dict[str, Any] = field(repr=False)

    def one(self, address: str) -> dict[str, Any]:
        return self.resources[address]

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        return {a: r for a, r in self.resources.items() if f".{kind}." in f".{a}"}

    def containers(self, family: str) -> dict[str, dict[str, Any]]:
        for task in self.of_type("aws_ecs_task_definition").values():
            if task["family"] == f"cpsite-{self.environment}-{family}":
                definitions = json.loads(task["container_definitions"])
                return {definition["name"]: definition for definition in definitions}
        raise LookupError(family)


def _terraform(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [os.environ["TERRAFORM"], "-chdir=terraform", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _unusable(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _run_tests(environment: str, directory: str, kind: str) -> dict[str, Any] | str:
    """Return the document that a verbose test prints, or why it printed none."""
    tested = _terraform(
        *("test", f"-test-directory=tests/{directory}"),
        *(f"-var-file={place}/{environment}.tfvars" for place in ("environments", "testing")),
        *("-json", "-verbose"),
    )
    lines = [json.loads(line) for line in tested.stdout.splitlines()]
    documents = [line[kind] for line in lines if line["type"] == kind]
    if tested.returncode or len(documents) != 1:
        errors = [line["diagnostic"] for line in lines if "diagnostic" in line]
        return f"terraform test failed: {errors[:3] or tested.stderr}"
    document: dict[str, Any] = documents[0]
    # What a provider can do, not what we ask it to.
    document.pop("provider_schemas", None)
    return document


@cache
def _read(environment: str) -> Infrastructure | str:
    """Ask Terraform once. Return what it said, or why it said nothing."""
    initialised = _terraform("init", "-backend=false", "-input=false", "-no-color")
    if initialised.returncode:
        return f"terraform init failed: {initialised.stderr}"
    plan = _run_tests(environment, "environments", "test_plan")
    state = _run_tests(environment, "state", "test_state")
    if isinstance(plan, str):
        return plan
    if isinstance(state, str):
        return state
    return Infrastructure(
        environment,
        {
            change["address"]: change["change"]["after"]
            for change in plan["resource_changes"]
            if change["mode"] == "managed"
        },
        {"plan": plan, "state": state},
    )


@pytest.fixture(params=ENVIRONMENTS)
def infrastructure(request: pytest.FixtureRequest) -> Infrastructure:
    if not os.environ.get("TERRAFORM"):
        pytest.skip("`make terraform-check` runs these: TERRAFORM is not set")
    found = _read(request.param)
    if isinstance(found, str):
        _unusable(found)
    assert isinstance(found, Infrastructure)
    return found
