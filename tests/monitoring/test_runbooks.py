"""Commands of runbooks must be ones that there are: at night nobody wants to mend them."""

import re
from functools import cache

import botocore.session
import pytest
from botocore import xform_name
from django.core.management import get_commands, load_command_class

from tests.monitoring.configuration import ROOT, RUNBOOKS

PAGES = sorted(RUNBOOKS.glob("*.md"))
#: Of the command line itself, for all operations.
EVERYWHERE = {"--query", "--output", "--max-items"}
#: What the command line adds to the API.
OWN = {("logs", "tail"): {"--since", "--filter-pattern", "--format", "--follow"}}


@cache
def options_of(service, operation):
    """Options of an operation, as the AWS command line makes them of the API's parameters."""
    if (service, operation) in OWN:
        return OWN[service, operation]
    session = botocore.session.get_session()
    model = session.get_service_model({"s3api": "s3"}.get(service, service))
    names = {xform_name(name, "-"): name for name in model.operation_names}
    members = model.operation_model(names[operation]).input_shape.members
    return {f"--{xform_name(name, '-')}" for name in members}


def commands(page, program):
    """(its first two words, its options) of each call of `program` on a page."""
    text = page.read_text().replace("\\\n", " ")
    for first, second, rest in re.findall(rf"\b{program} ([a-z0-9-]+) ([\w-]+)([^\n`]*)", text):
        # What stands in $(…) is a command of its own, and so is what comes after |.
        own = re.sub(r'"\$\(.*?\)"', "", rest).split(" | ")[0]
        yield first, second, set(re.findall(r"(?<=\s)--[a-z-]+", own))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_aws(page):
    for service, operation, options in commands(page, "aws"):
        assert options - EVERYWHERE <= options_of(service, operation), (service, operation)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_manage(page):
    for line in re.findall(r"(?:^|`)manage\.py ([^\n`]+)", page.read_text(), re.MULTILINE):
        name, *arguments = line.split(" (", maxsplit=1)[0].split()
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        parser.parse_args(arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_log_lines_are_ones_that_the_services_write(page):
    source = "".join(
        path.read_text()
        for package in ("cpsite", "validator", "uploader")
        for path in (ROOT / package).rglob("*.py")
    )
    for event in re.findall(r'\$\.event = "(\w+)"', page.read_text()):
        assert f'"{event}"' in source


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_settings_are_ones_that_the_program_reads(page):
    source = (ROOT / "cpsite" / "settings.py").read_text()
    source += (ROOT / "cpsite" / "gunicorn.py").read_text()
    for setting in re.findall(r"`([A-Z]+(?:_[A-Z0-9]+)+)`", page.read_text()):
        assert f'"{setting}"' in source, setting


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_variables_are_ones_that_terraform_has(page):
    text = (ROOT / "terraform" / "variables_services.tf").read_text()
    for service, name in re.findall(r"`(validator|uploader)\.(\w+)", page.read_text()):
        block = re.search(rf'^variable "{service}" {{$.*?^}}$', text, re.MULTILINE | re.DOTALL)
        assert re.search(rf"^    {name} += optional", block[0], re.MULTILINE), name


def test_commands_are_found():
    found = [found for page in PAGES for found in commands(page, "aws")]
    assert ("logs", "tail", {"--since", "--filter-pattern"}) in found
    assert ("ecs", "describe-services", {"--cluster", "--services", "--query", "--output"}) in found
    assert len(found) > 40
    assert "manage.py dlq redrive --all --dry-run\n" in (RUNBOOKS / "DeadLetters.md").read_text()
