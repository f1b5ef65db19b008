"""Descriptions of contracts, as `make schema` writes them, with a field of every kind."""

import json

from validator.contracts import contracts

TEXTS = [{"name": f"field{number}", "kind": "text"} for number in (1, 2, 3, 4)]


def contract(name, fields, *, prefix=""):
    return {"name": name, "path": "/", "prefix": prefix, "summary": "", "fields": fields}


def write(directory, *contracts):
    path = directory / "contract.json"
    path.write_text(json.dumps({"contracts": contracts}))
    return path


def of_tests(directory):
    """Write the description of tests/contract.py, whatever contract ships."""
    return write(directory, *(served.describe() for served in contracts()))


MESSAGE = contract("message", TEXTS)
ORDERS = contract(
    "orders",
    [
        {"name": "Order-Id", "kind": "text"},
        {"name": "state", "kind": "choice", "choices": ["open", "closed"]},
        {"name": "count", "kind": "integer", "min_value": 0, "max_value": 1_000},
        {"name": "serial", "kind": "integer"},
        {"name": "amount", "kind": "decimal", "max_digits": 20, "decimal_places": 2},
        {"name": "paid", "kind": "boolean"},
        {"name": "due", "kind": "date_time"},
        {
            "name": "address",
            "kind": "object",
            "fields": [
                {"name": "post-code", "kind": "text"},
                {"name": "floors", "kind": "list", "item": {"kind": "integer"}},
            ],
        },
        {
            "name": "lines",
            "kind": "list",
            "item": {
                "kind": "object",
                "fields": [
                    {"name": "sku", "kind": "text"},
                    {"name": "price", "kind": "decimal", "max_digits": 8, "decimal_places": 2},
                ],
            },
        },
    ],
    prefix="orders/",
)
