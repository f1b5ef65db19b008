"""The contracts as tables: which columns a contract's messages have, and which values fit them.

`terraform/contract.json` describes the contracts; `make schema` writes it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from pathlib import Path
from typing import Any, Final

from cpsite.devstack.configuration import ROOT

DESCRIPTION: Final = ROOT / "terraform" / "contract.json"
#: Most digits of a DECIMAL, in DuckDB as in Athena.
MAX_DIGITS: Final = 38

#: Returns a value from JSON as its column takes it: None for one that does not fit, whatever it is.
Fit = Callable[[Any], Any]


class UnknownContracts(Exception):
    """There is no description of contracts that we can read. The text is what to show."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A field as a column: `type` is DuckDB's, and `name` is `field` as SQL spells it."""

    field: str
    name: str
    type: str
    fit: Fit


@dataclass(frozen=True, kw_only=True)
class Contract:
    """A contract as a table. Its objects are under `prefix`, below S3_PREFIX."""

    name: str
    prefix: str
    columns: tuple[Column, ...]

    def row(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns of a message's `data`; None for what is missing or does not fit."""
        return {column.name: column.fit(data.get(column.field)) for column in self.columns}


def read_contracts(path: Path = DESCRIPTION) -> list[Contract]:
    """Return the described contracts, the default first. Raises UnknownContracts."""
    try:
        described = json.loads(path.read_text())["contracts"]
        return [
            Contract(
                name=contract["name"],
                prefix=contract["prefix"],
                columns=tuple(map(_column, contract["fields"])),
            )
            for contract in described
        ]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise UnknownContracts(
            f"{path} does not describe the contracts ({exc!r}). `make schema` writes it."
        ) from exc


def parse_line(line: bytes) -> Any:
    """Read a line of JSON. Numbers keep their digits; those that no column can hold are None.

    Raises ValueError.
    """
    return json.loads(line, parse_int=_integer, parse_float=_decimal)


def moment(value: object) -> datetime | None:
    """Return a text with date, time and offset as a moment in UTC, to the microsecond."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _integer(text: str) -> int | None:
    return int(text) if len(text) <= MAX_DIGITS + 1 else None


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except DecimalException:
        return None  # Its exponent has some 20 digits.


def _column(described: Mapping[str, Any]) -> Column:
    field = described["name"]
    type_, fit = _KINDS[described["kind"]](described)
    return Column(field=field, name=field.replace("-", "_").lower(), type=type_, fit=fit)


def _text(_described: Mapping[str, Any]) -> tuple[str, Fit]:
    return "VARCHAR", lambda value: value if isinstance(value, str) else None


def _boolean(_described: Mapping[str, Any]) -> tuple[str, Fit]:
    return "BOOLEAN", lambda value: value if isinstance(value, bool) else None


def _date_time(_described: Mapping[str, Any]) -> tuple[str, Fit]:
    return "TIMESTAMPTZ", moment


def _whole_number(described: Mapping[str, Any]) -> tuple[str, Fit]:
    bounds = described.get("min_value"), described.get("max_value")
    is_small = all(bound is not None and -(2**63) <= bound < 2**63 for bound in bounds)
    least, most = (-(2**63), 2**63 - 1) if is_small else (1 - 10**MAX_DIGITS, 10**MAX_DIGITS - 1)

    def fit(value: Any) -> int | None:
        # A bool is an int to Python.
        return value if type(value) is int and least <= value <= most else None

    return "BIGINT" if is_small else f"DECIMAL({MAX_DIGITS},0)", fit


def _fixed_point(described: Mapping[str, Any]) -> tuple[str, Fit]:
    digits = min(described["max_digits"], MAX_DIGITS)
    places = min(described["decimal_places"], digits)
    last_place = Decimal(1).scaleb(-places)
    # No digit is rounded away, and there are no more than the column has.
    exact = Context(prec=digits, traps=[Inexact, InvalidOperation])

    def fit(value: Any) -> Decimal | None:
        if type(value) is not int and not isinstance(value, Decimal):
            return None
        try:
            return exact.quantize(Decimal(value), last_place)
        except DecimalException:
            return None

    return f"DECIMAL({digits},{places})", fit


def _object(described: Mapping[str, Any]) -> tuple[str, Fit]:
    columns = tuple(map(_column, described["fields"]))

    def fit(value: Any) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            return None
        return {column.name: column.fit(value.get(column.field)) for column in columns}

    return f"STRUCT({declaration(columns)})", fit


def _list(described: Mapping[str, Any]) -> tuple[str, Fit]:
    type_, fit_item = _KINDS[described["item"]["kind"]](described["item"])

    def fit(value: Any) -> list[Any] | None:
        return [fit_item(item) for item in value] if isinstance(value, list) else None

    return f"{type_}[]", fit


def declaration(columns: tuple[Column, ...]) -> str:
    """Return columns as DuckDB declares them: `"amount" DECIMAL(12,2), "note" VARCHAR`."""
    return ", ".join(f'"{column.name}" {column.type}' for column in columns)


_KINDS: Final[Mapping[str, Callable[[Mapping[str, Any]], tuple[str, Fit]]]] = {
    "text": _text,
    "choice": _text,
    "integer": _whole_number,
    "decimal": _fixed_point,
    "boolean": _boolean,
    "date_time": _date_time,
    "object": _object,
    "list": _list,
}
