import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from cpsite.devstack.contract_columns import (
    UnknownContracts,
    parse_line,
    read_contracts,
)
from tests.cpsite.devstack import described


@pytest.fixture
def column(tmp_path):
    """A function that returns the only column of a contract with one field."""

    def column(**field):
        path = described.write(tmp_path, described.contract("one", [{"name": "x", **field}]))
        (contract,) = read_contracts(path)
        return contract.columns[0]

    return column


def read(text):
    """A value as a message's line has it."""
    return parse_line(text.encode())


def test_a_description_of_the_four_texts(tmp_path):
    default = read_contracts(described.of_tests(tmp_path))[0]
    assert default.prefix == ""
    assert [(column.name, column.type) for column in default.columns] == [
        (f"field{number}", "VARCHAR") for number in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize(
    ("field", "type_"),
    [
        ({"kind": "text"}, "VARCHAR"),
        ({"kind": "choice", "choices": ["a"]}, "VARCHAR"),
        ({"kind": "integer"}, "DECIMAL(38,0)"),
        ({"kind": "integer", "min_value": 0}, "DECIMAL(38,0)"),
        ({"kind": "integer", "min_value": -(2**63), "max_value": 2**63 - 1}, "BIGINT"),
        ({"kind": "integer", "min_value": 0, "max_value": 2**63}, "DECIMAL(38,0)"),
        ({"kind": "decimal", "max_digits": 12, "decimal_places": 2}, "DECIMAL(12,2)"),
        ({"kind": "decimal", "max_digits": 50, "decimal_places": 40}, "DECIMAL(38,38)"),
        ({"kind": "boolean"}, "BOOLEAN"),
        ({"kind": "date_time"}, "TIMESTAMPTZ"),
        (
            {
                "kind": "object",
                "fields": [
                    {"name": "Post-Code", "kind": "text"},
                    {"name": "tags", "kind": "list", "item": {"kind": "text"}},
                ],
            },
            'STRUCT("post_code" VARCHAR, "tags" VARCHAR[])',
        ),
        ({"kind": "list", "item": {"kind": "boolean"}}, "BOOLEAN[]"),
    ],
)
def test_each_kind_has_its_type(column, field, type_):
    assert column(**field).type == type_


SMALL = {"kind": "integer", "min_value": 0, "max_value": 9}
BIG = {"kind": "integer"}
AMOUNT = {"kind": "decimal", "max_digits": 5, "decimal_places": 2}


@pytest.mark.parametrize(
    ("field", "text", "fits"),
    [
        ({"kind": "text"}, '"7"', "7"),
        ({"kind": "text"}, "7", None),
        ({"kind": "choice", "choices": ["a"]}, '"of an older contract"', "of an older contract"),
        ({"kind": "choice", "choices": ["a"]}, "true", None),
        (SMALL, "12", 12),  # Within the column, though not within the contract of today.
        (SMALL, "9223372036854775807", 2**63 - 1),
        (SMALL, "9223372036854775808", None),
        (SMALL, "1.5", None),
        (SMALL, "1.0", None),
        (SMALL, '"1"', None),
        (SMALL, "true", None),
        (BIG, "9" * 38, 10**38 - 1),
        (BIG, "-" + "9" * 38, 1 - 10**38),
        (BIG, "1" + "0" * 38, None),
        (BIG, "9" * 5_000, None),
        (AMOUNT, "1.10", Decimal("1.10")),
        (AMOUNT, "1.100", Decimal("1.10")),
        (AMOUNT, "7", Decimal("7.00")),
        (AMOUNT, "1e2", Decimal("100.00")),
        (AMOUNT, "999.99", Decimal("999.99")),
        (AMOUNT, "1000", None),
        (AMOUNT, "1.005", None),
        (AMOUNT, "1e400", None),
        (AMOUNT, "1e99999999999999999999", None),
        (AMOUNT, "NaN", None),
        (AMOUNT, '"1.10"', None),
        (AMOUNT, "true", None),
        ({"kind": "boolean"}, "false", False),
        ({"kind": "boolean"}, "0", None),
        (
            {"kind": "date_time"},
            '"2026-11-23T23:59:59.5+01:00"',
            datetime(2026, 11, 23, 22, 59, 59, 500_000, UTC),
        ),
        (
            {"kind": "date_time"},
            '"2026-11-23T23:59:59Z"',
            datetime(2026, 11, 23, 23, 59, 59, 0, UTC),
        ),
        ({"kind": "date_time"}, '"2026-11-23T23:59:59"', None),
        ({"kind": "date_time"}, '"0001-01-01T00:00:00+14:00"', None),
        ({"kind": "date_time"}, "20261123", None),
        (
            {"kind": "object", "fields": [{"name": "A-b", **SMALL}]},
            '{"A-b": 1, "more": 2}',
            {"a_b": 1},
        ),
        ({"kind": "object", "fields": [{"name": "A-b", **SMALL}]}, '{"A-b": "x"}', {"a_b": None}),
        ({"kind": "object", "fields": [{"name": "A-b", **SMALL}]}, '"x"', None),
        ({"kind": "list", "item": SMALL}, "[1, null, 1.5]", [1, None, None]),
        ({"kind": "list", "item": SMALL}, "{}", None),
    ],
)
def test_a_value_that_does_not_fit_its_column_is_none(column, field, text, fits):
    found = column(**field).fit(read(text))
    assert found == fits
    assert type(found) is type(fits)


def test_what_is_missing_is_none(tmp_path):
    path = described.write(tmp_path, described.ORDERS)
    assert set(read_contracts(path)[0].row({}).values()) == {None}


@pytest.mark.parametrize(
    "text", [None, "not JSON", "[]", '{"contracts": [{"name": "x"}]}', '{"contracts": 5}']
)
def test_a_description_that_cannot_be_read_names_the_file(tmp_path, text):
    path = tmp_path / "contract.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UnknownContracts, match=r"contract\.json does not describe the contracts"):
        read_contracts(path)


def test_an_unknown_kind_is_named(tmp_path):
    path = tmp_path / "contract.json"
    fields = [{"name": "x", "kind": "colour"}]
    path.write_text(json.dumps({"contracts": [described.contract("one", fields)]}))
    with pytest.raises(UnknownContracts, match="colour"):
        read_contracts(path)
