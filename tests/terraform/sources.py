"""What the program says of itself, read from its sources: no list here to forget."""

import ast
from collections.abc import Iterator
from pathlib import Path

import botocore.configprovider

ROOT = Path(__file__).resolve().parents[2]


def _calls(path: str) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def variables_read(path: str) -> set[str]:
    """Return the names that a module reads from the environment with environs."""
    return {
        str(node.args[0].value)
        for function, node in _calls(path)
        if function.startswith("env.") and node.args and isinstance(node.args[0], ast.Constant)
    }


def variables_of_boto3() -> set[str]:
    names: set[str] = {"REQUESTS_CA_BUNDLE"}
    for (
        _file,
        variable,
        *_rest,
    ) in botocore.configprovider.BOTOCORE_DEFAUT_SESSION_VARIABLES.values():
        names |= {variable} if isinstance(variable, str) else set(variable or ())
    return names


def constant(path: str, name: str) -> object:
    """Return the value that a module assigns to `name`, where it is a plain one."""
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise LookupError(name)
