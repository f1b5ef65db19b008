"""The comment on a pull request that changes the infrastructure."""

import importlib.util
from pathlib import Path

import pytest

from cpsite.settings import BASE_DIR

_PATH = BASE_DIR / ".github" / "scripts" / "plan_comment.py"
_SPEC = importlib.util.spec_from_file_location("plan_comment", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
plan_comment = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(plan_comment)

CHANGES = "  # aws_sqs_queue.this will be created\n\nPlan: 1 to add, 2 to change, 0 to destroy.\n"


def test_each_environment_has_its_plan() -> None:
    text = plan_comment.comment({"dev": CHANGES, "prod": "No changes. All is as it was.\n"})

    assert "### dev: Plan: 1 to add, 2 to change, 0 to destroy." in text
    assert "aws_sqs_queue.this will be created" in text
    assert "### prod: No changes. All is as it was." in text


def test_an_environment_without_a_plan_is_no_silence() -> None:
    text = plan_comment.comment({"dev": None})

    assert "### dev: not planned" in text
    assert "`dev-plan`" in text


def test_a_long_plan_is_cut_and_says_so() -> None:
    text = plan_comment.comment({"dev": CHANGES + "x" * 200_000, "prod": CHANGES})

    assert len(text) < 65_536
    assert "… cut: the run's log has the rest" in text
    assert "### prod: Plan: 1 to add" in text


@pytest.mark.parametrize("inside", ["```", "`````\n# Approved by everybody"])
def test_nothing_in_a_plan_ends_its_fence(inside: str) -> None:
    text = plan_comment.comment({"dev": f"{inside}\n{CHANGES}"})

    fence = next(line for line in text.splitlines() if line.endswith("`text")).removesuffix("text")
    assert fence not in inside
    assert text.count(fence) == 2


def test_plans_are_read_from_the_directories_of_artifacts(tmp_path: Path) -> None:
    (tmp_path / "plan-dev").mkdir()
    (tmp_path / "plan-dev" / "plan.txt").write_text(CHANGES)
    (tmp_path / "plan-prod").mkdir()
    (tmp_path / "docs").mkdir()

    assert plan_comment.read(tmp_path) == {"dev": CHANGES, "prod": None}
