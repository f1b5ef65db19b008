"""A push that changes what a service runs starts its pipeline.

What a service runs is not guessed: each is loaded as it starts, and the files of ours that its
process then holds are held against the `paths` of its pipeline.
"""

import fnmatch
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest
import yaml

from cpsite.settings import BASE_DIR

_LOAD = {
    "validator": """
import cpsite.gunicorn, cpsite.web.worker, cpsite.wsgi
from django.urls import get_resolver
get_resolver().url_patterns
""",
    "uploader": """
import os
os.environ["CPSITE_SERVICE"] = "uploader"
import django
django.setup()
from django.core.management import load_command_class
load_command_class("uploader", "run_uploader")
load_command_class("uploader", "check_uploader")
""",
}
#: The least that the validator starts with.
_ENVIRONMENT = {
    "PATH": "",
    "DJANGO_SETTINGS_MODULE": "cpsite.settings",
    "DJANGO_SECRET_KEY": "k" * 50,
    "API_TOKENS": "a-token-of-tests",
    "SQS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/cpsite-messages",
}
_PRINT = """
import sys
print(*(getattr(module, "__file__", None) for module in list(sys.modules.values())), sep="\\n")
"""


def paths(service: str) -> list[str]:
    workflow: dict[Any, Any] = yaml.safe_load(
        (BASE_DIR / ".github" / "workflows" / f"{service}-pipeline.yml").read_text()
    )
    found: list[str] = workflow[True]["push"]["paths"]
    return found


def starts(service: str, path: str) -> bool:
    """Tell whether a change of the file starts the pipeline, as GitHub matches: the last wins."""
    answer = False
    for pattern in paths(service):
        # What stands here, `**` at the end and whole names, fnmatch reads as GitHub does.
        if fnmatch.fnmatchcase(path, pattern.lstrip("!")):
            answer = not pattern.startswith("!")
    return answer


@cache
def loaded(service: str) -> set[str]:
    """Return the files of ours that the service's process holds once it has started."""
    found = subprocess.run(
        [sys.executable, "-c", _LOAD[service] + _PRINT],
        cwd=BASE_DIR,
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    ours = (path for path in found.stdout.splitlines() if path.startswith(f"{BASE_DIR}/"))
    relative = {path.removeprefix(f"{BASE_DIR}/") for path in ours}
    return {path for path in relative if not path.startswith(".venv")}


def copied(lines: Iterable[str]) -> set[str]:
    """Return what the Dockerfile takes from the checkout."""
    taken = set()
    for line in lines:
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--from"):
            taken |= set(words[1:-1])
    return taken


@pytest.mark.parametrize("service", _LOAD)
def test_what_a_service_runs_starts_its_pipeline(service: str) -> None:
    files = loaded(service)

    assert f"{service}/apps.py" in files
    assert "cpsite/settings.py" in files
    assert {path for path in files if not starts(service, path)} == set()


@pytest.mark.parametrize("service", _LOAD)
def test_what_makes_the_image_and_the_pipeline_starts_it(service: str) -> None:
    dockerfile = (BASE_DIR / "Dockerfile").read_text().splitlines()
    other = "uploader" if service == "validator" else "validator"
    named = {path for path in copied(dockerfile) if path.rpartition("/")[0] == "requirements"}

    assert named == {"requirements/validator.txt", "requirements/uploader.txt"}
    for path in (
        "Dockerfile",
        ".dockerignore",
        "manage.py",
        f"requirements/{service}.txt",
        "requirements/deploy.txt",
        ".github/scripts/deploy/rollout.py",
        ".github/workflows/deploy-service.yml",
        f".github/workflows/{service}-pipeline.yml",
    ):
        assert starts(service, path), path
    assert not starts(service, f".github/workflows/{other}-pipeline.yml")
    assert not starts(service, f"requirements/{other}.txt")
    assert not starts(service, f"{other}/apps.py")


def test_each_migration_starts_the_pipeline_that_migrates() -> None:
    migrations = [
        str(path.relative_to(BASE_DIR))
        for app in ("cpsite", "validator", "uploader")
        for path in (BASE_DIR / app).glob("**/migrations/0*.py")
    ]

    assert len(migrations) >= 3
    assert [path for path in migrations if not starts("validator", path)] == []


@pytest.mark.parametrize(
    "path", ["README.md", "docs/operations.md", "terraform/main.tf", "tests/conftest.py"]
)
@pytest.mark.parametrize("service", _LOAD)
def test_other_changes_start_none(service: str, path: str) -> None:
    assert not starts(service, path)


@pytest.mark.parametrize("service", _LOAD)
def test_make_run_is_no_part_of_a_service(service: str) -> None:
    assert not starts(service, "cpsite/devstack/__main__.py")
    assert not [path for path in loaded(service) if path.startswith("cpsite/devstack/")]
