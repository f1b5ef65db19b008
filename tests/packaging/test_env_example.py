"""`.env.example` lists what the program and compose.yaml read: all of it, and nothing else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import dj_database_url
import pytest
import yaml

from tests.terraform.sources import ROOT, variables_of_boto3, variables_read

LINE = re.compile(r"#([A-Z][A-Z0-9_]+)=(.*)")
#: Set by ECS for every task.
OF_THE_PLATFORM = {"ECS_CONTAINER_METADATA_URI_V4"}


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    found = [match.groups() for line in lines if (match := LINE.fullmatch(line))]
    assert len(dict(found)) == len(found)
    return dict(found)


def sources() -> Iterator[Path]:
    for package in ("cpsite", "validator", "uploader"):
        yield from (ROOT / package).rglob("*.py")


def variables_of(path: Path) -> set[str]:
    """Return what a module reads by `os.environ` or a function that is given a variable's name."""
    found = variables_read(str(path.relative_to(ROOT)))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = ast.unparse(node.func)
            if function in {"os.environ.get", "os.getenv"} or re.search(
                r"(^|[._])(read_port|number)$", function
            ):
                found.add(str(node.args[0].value))
        if (
            isinstance(node, ast.Subscript)
            and ast.unparse(node.value) == "os.environ"
            and isinstance(node.ctx, ast.Load)
            and isinstance(node.slice, ast.Constant)
        ):
            found.add(str(node.slice.value))
    return found


def test_it_has_every_variable_and_no_other() -> None:
    read = set().union(*(variables_of(path) for path in sources()))
    read -= OF_THE_PLATFORM | variables_of_boto3()
    compose = set(re.findall(r"\$\{([A-Z0-9_]+)", (ROOT / "compose.yaml").read_text()))

    assert {"PORT", "DEVSTACK_STATE", "VISIBILITY_TIMEOUT_SECONDS", "WEB_CONNECTIONS"} < read
    assert set(example()) - {"AWS_REGION"} == (read | compose) - {"AWS_REGION"}


def test_compose_sets_nothing_that_nobody_reads() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    of_boto3 = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"}
    known = set(example()) | variables_of_boto3() | of_boto3 | {"PYTHONPATH"}
    for name in ("prepare-aws", "migrate", "validator", "uploader"):
        given = set(services[name]["environment"])

        assert "SQS_QUEUE_URL" in given
        assert given - known == set()


def test_every_line_is_a_comment_or_a_variable() -> None:
    for line in (ROOT / ".env.example").read_text().splitlines():
        assert not line or line.startswith("# ") or LINE.fullmatch(line), line


@pytest.mark.parametrize("path", ["cpsite/settings.py", "cpsite/gunicorn.py"])
def test_its_defaults_are_those_of_the_program(path: str) -> None:
    text = (ROOT / path).read_text()
    shown = example()
    compared = set()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not ast.unparse(node.func).startswith("env."):
            continue
        name = str(ast.literal_eval(node.args[0]))
        default = node.args[1] if len(node.args) > 1 else node.keywords[0].value
        value = ast.literal_eval(default)
        # An empty one is replaced in another place.
        if value not in ("", []):
            as_text = ",".join(value) if isinstance(value, list) else str(value)
            assert shown[name].lower() == as_text.lower().removesuffix(".0"), name
            compared.add(name)

    assert len(compared) >= 4


def test_a_database_url_as_it_shows_can_be_read() -> None:
    shown = re.findall(r"postgresql://\S+", (ROOT / ".env.example").read_text())

    assert [dj_database_url.parse(url)["NAME"] for url in shown] == ["name"]
