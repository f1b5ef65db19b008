"""What pages name is there: targets of make, commands and their options, variables, files."""

import argparse
import ast
import re
import shlex
from functools import cache
from pathlib import PurePosixPath

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from tests.docs.markdown import ROOT, Page, files, page, pages, section
from tests.packaging.test_env_example import example

#: What begins a reference to a file of ours; other paths belong to containers, AWS or the API.
TOP = {path.partition("/")[0] for path in files()}
#: Made by a command, and in no repository.
MADE = re.compile(
    r"(?:var|\.venv[\w-]*|terraform/(?:bootstrap/)?(?:\.terraform|terraform\.tfstate))\b"
)
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|PORT|HOST")
#: What a reader puts in, and what the examples for clients call the service.
EXAMPLES = {"MESSAGE_ID", "CPSITE_URL"}
#: What AWS's tools, Django's commands, Terraform and make read themselves.
OTHERS = re.compile(r"AWS_.*|DJANGO_SUPERUSER_\w+|TF_.*|GITHUB_\w+|COMPOSE_\w+|DOCKER_\w+")


def command_lines(page: Page) -> list[str]:
    """Return the lines of a page's shell blocks, joined where they go on, and its code spans."""
    lines = []
    for fence in page.fences:
        if fence.language in {"sh", "console"}:
            lines += fence.code.replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines] + page.code_spans


# --- make -----------------------------------------------------------------------------------------

TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def targets_in(line: str) -> list[str]:
    found = re.search(r"(?:^|[\s;&|])make((?:\s+[\w=./$-]+)+)", f" {line}")
    words = found[1].split() if found else []
    return [word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)]


@pytest.mark.parametrize("page", pages(), ids=str)
def test_targets_of_make_exist(page):
    named = {target for line in command_lines(page) for target in targets_in(line)}
    assert named <= TARGETS


def test_make_help_lists_every_target():
    listed = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(listed) == TARGETS


def test_targets_are_found_in_commands():
    assert targets_in("API_TOKENS=my-own-token make run") == ["run"]
    assert targets_in("make trace ID=1 TRACE=--verify") == ["trace"]
    assert targets_in("cd somewhere && make no-such-target") == ["no-such-target"]
    assert targets_in("cmake run") == []


# --- manage.py ------------------------------------------------------------------------------------


@cache
def parser_of(name: str) -> argparse.ArgumentParser:
    command = load_command_class(get_commands()[name], name)
    assert isinstance(command, BaseCommand)
    return command.create_parser("manage.py", name)


def commands_in(page: Page) -> list[list[str]]:
    """Return the words after `manage.py` of each command on a page."""
    found = []
    for line in command_lines(page):
        match = re.search(r"manage\.py\s+([^`|;&)]*)", line)
        # What stands in brackets may be left out; what stands behind a bar, too.
        if match and (words := shlex.split(re.sub(r"[\[\]…]", " ", match[1]), comments=True)):
            found.append([word.strip(",\"'") for word in words])
    return found


def problem_of(words: list[str]) -> str | None:
    """Return what is wrong with a command, or None."""
    name, *rest = words
    if name not in get_commands():
        return f"no command {name}"
    parser = parser_of(name)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and rest:
            if rest[0] not in action.choices:
                return f"no {name} {rest[0]}"
            options = {
                *action.choices[rest[0]]._option_string_actions,
                *parser._option_string_actions,
            }
            return _unknown_option(rest[1:], options)
    return _unknown_option(rest, set(parser._option_string_actions))


def _unknown_option(words: list[str], options: set[str]) -> str | None:
    unknown = [
        option
        for word in words
        if (option := word.partition("=")[0]).startswith("--") and option not in options
    ]
    return f"no option {unknown[0]}" if unknown else None


@pytest.mark.parametrize("page", pages(), ids=str)
def test_commands_exist_with_their_options(page):
    problems = {" ".join(words): problem_of(words) for words in commands_in(page)}
    assert not {line: problem for line, problem in problems.items() if problem is not None}


def test_a_wrong_command_would_be_found():
    assert problem_of(["dlq", "redrive", "--all", "--dry-run"]) is None
    assert problem_of(["prune_audit", "--older-than", "90d"]) is None
    assert problem_of(["no_such_command"]) == "no command no_such_command"
    assert problem_of(["dlq", "resend"]) == "no dlq resend"
    assert problem_of(["dlq", "list", "--dry-run"]) == "no option --dry-run"
    assert problem_of(["run_uploader", "--concurency", "3"]) == "no option --concurency"
    assert ["run_uploader"] in commands_in(page("README.md"))
    assert ["dlq", "list"] in commands_in(page("docs/operations.md"))


OURS = [
    name
    for name, app in get_commands().items()
    if app.split(".")[0] in {"cpsite", "validator", "uploader"}
]


@pytest.mark.parametrize("name", OURS)
def test_our_commands_stand_in_operations_with_their_exit_codes(name):
    operations = page("docs/operations.md")
    assert re.search(
        rf"^\| `python manage\.py {name}\b[^|]*` \| \w",
        section(operations, "Commands"),
        re.MULTILINE,
    )
    assert name in re.findall(r"^\| `(\w+)", section(operations, "Exit codes"), re.MULTILINE)


