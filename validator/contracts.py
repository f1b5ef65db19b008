"""The contracts that this service takes, from the module that CONTRACT_MODULE names.

A contract is a DRF serializer, so declaration and enforcement cannot differ. What is served follows
from it: paths, OpenAPI, the pages' forms, `manage.py send`, and the description that readers of the
stored messages use.
"""

import ast
import importlib
import inspect
import re
import textwrap
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from rest_framework.exceptions import ValidationError

from cpsite import json_text
from cpsite.message import CONTRACT_NAME
from validator import exceptions
from validator.fields import Kind, List, Object

#: Names of fields: columns in SQL, and parts of a dotted path in answers.
_FIELD_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)
#: What else a table of messages has as a column.
_COLUMNS: Final = frozenset(("message_id", "accepted_at", "client", "contract", "day"))
#: Parts of a serializer that a field would hide (docs/changing-the-contract.md).
_OF_SERIALIZERS: Final = frozenset(("example", "non_field_errors"))


#: The view of the default contract in SQL, whatever its name (docs/querying.md).
MESSAGES: Final = "messages"


class ContractInvalid(ImproperlyConfigured):
    """The contract module cannot be served. The text says where and why."""


class Contract(Object):
    """Derive from it, declare fields, and list the class in CONTRACTS.

    Its docstring says in a sentence what a message is. Its name is the class's in snake case,
    unless an inner `class Meta` has a `name`.
    """


@dataclass(frozen=True, slots=True)
class Served:
    """A contract with its place in the service."""

    data: type[Contract]
    name: str
    is_default: bool

    @property
    def path(self) -> str:
        """The path that takes its messages."""
        return "/" if self.is_default else f"/messages/{self.name}/"

    @property
    def name_in_message(self) -> str:
        """Its name in messages: empty for the default one, whose messages never had one."""
        return "" if self.is_default else self.name

    @property
    def summary(self) -> str:
        """What a message is, in a sentence."""
        return inspect.getdoc(self.data).partition("\n")[0]  # type: ignore[union-attr] # checked

    @property
    def fields(self) -> Mapping[str, Kind]:
        return self.data().fields  # type: ignore[return-value] # checked

    @property
    def example(self) -> dict[str, Any]:
        """A valid `data`, with all fields. Its decimals are Numbers: see `json_text.write`."""
        return self.data().example

    def codes(self) -> set[str]:
        """Return the codes of the errors that a field may have (`FIELD_CODES`)."""
        return self.data().codes()

    def describe(self) -> dict[str, Any]:
        """Return what readers of its messages need to know, as JSON."""
        return {
            "name": self.name,
            "path": self.path,
            "prefix": "" if self.is_default else f"{self.name}/",
            "summary": self.summary,
            **{
                name: found
                for name, found in self.data().describe().items()
                if name in {"validates", "fields"}
            },
        }


def contracts() -> tuple[Served, ...]:
    """Return the contracts, the default one first. Raises ContractInvalid."""
    return _load(settings.CONTRACT_MODULE)


def default() -> Served:
    return contracts()[0]


@cache
def _load(module_name: str) -> tuple[Served, ...]:
    module = _imported(module_name)
    declared = getattr(module, "CONTRACTS", None)
    if not isinstance(declared, list | tuple) or not declared:
        raise ContractInvalid(f"{module_name} has no list CONTRACTS with at least one contract")
    served = tuple(
        Served(_checked_class(kind, module_name), _name_of(kind), is_default=position == 0)
        for position, kind in enumerate(declared)
    )
    for contract in served:
        _check(contract)
        if contract.name == MESSAGES and not contract.is_default:
            raise _wrong(contract.data, None, f"{MESSAGES} is the default contract's view in SQL")
    names = [contract.name for contract in served]
    for name in names:
        if names.count(name) > 1:
            raise ContractInvalid(f"{module_name}: two contracts have the name {name}")
    return served


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as exc:
        # Its last line in that file, or in the file that it imports.
        frames = [
            frame
            for frame in traceback.extract_tb(exc.__traceback__)
            if not frame.filename.startswith("<") and "importlib" not in frame.filename
        ]
        own = [frame for frame in frames if frame.filename.endswith(f"{_path_of(name)}.py")]
        where = f"{own[-1].filename}, line {own[-1].lineno}: " if own else ""
        raise ContractInvalid(f"{where}{name} cannot be imported: {exc}") from exc


def _path_of(module_name: str) -> str:
    return module_name.replace(".", "/")


def _checked_class(kind: Any, module_name: str) -> type[Contract]:
    if not (isinstance(kind, type) and issubclass(kind, Contract)):
        raise ContractInvalid(f"{module_name}: CONTRACTS lists {kind!r}, which is no Contract")
    return kind


