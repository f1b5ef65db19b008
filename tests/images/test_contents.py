"""What is in the images, and what is not."""

import json
import re
from typing import Any

import pytest
from packaging.requirements import Requirement

from cpsite import __version__
from tests.images.conftest import SERVICES
from tests.images.engine import ROOT, Engine

#: For the markers of requirements, what the images are.
LINUX = {
    "sys_platform": "linux",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
}
INSTALLED = """
from importlib.metadata import distributions
print(*sorted(found.name.lower().replace("_", "-").replace(".", "-") for found in distributions()))
"""
WRITABLE = """
import os
for directory, names, files in os.walk("/"):
    if directory == "/":
        names[:] = set(names) - {"proc", "sys", "dev"}
    for name in (directory, *(os.path.join(directory, file) for file in files)):
        if os.access(name, os.W_OK) and not os.path.islink(name):
            print(name)
"""


def requirements(service: str) -> set[str]:
    """Return the names that the service's lock file installs on Linux."""
    text = (ROOT / "requirements" / f"{service}.txt").read_text()
    found = [
        Requirement(line.rstrip("\\ ")) for line in re.findall(r"^[a-z].*$", text, re.MULTILINE)
    ]
    return {r.name for r in found if r.marker is None or r.marker.evaluate(LINUX)}


def terraform(service: str, variable: str) -> Any:
    """Return a command as it stands in the service's Terraform, in its first container."""
    text = (ROOT / "terraform" / f"{service}.tf").read_text()
    return json.loads(re.findall(rf"{variable}\s*= (\[.*\])", text)[0])


@pytest.mark.parametrize("service", SERVICES)
def test_only_the_locked_requirements_of_the_service_are_installed(
    engine: Engine, images: dict[str, str], service: str
) -> None:
    installed = engine.look(images[service], "python", "-c", INSTALLED).split()

    assert set(installed) == requirements(service)


def test_the_uploader_has_no_web_server(engine: Engine, images: dict[str, str]) -> None:
    code = "import importlib.util as u; print(u.find_spec('gunicorn'), u.find_spec('gevent'))"

    assert engine.look(images["uploader"], "python", "-c", code) == "None None"


def test_nothing_in_it_installs_or_compiles(engine: Engine, image: str) -> None:
    code = "import importlib.util as u; print(u.find_spec('pip'), u.find_spec('ensurepip'))"
    tools = "for tool in pip pip3 gcc cc make git; do command -v $tool; done; true"

    assert engine.look(image, "python", "-c", code) == "None None"
    assert engine.look(image, "sh", "-c", tools) == ""


@pytest.mark.parametrize("service", SERVICES)
def test_of_the_checkout_only_the_program_of_one_service_is_in_it(
    engine: Engine, images: dict[str, str], service: str
) -> None:
    image = images[service]
    assert set(engine.look(image, "ls", "-A", "/app").split()) == {
        "__pycache__",
        "cpsite",
        "manage.py",
        service,
        "var",
    }
    assert engine.look(image, "find", "/app", "-name", "devstack") == ""


def test_it_runs_as_a_user_who_owns_and_can_write_nothing_but_tmp(
    engine: Engine, image: str
) -> None:
    # The root filesystem is left writable, so that only ownership and modes protect it.
    def look(*command: str) -> str:
        return engine("run", "--rm", "--network=none", "--cap-drop=ALL", image, *command)

    assert look("id", "-u") == "10001"
    assert look("id", "-g") == "10001"
    assert engine.inspect(image)["Config"]["User"] == "10001:10001"
    assert set(look("python", "-c", WRITABLE).split()) <= {
        *("/tmp", "/var/tmp", "/run/lock"),  # as in any Debian, and read-only on ECS but for /tmp
    }


def test_with_a_read_only_root_it_can_write_to_tmp(engine: Engine, image: str) -> None:
    code = "import os, tempfile; tempfile.mkdtemp(); print(oct(os.stat('/tmp').st_mode))"

    assert engine.look(image, "python", "-c", code) == "0o41777"
    assert engine.inspect(image)["Config"]["Volumes"] == {"/tmp": {}}


def test_bytecode_is_there_and_is_used(engine: Engine, image: str) -> None:
    code = "import django, cpsite"
    log = engine.try_run("run", "--rm", "--network=none", image, "python", "-vv", "-c", code).stderr

    for module in ("django", "cpsite"):
        assert re.search(rf"code object from .*/{module}/__pycache__/__init__.*\.pyc", log), module


@pytest.mark.parametrize("service", SERVICES)
def test_it_starts_what_terraform_starts(
    engine: Engine, images: dict[str, str], service: str
) -> None:
    config = engine.inspect(images[service])["Config"]
    health_check = engine.inspect(images[service])["Healthcheck"]["Test"]
    asked = [_without_port(part) for part in health_check]

    assert config["Cmd"] == terraform(service, "command")
    assert not config.get("Entrypoint")
    assert config["WorkingDir"] == "/app"
    assert config["StopSignal"] in ("SIGTERM", "15")
    expected = re.findall(r"command\s*= (\[\"CMD.*\])", _terraform_text(service))[0]
    assert asked == [_without_port(part) for part in json.loads(expected)]


def _terraform_text(service: str) -> str:
    return (ROOT / "terraform" / f"{service}.tf").read_text()


def _without_port(part: str) -> str:
    """Return a command's part without where its port comes from: Terraform, or the environment."""
    part = part.replace("import os, ", "import ").replace("urlopen(f'", "urlopen('")
    return re.sub(r"\$?\{(local\.ports|os\.environ).*?\}", "PORT", part)


@pytest.mark.parametrize("service", SERVICES)
def test_it_says_what_it_is(engine: Engine, images: dict[str, str], service: str) -> None:
    found = engine.inspect(images[service])
    labels = {
        name.rpartition(".")[2]: value
        for name, value in found["Config"]["Labels"].items()
        if name.startswith("org.opencontainers.image.")
    }

    assert labels.pop("description")
    assert labels == {
        "title": f"cpsite {service}",
        "version": __version__,
        "revision": "0123abc",
        "source": "https://example.com/cpsite",
        "licenses": "MIT",
    }
    assert "CPSITE_REVISION=0123abc" in found["Config"]["Env"]


def test_no_variable_of_it_is_a_secret(engine: Engine, image: str) -> None:
    names = {item.partition("=")[0] for item in engine.inspect(image)["Config"]["Env"]}

    assert not {name for name in names if re.search("KEY|TOKEN|PASSWORD|SECRET|DATABASE", name)} - {
        "GPG_KEY"  # of Python's release managers, in Python's own image
    }


def test_its_size(engine: Engine, images: dict[str, str], base: str) -> None:
    below = engine.inspect(base)["Size"]
    for service, image in images.items():
        size = engine.inspect(image)["Size"] - below
        print(f"{service}: {size / 1e6:.0f} MB on a base of {below / 1e6:.0f} MB")
        # A guard against what slips in; docs/deployment.md has the figures.
        assert size < 160e6
