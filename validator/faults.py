"""The names of the fields at fault in a broken contract, for the audit log.

A client chooses the names of unknown fields, so only names that the contract declares are given.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from rest_framework.exceptions import ErrorDetail, ValidationError

from cpsite.audit.models import FIELDS_LENGTH
from validator.fields import Kind, List, Object

#: Stands for the names that have no room.
_MORE: Final = "…"


def fields_at_fault(exc: Exception, data: type[Object]) -> str:
    """Return the names of the fields that break the contract `data`: `data.field1, data.lines.sku`.

    Of an unknown field it is the object that has it, and of a list's item the list. Empty for any
    other refusal, and for a fault outside of `data`. At most FIELDS_LENGTH characters, with `…` for
    what has no room.
    """
    if not isinstance(exc, ValidationError) or not isinstance(exc.detail, Mapping):
        return ""
    names = dict.fromkeys(_names(exc.detail.get("data", ()), data(), "data"))
    return _joined(list(names))


def _names(detail: Any, kind: Kind, path: str) -> Iterator[str]:
    """Yield the path of each declared field that has an error in DRF's nested `detail`."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            found = _below(kind, str(name), path)
            if found is None:  # an unknown field, or an error of the whole object
                yield path
            else:
                yield from _names(inner, *found)
    elif any(isinstance(error, ErrorDetail) for error in detail):
        yield path
    else:  # a contract's own `validate` may raise a mapping for each item
        for inner in detail:
            item = cast("Kind", kind.child) if isinstance(kind, List) else kind
            yield from _names(inner, item, path)


def _below(kind: Kind, name: str, path: str) -> tuple[Kind, str] | None:
    """Return what an error's name stands for in `kind`, with its path, if the contract knows it."""
    if isinstance(kind, List):
        return cast("Kind", kind.child), path  # the name is a position
    if isinstance(kind, Object) and name in kind.fields:
        return cast("Kind", kind.fields[name]), f"{path}.{name}"
    return None


def _joined(names: list[str]) -> str:
    whole = ", ".join(names)
    while len(whole) > FIELDS_LENGTH:
        names.pop()
        whole = ", ".join([*names, _MORE])
    return whole