# --- variables ------------------------------------------------------------------------------------

CONFIGURATION = ("cpsite/settings.py", "cpsite/gunicorn.py")


@cache
def words_of_the_code() -> frozenset[str]:
    """Return every word in capitals that is in a file which is no page."""
    words: set[str] = set()
    for path in files():
        if not path.endswith((".md", ".png", ".svg", ".txt")) and not path.startswith(
            "tests/docs/"
        ):
            words.update(re.findall(r"[A-Z][A-Z0-9_]+", (ROOT / path).read_text(errors="ignore")))
    return frozenset(words)


@pytest.mark.parametrize("page", pages(), ids=str)
def test_variables_exist(page):
    spans = " ".join(
        page.code_spans + [fence.code for fence in page.fences if fence.language == "sh"]
    )
    named = {name for name in re.findall(r"[A-Z][A-Z0-9_]*", spans) if VARIABLE.fullmatch(name)}
    missing = named - words_of_the_code() - EXAMPLES
    assert not {name for name in missing if not OTHERS.fullmatch(name)}


@cache
def readers() -> dict[str, object]:
    """Return the environment variables that the configuration reads, with their defaults."""
    found: dict[str, object] = {}
    for path in CONFIGURATION:
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name = _literal(node.args[0]) if node.args else None
                if ast.unparse(node.func.value) == "env" and isinstance(name, str):
                    default = [
                        *node.args[1:],
                        *(k.value for k in node.keywords if k.arg == "default"),
                    ]
                    found[name] = _literal(default[0]) if default else None
    return found


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ...


def table(heading: str) -> dict[str, str]:
    """Return the variables under a heading of the page, each with the text of its default."""
    text = section(page("docs/configuration.md"), heading)
    rows = re.findall(r"^\| (.+?) \| (.+?) \| .+ \|$", text, re.MULTILINE)
    found: dict[str, str] = {}
    for names, defaults in rows:
        variables = re.findall(r"`([A-Z_0-9]+)`", names)
        values = re.split(r",\s", defaults)
        if len(values) != len(variables):
            values = [defaults] * len(variables)
        found |= dict(zip(variables, values, strict=True))
    return found


SERVICES = table("Services")
OTHER_VARIABLES = table("Commands") | table("One machine")


def test_the_page_has_every_variable_of_the_services():
    assert SERVICES.keys() == readers().keys()


def test_the_page_has_every_other_variable_of_the_example():
    assert SERVICES.keys() | OTHER_VARIABLES.keys() == example().keys()
    assert not SERVICES.keys() & OTHER_VARIABLES.keys()


@pytest.mark.parametrize("name", [name for name in OTHER_VARIABLES if example()[name]])
def test_the_page_has_the_other_defaults_of_the_example(name):
    assert OTHER_VARIABLES[name] == f"`{example()[name]}`"


def defaults_of(name: str) -> set[str]:
    """Return a variable's default, and the one that gunicorn's configuration has instead."""
    source = (ROOT / "cpsite/gunicorn.py").read_text()
    instead = re.findall(rf'setdefault\("{name}", "([^"]*)"\)', source)
    return {_as_shown(readers()[name]), *instead}


@pytest.mark.parametrize(
    "name", sorted(name for name, value in readers().items() if value not in ("", []))
)
def test_the_page_has_the_defaults_of_the_services(name):
    shown = set(re.findall(r"`([^`]*)`", SERVICES[name]))
    assert shown
    assert shown <= defaults_of(name)


def _as_shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float) and default.is_integer():
        return str(int(default))
    return ",".join(default) if isinstance(default, list) else str(default)


# --- files ----------------------------------------------------------------------------------------

PATH = re.compile(r"[\w.*-]+(?:/[\w.*-]+)*/?")


def paths_in(page: Page) -> set[str]:
    """Return the paths of this repository that a page names in code, from its root."""
    spans = {span for span in page.code_spans if "/" in span and PATH.fullmatch(span)}
    ours = {span for span in spans if span.partition("/")[0] in TOP and not MADE.match(span)}
    return ours | set(re.findall(r"\bdocs/adr/\d{4}", page.path.read_text()))


def is_there(path: str) -> bool:
    pattern = path.rstrip("/")
    return any(
        PurePosixPath(name).match(pattern) or name.startswith((f"{pattern}/", f"{pattern}-"))
        for name in files()
    )


@pytest.mark.parametrize("page", pages(), ids=str)
def test_files_exist(page):
    assert not {path for path in paths_in(page) if not is_there(path)}


def test_a_missing_file_would_be_found():
    assert "cpsite/message.py" in paths_in(page("docs/architecture.md"))
    assert "docs/adr/0007" in paths_in(page("docs/architecture.md"))
    assert is_there("docs/adr/0007")
    assert is_there("docs/adr/")
    assert not is_there("docs/adr/9999")
    assert not is_there("cpsite/no_such_module.py")
