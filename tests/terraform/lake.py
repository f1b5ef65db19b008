"""Stored objects as Athena would read them, in DuckDB: what SQL of ours gives can be looked at.

Athena itself cannot be had here. What stands in for it is small and says what it takes from where:
the table is the one that Terraform plans, its rows are read as the OpenX JSON SerDe reads them
(AWS: "OpenX JSON SerDe"; Trino's `OpenXJsonDeserializer`), and sqlglot translates Athena's SQL.
"""

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp


class Unreadable(Exception):
    """A value that the type of its column does not take."""


class Lake:
    """Tables by what Terraform says of them, over objects by key."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self._objects = objects
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")

    def add_table(self, table: dict[str, Any]) -> None:
        """Make a table as planned, with the rows of the objects that its days lead to."""
        (storage,) = table["storage_descriptor"]
        types = {each["name"]: _hive(each["type"]) for each in storage["columns"]}
        types |= {each["name"]: _hive(each["type"]) for each in table["partition_keys"]}
        columns = ", ".join(f'"{name}" {kind.sql("duckdb")}' for name, kind in types.items())
        columns += ', "$path" VARCHAR'
        self._connection.execute(f'CREATE TABLE "{table["name"]}" ({columns})')
        (serde,) = storage["ser_de_info"]
        template = table["parameters"]["storage.location.template"]
        for day, key, line in self._lines(template):
            row = _row(line, types, serde["parameters"]) | {"day": day, "$path": key}
            marks = ", ".join("?" for _ in row)
            self._connection.execute(
                f'INSERT INTO "{table["name"]}" VALUES ({marks})', list(row.values())
            )

    def run(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of one statement in Athena's SQL."""
        (statement,) = sqlglot.parse(query, dialect="athena")
        assert statement is not None
        ran = self._connection.execute(statement.sql("duckdb"))
        names = [column[0] for column in ran.description]
        return [dict(zip(names, row, strict=True)) for row in ran.fetchall()]

    def types(self, name: str) -> dict[str, str]:
        """Return the types of a table's or view's columns, in DuckDB's words."""
        return {row["column_name"]: row["column_type"] for row in self.run(f'DESCRIBE "{name}"')}

    def _lines(self, template: str) -> Iterator[tuple[str, str, str]]:
        """Return day, key and each line of the objects below a day's location."""
        location = re.sub("^s3://[^/]+/", "", template)
        before, _, after = location.partition("${day}")
        for key, content in self._objects.items():
            found = re.fullmatch(
                rf"{re.escape(before)}(\d{{4}}/\d\d/\d\d){re.escape(after)}[^/]+", key
            )
            if found:
                # The suffix alone says that it is compressed.
                text = gzip.decompress(content) if key.endswith(".gz") else content
                # An empty line at the end is no record.
                yield from ((found[1], key, line) for line in text.decode().split("\n") if line)


def _hive(kind: str) -> exp.DataType:
    return exp.DataType.build(kind, dialect="hive")


def _row(line: str, types: dict[str, exp.DataType], serde: dict[str, str]) -> dict[str, Any]:
    """Return a row: NULL for a column that takes no such value, and for all if it is no JSON."""
    assert serde["ignore.malformed.json"] == serde["use.null.for.invalid.data"] == "TRUE"
    keys = {
        name.removeprefix("mapping."): key
        for name, key in serde.items()
        if name.startswith("mapping.")
    }
    try:
        # A number stays the text that it is.
        read = json.loads(line, parse_float=_Number, parse_int=_Number)
    except ValueError:
        read = None
    row: dict[str, Any] = {}
    for name, kind in types.items():
        try:
            value = _members(read).get(keys.get(name, name))
            row[name] = _value(value, kind, keys)
        except Unreadable:
            row[name] = None
    return row


class _Number(str):
    """The text of a number."""

    __slots__ = ()


def _members(value: Any) -> dict[str, Any]:
    """Return the members of an object by their keys in lower case, as `case.insensitive` reads."""
    return {key.lower(): member for key, member in (value or {}).items()}


def _value(value: Any, kind: exp.DataType, keys: dict[str, str]) -> Any:
    if value is None:
        return None
    if kind.is_type("struct"):
        if not isinstance(value, dict):
            raise Unreadable
        members = _members(value)
        return {
            each.name: _value(members.get(keys.get(each.name, each.name)), each.args["kind"], keys)
            for each in kind.expressions
        }
    if kind.is_type("array"):
        # One value is a list of it.
        values: Iterable[Any] = value if isinstance(value, list) else [value]
        return [_value(each, kind.expressions[0], keys) for each in values]
    assert kind.is_type("text"), kind
    if isinstance(value, str):
        return str(value)
    return json.dumps(value)
