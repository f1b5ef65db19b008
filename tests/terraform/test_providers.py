"""Which version of a provider the configuration needs, and which the modules demand.

Terraform takes any version that a constraint admits. One that is too old refuses the configuration
at its first plan, in words that name no version.
"""

import re
from collections import Counter
from dataclasses import dataclass

import pytest

from tests.terraform.conftest import ROOT


@dataclass(frozen=True)
class Need:
    """What the configuration has, since when the provider takes it, and where that is said."""

    provider: str
    pattern: str
    since: tuple[int, int]
    source: str


NEEDS = [
    Need(
        "aws",
        r"max_message_size\s*=\s*1048576",
        (6, 8),
        "CHANGELOG, 6.8.0 of 2025-08-07: resource/aws_sqs_queue: Increase upper limit of "
        "`max_message_size` from 256 KiB to 1024 KiB (pull request 43710)",
    ),
    Need(
        "aws",
        r"data\.aws_region\.current\.region",
        (6, 0),
        "CHANGELOG, 6.0.0 of 2025-06-18: data-source/aws_region: `name` is deprecated, to be "
        "replaced by `region` (pull request 42131)",
    ),
    Need(
        "random",
        r'ephemeral "random_password"',
        (3, 7),
        "CHANGELOG, 3.7.0 of 2025-02-25: ephemeral/random_password: New ephemeral resource "
        "(pull request 625)",
    ),
]
PROVIDERS = sorted({need.provider for need in NEEDS})
SOURCES = {path: path.read_text() for path in (ROOT / "terraform").rglob("*.tf")}


def floors(provider: str) -> Counter[str]:
    """Return each constraint on a provider, and how many directories have it."""
    demanded = rf'source\s*= "hashicorp/{provider}"\s*version\s*= "([^"]*)"'
    return Counter(found for text in SOURCES.values() for found in re.findall(demanded, text))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_is_as_new_as_what_is_asked_of_it(provider: str) -> None:
    newest = max(need.since for need in NEEDS if need.provider == provider)

    assert list(floors(provider)) == ["~> {}.{}".format(*newest)]


@pytest.mark.parametrize("need", NEEDS, ids=lambda need: f"{need.provider}-{need.since}")
def test_what_needs_a_version_is_there(need: Need) -> None:
    """Otherwise the floor is higher than anything needs."""
    assert any(re.search(need.pattern, text) for text in SOURCES.values())


def test_every_directory_says_which_provider_it_takes() -> None:
    directories = {path.parent for path in SOURCES}

    assert floors("aws").total() == len(directories)
