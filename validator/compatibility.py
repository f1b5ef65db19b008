"""Compares contracts with earlier ones: what was accepted, and would be refused now.

Both are descriptions, as `manage.py contract` prints them.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

Description = Mapping[str, Any]

#: Bounds that refuse more when they are lower, and when they are higher.
_UPPER: Final = ("max_length", "max_value", "decimal_places")
_LOWER: Final = ("min_length", "min_value")


def refused_now(before: Description, now: Description) -> list[str]:
    """Return a line for each thing that the contracts before accepted and those now refuse."""
    contracts = {contract["name"]: contract for contract in now["contracts"]}
    return [line for contract in before["contracts"] for line in _of_contract(contract, contracts)]


def _of_contract(before: Description, contracts: Mapping[str, Description]) -> Iterator[str]:
    now = contracts.get(before["name"])
    if now is None:
        yield f"{before['name']}: there is no such contract any more"
        return
    if now["path"] != before["path"]:
        yield f"{before['name']}: its path was {before['path']} and is {now['path']}"
    yield from _of_object(before, now, before["name"], ": ")


def _of_object(
    before: Description, now: Description, name: str, separator: str = "."
) -> Iterator[str]:
    if now.get("validates") and not before.get("validates"):
        yield f"{name} has checks of its own (validate), which may refuse more"
    yield from _of_fields(before["fields"], now["fields"], f"{name}{separator}")


def _of_fields(
    before: Sequence[Description], now: Sequence[Description], path: str
) -> Iterator[str]:
    known = {field["name"]: field for field in now}
    for field in before:
        name = f"{path}{field['name']}"
        if field["name"] not in known:
            yield f"{name} is not known any more"
        else:
            yield from _of_field(field, known[field["name"]], name)
    for field in now:
        if field["required"] and field["name"] not in {each["name"] for each in before}:
            yield f"{path}{field['name']} is new and required"


def _of_field(before: Description, now: Description, name: str) -> Iterator[str]:
    if now["required"] and not before["required"]:
        yield f"{name} is required, and was optional"
    if before["null"] and not now["null"]:
        yield f"{name} may not be null any more"
    yield from _of_value(before, now, name)


def _of_value(before: Description, now: Description, name: str) -> Iterator[str]:
    kinds = before["kind"], now["kind"]
    if kinds[0] != kinds[1] and kinds not in _WIDER:
        yield f"{name} was of the kind {kinds[0]} and is of the kind {kinds[1]}"
        return
    yield from _bounds(before, now, name)
    if now.get("pattern") not in {None, before.get("pattern")}:
        yield f"{name} has another pattern, which may refuse more"
    if kinds[1] == "choice" and (gone := [c for c in before["choices"] if c not in now["choices"]]):
        yield f"{name} may not be {', '.join(gone)} any more"
    if kinds == ("object", "object"):
        yield from _of_object(before, now, name)
    if kinds == ("list", "list"):
        yield from _of_field(before["item"], now["item"], f"{name}[]")


#: A kind whose values all are values of another.
_WIDER: Final = {("choice", "text"), ("date_time", "text")}


def _bounds(before: Description, now: Description, name: str) -> Iterator[str]:
    for bound in _UPPER:
        if _is_tighter(before.get(bound), now.get(bound), is_upper=True):
            yield f"{name}: {bound} is {now[bound]}, and was {before.get(bound, 'not set')}"
    for bound in _LOWER:
        if _is_tighter(before.get(bound), now.get(bound), is_upper=False):
            yield f"{name}: {bound} is {now[bound]}, and was {before.get(bound, 'not set')}"
    if now["kind"] == "decimal":
        # More places at the cost of digits before the point would refuse large numbers.
        was, are = (each["max_digits"] - each["decimal_places"] for each in (before, now))
        if now["max_digits"] < before["max_digits"] or are < was:
            yield (
                f"{name}: {now['max_digits']} digits with {now['decimal_places']} places, and was "
                f"{before['max_digits']} with {before['decimal_places']}"
            )


def _is_tighter(before: object, now: object, *, is_upper: bool) -> bool:
    if now is None:
        return False
    if before is None:
        return True
    was, bound = Decimal(str(before)), Decimal(str(now))
    return bound < was if is_upper else bound > was