def _name_of(kind: type[Contract]) -> str:
    given = getattr(getattr(kind, "Meta", None), "name", None)
    if given is not None and not isinstance(given, str):
        raise _wrong(kind, None, f"the name {given!r} is no text: set Meta.name")
    return given or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()


def _check(contract: Served) -> None:
    kind = contract.data
    if not CONTRACT_NAME.fullmatch(contract.name):
        problem = f"the name {contract.name!r} is not 1 to 30 of a-z, 0-9 and _: set Meta.name"
        raise _wrong(kind, None, problem)
    if contract.name.endswith("_stored"):
        raise _wrong(kind, None, f"{contract.name} is the name of a table in Athena: set Meta.name")
    if not (kind.__doc__ or "").strip() or kind.__doc__ == Contract.__doc__:
        raise _wrong(kind, None, "a docstring must say what a message is")
    _check_object(kind, is_top=True)
    whole = contract.example
    needed = {name: whole[name] for name, field in contract.fields.items() if field.required}
    for what, example in (("all fields", whole), ("the required fields alone", needed)):
        if problem := _problem_of(kind(), example):
            raise _wrong(kind, None, f"the example with {what} is not valid: {problem}")


def _check_object(kind: type[Object], *, is_top: bool) -> None:
    for name, value in vars(kind).items():
        is_slip = (
            isinstance(value, type)
            and issubclass(value, Kind)
            and value.__module__ != kind.__module__
        )
        if is_slip or (isinstance(value, tuple) and any(isinstance(each, Kind) for each in value)):
            raise _wrong(
                kind, name, f"{name} is no field, but almost: look at its brackets and commas"
            )
    declared = kind().get_fields()
    if not declared:
        raise _wrong(kind, None, "it declares no field")
    seen: dict[str, str] = {}
    for name, field in declared.items():
        if not _FIELD_NAME.fullmatch(name):
            raise _wrong(kind, name, f"the name {name!r} has other characters than A-Z a-z 0-9 _ -")
        column = name.lower().replace("-", "_")
        if column in _OF_SERIALIZERS or (is_top and column in _COLUMNS):
            raise _wrong(kind, name, f"the name {name} is taken: choose another")
        if column in seen:
            raise _wrong(kind, name, f"{name} and {seen[column]} would be one column in SQL")
        seen[column] = name
        _check_field(kind, name, field)


def _check_field(kind: type[Object], name: str, field: Any) -> None:
    if not isinstance(field, Kind):
        problem = f"{name} is a {type(field).__name__}, which is not strict"
        raise _wrong(kind, name, f"{problem}: use a field of validator.fields")
    if isinstance(field, List):
        _check_field(kind, name, field.child)
    elif isinstance(field, Object):
        _check_object(type(field), is_top=False)
    elif field.example is None:
        raise _wrong(kind, name, f"{name} has no example")
    elif problem := _problem_of(field, field.example):
        raise _wrong(kind, name, f"the example of {name} is not valid: {problem}")


def _problem_of(field: Any, example: Any) -> str:
    """Return what is wrong with an example, or nothing.

    It is taken as a client would send it. A field with bounds of a wrong kind, or a `validate` that
    fails, raises anything.
    """
    try:
        field.run_validation(json_text.parse(json_text.write(example)))
    except ValidationError as exc:
        (first, *_), *_ = exceptions.body(exc)["errors"].values()
        return str(first["detail"])
    except Exception as exc:  # noqa: BLE001 - whatever it is, it would be a 500 for clients
        return f"{type(exc).__name__}: {exc}"
    return ""


def _wrong(kind: type[Object], field: str | None, problem: str) -> ContractInvalid:
    """Return the error with the line of a field, or of the class."""
    try:
        lines, first = inspect.getsourcelines(kind)
        where = f"{inspect.getsourcefile(kind)}, line {first + _offset(lines, field)}: "
    except (OSError, TypeError, SyntaxError):  # a class that no file holds
        where = ""
    return ContractInvalid(f"{where}{kind.__name__}: {problem}")


def _offset(lines: list[str], field: str | None) -> int:
    """Return in which of a class's lines a field is declared, 0 for the class's own."""
    (declared,) = ast.parse(textwrap.dedent("".join(lines))).body
    for statement in getattr(declared, "body", []):
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        names = {
            # `name = …`, or `vars()["name"] = …`
            getattr(target, "id", None) or getattr(getattr(target, "slice", None), "value", None)
            for target in targets
        }
        if field is not None and field in names:
            return int(statement.lineno) - 1
    return 0
