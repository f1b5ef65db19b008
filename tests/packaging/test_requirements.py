"""The lock files of the images, and of the environment that holds both services."""

import re
import tomllib
from pathlib import Path

import pytest
from django.conf import settings

from cpsite import __version__

ROOT = Path(__file__).resolve().parents[2]


def pinned(name: str) -> dict[str, str]:
    """Return the version of each package in a lock file."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[.*?\])?==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("service", ["validator", "uploader"])
def test_a_service_has_the_versions_that_are_tested(service: str) -> None:
    assert pinned(service).items() <= pinned("base").items()


def test_together_the_services_have_all_of_them() -> None:
    assert pinned("base") == pinned("validator") | pinned("uploader")


def test_the_images_have_the_version_of_the_program() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert set(re.findall(r"^ARG VERSION=(.*)$", dockerfile, re.MULTILINE)) == {__version__}
    assert project["version"] == __version__
    assert settings.SPECTACULAR_SETTINGS["VERSION"] == __version__


def test_each_base_image_is_one_and_names_its_version() -> None:
    found = {
        name
        for path in (ROOT / "Dockerfile", ROOT / "compose" / "embedded-aws.Dockerfile")
        for name in re.findall(r"^ARG PYTHON_IMAGE=(.*)$", path.read_text(), re.MULTILINE)
    }

    assert len(found) == 1
    assert re.fullmatch(r"\S+:3\.\d+-\S+", found.pop())
