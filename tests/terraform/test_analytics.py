"""The SQL of the Athena module and of docs/querying.md: parsed, and run where it can be."""

import datetime as dt
import gzip
import json
import os
import random
import re
import string
import uuid
from decimal import Decimal
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from cpsite.message import Message
from tests import factories
from tests.docs.markdown import ROOT, Page
from tests.terraform import conftest
from tests.terraform.lake import Lake
from tests.terraform.test_iam import statements_of
from uploader.layouts import COMPRESSION_LEVEL, Batch, Part
from uploader.object_keys import object_key

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def planned() -> dict[str, dict[str, Any]]:
    """Tables and queries of a description with every kind of field, by address in the module."""
    if not os.environ.get("TERRAFORM"):
        pytest.skip("`make terraform-check` runs these: TERRAFORM is not set")
    initialised = conftest._terraform("init", "-backend=false", "-input=false", "-no-color")
    assert initialised.returncode == 0, initialised.stderr
    document = conftest._run_tests("prod", "analytics", "test_plan")
    if isinstance(document, str):
        conftest._unusable(document)
    assert isinstance(document, dict)
    return {
        change["address"].removeprefix("module.analytics[0]."): change["change"]["after"]
        for change in document["resource_changes"]
        if change["address"].startswith("module.analytics[0].")
    }


def queries(planned: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {
        each["name"]: each["query"]
        for address, each in planned.items()
        if address.startswith("aws_athena_named_query.")
    }


def examples() -> list[str]:
    """Return the SQL that docs/querying.md shows for AWS."""
    text = (ROOT / "docs/querying.md").read_text()
    line = text[: text.index("\n## In AWS")].count("\n")
    following = text.find("\n## ", text.index("\n## In AWS") + 1)
    last = text[: following if following > 0 else len(text)].count("\n")
    fences = Page(ROOT / "docs/querying.md").fences
    return [each.code for each in fences if each.language == "sql" and line < each.line <= last]


def lake(planned: dict[str, dict[str, Any]], objects: dict[str, bytes]) -> Lake:
    """Return the tables with these objects, and the views that the saved queries make."""
    made = Lake(objects)
    for address, each in planned.items():
        if address.startswith("aws_glue_catalog_table."):
            made.add_table(each)
    for name, query in queries(planned).items():
        if name.startswith("create view"):
            made.run(query)
    return made


def line(data: str, *, message_id: uuid.UUID | None = None, contract: str = "order") -> bytes:
    """Return a stored message of another contract, with this JSON as its data."""
    return (
        f'{{"message_id":"{message_id or uuid.uuid4()}","accepted_at":"{NOON.isoformat()}",'
        f'"client":"alice","contract":"{contract}","data":{data}}}'
    ).encode()


def orders(*lines: bytes, day: str = "2026/11/23") -> dict[str, bytes]:
    """Return objects of the contract `order`: each line alone."""
    return {f"messages/order/{day}/{number}.json": content for number, content in enumerate(lines)}


class Delivery:
    def __init__(self, message: Message) -> None:
        self.body = message.encode().encode()


ORDER = """{
 "order-id": "A-1", "Count": 3, "serial": 12345678901234567890123, "half": 7,
 "wide": 9223372036854775808, "amount": 12.10,
 "rate": 0.12345678901234567890123456789012345678, "paid": true,
 "placed": "2026-11-23T01:30:00.123456+02:00", "status": "open",
 "address": {"street": "Main", "zip-code": "01234", "geo": {"lat": 1.5}},
 "tags": ["a", "b"], "lines": [{"sku": "x", "quantity": 2, "at": "2026-11-23T10:00:00Z"}],
 "matrix": [[1, 2], []]
}""".replace("\n", "")


def test_each_saved_query_is_athenas_sql(planned: dict[str, dict[str, Any]]) -> None:
    tables = {
        each["name"] for address, each in planned.items() if "aws_glue_catalog_table." in address
    }
    found = queries(planned)

    assert set(found) == {
        *("create view messages", "create view order", "newest messages", "newest order")
    }
    for name, query in found.items():
        statement = sqlglot.parse_one(query, dialect="athena")
        assert isinstance(statement, exp.Create if "create" in name else exp.Select)
        read = {table.name for table in statement.find_all(exp.Table)}
        assert read <= tables | {"messages", "order"}


def test_a_view_has_a_typed_column_for_each_field(planned: dict[str, dict[str, Any]]) -> None:
    envelope = {
        "message_id": "VARCHAR",
        "accepted_at": "TIMESTAMP",
        "client": "VARCHAR",
        "day": "VARCHAR",
    }
    made = lake(planned, {})

    assert made.types("messages") == envelope | {f"field{n}": "VARCHAR" for n in range(1, 5)}
    assert made.types("order") == envelope | {
        "order_id": "VARCHAR",
        "count": "BIGINT",
        "serial": "DECIMAL(38,0)",
        "half": "DECIMAL(38,0)",
        "wide": "DECIMAL(38,0)",
        "amount": "DECIMAL(10,2)",
        "rate": "DECIMAL(38,38)",
        "paid": "BOOLEAN",
        "placed": "TIMESTAMP",
        "status": "VARCHAR",
        "address": "STRUCT(street VARCHAR, zip_code VARCHAR, geo STRUCT(lat DECIMAL(9,6)))",
        "tags": "VARCHAR[]",
        "lines": 'STRUCT(sku VARCHAR, quantity BIGINT, "at" VARCHAR)[]',
        "matrix": "DECIMAL(38,0)[][]",
    }


def test_every_kind_of_value_is_what_was_sent(planned: dict[str, dict[str, Any]]) -> None:
    (row,) = lake(planned, orders(line(ORDER))).run('SELECT * FROM "order"')

    del row["message_id"]
    assert row == {
        "accepted_at": NOON.replace(tzinfo=None),
        "client": "alice",
        "day": "2026/11/23",
        "order_id": "A-1",
        "count": 3,
        "serial": Decimal(12345678901234567890123),
        "half": Decimal(7),
        "wide": Decimal(9223372036854775808),
        "amount": Decimal("12.10"),
        "rate": Decimal("0.12345678901234567890123456789012345678"),
        "paid": True,
        "placed": dt.datetime(2026, 11, 22, 23, 30, 0, 123456),  # noqa: DTZ001 - UTC
        "status": "open",
        "address": {"street": "Main", "zip_code": "01234", "geo": {"lat": Decimal("1.500000")}},
        "tags": ["a", "b"],
        "lines": [{"sku": "x", "quantity": 2, "at": "2026-11-23T10:00:00Z"}],
        "matrix": [[Decimal(1), Decimal(2)], []],
    }


WRONG = {
    # Not 1.5: DuckDB makes an integer of it, and Trino does not.
    "Count": ['"three"', "99999999999999999999", "{}", "[1]"],
    "serial": ['"x"', "1" * 39],
    "amount": ['"dear"', "123456789.10", "true"],
    "paid": ['"perhaps"', "[]", "2.5"],
    "placed": ['"yesterday"', "5", "{}"],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in WRONG.items() for value in values]
)
def test_a_value_that_does_not_fit_is_null_and_ends_nothing(
    planned: dict[str, dict[str, Any]], field: str, value: str
) -> None:
    older = json.loads(ORDER) | {field: "@"}
    made = lake(planned, orders(line(json.dumps(older).replace('"@"', value)), line(ORDER)))

    rows = made.run(f'SELECT order_id, "{field.lower()}" AS given FROM "order"')

    assert [row["order_id"] for row in rows] == ["A-1", "A-1"]
    assert sorted(row["given"] is None for row in rows) == [False, True]
    # The table has the text, for who must know.
    stored = made.run(f'SELECT data."{field.lower()}" AS given FROM order_stored')
    assert all(row["given"] is not None for row in stored)


def test_a_nested_value_that_does_not_fit_ends_nothing(planned: dict[str, dict[str, Any]]) -> None:
    """In DuckDB it alone is NULL. Trino, so Athena, makes NULL of the whole object or list."""
    older = ORDER.replace('"quantity": 2', '"quantity": "two"').replace("[1, 2]", '["x", 2]')
    rows = lake(planned, orders(line(older))).run('SELECT order_id, lines, matrix FROM "order"')

    assert rows == [
        {
            "order_id": "A-1",
            "lines": [{"sku": "x", "quantity": None, "at": "2026-11-23T10:00:00Z"}],
            "matrix": [[None, Decimal(2)], []],
        }
    ]


@pytest.mark.parametrize("address", ['"Main Street 1"', "5", "true"])
def test_a_text_where_an_object_is_by_now_costs_its_own_row_alone(
    planned: dict[str, dict[str, Any]], address: str
) -> None:
    older = json.dumps(json.loads(ORDER) | {"address": "@"}).replace('"@"', address)
    rows = lake(planned, orders(line(older), line(ORDER))).run(
        'SELECT client, address FROM "order"'
    )

    assert [row["client"] for row in rows] == ["alice", "alice"]
    assert sorted(row["address"] is None for row in rows) == [False, True]


def test_fields_that_are_left_out_or_null_are_null(planned: dict[str, dict[str, Any]]) -> None:
    rows = lake(planned, orders(line("{}"), line('{"address": null, "paid": null}'))).run(
        'SELECT address, paid, tags, amount FROM "order"'
    )

    assert rows == [dict.fromkeys(("address", "paid", "tags", "amount"))] * 2


def test_what_is_no_message_is_left_out(planned: dict[str, dict[str, Any]]) -> None:
    made = lake(planned, orders(b'{"message_id":', b"", b"{}", b"\n", line(ORDER)))

    assert len(made.run('SELECT * FROM "order"')) == 1


def test_both_layouts_are_read_and_each_message_once(planned: dict[str, dict[str, Any]]) -> None:
    messages = [factories.message(message_id=uuid.UUID(int=n)) for n in range(3)]
    batch = Batch()
    for each in messages:
        batch.add(Part(Delivery(each), each))
    key, content = batch.encode()
    # As after a death between storing a batch and deleting its messages, and another layout then.
    objects = {key: content, object_key(messages[0]): messages[0].encode().encode()}

    made = lake(planned, objects)

    assert len(made.run("SELECT * FROM messages_stored")) == 4
    rows = made.run("SELECT message_id, accepted_at, field1 FROM messages ORDER BY message_id")
    assert rows == [
        {
            "message_id": str(each.message_id),
            "accepted_at": each.accepted_at.replace(tzinfo=None),
            "field1": each.data["field1"],
        }
        for each in messages
    ]


def test_days_and_contracts_keep_apart(planned: dict[str, dict[str, Any]]) -> None:
    message = factories.message()
    made = lake(
        planned,
        {object_key(message): message.encode().encode()}
        | orders(line(ORDER), day="2026/11/23")
        | {
            "messages/order/2026/11/24/x.ndjson.gz": gzip.compress(
                line(ORDER) + b"\n" + line(ORDER) + b"\n", COMPRESSION_LEVEL
            )
        },
    )

    count = 'SELECT "day", count(*) AS messages FROM "order" GROUP BY 1 ORDER BY 1'
    assert made.run(count) == [
        {"day": "2026/11/23", "messages": 1},
        {"day": "2026/11/24", "messages": 2},
    ]
    assert len(made.run("SELECT * FROM messages")) == 1


def test_the_newest_are_those_of_today_and_yesterday(planned: dict[str, dict[str, Any]]) -> None:
    today = dt.datetime.now(dt.UTC)
    ages = {0: "today", 1: "yesterday", 2: "before"}
    messages = [
        factories.message(
            message_id=uuid.UUID(int=age),
            accepted_at=today - dt.timedelta(days=age),
            client=client,
        )
        for age, client in ages.items()
    ]
    made = lake(planned, {object_key(each): each.encode().encode() for each in messages})

    rows = made.run(queries(planned)["newest messages"])

    assert [row["client"] for row in rows] == ["today", "yesterday"]


def test_a_condition_on_the_day_decides_what_is_read(planned: dict[str, dict[str, Any]]) -> None:
    """Trino pushes a condition through a window function only where it is on its partition keys."""
    view = sqlglot.parse_one(queries(planned)["create view messages"], dialect="athena")
    (window,) = view.find_all(exp.Window)

    assert [each.name for each in window.args["partition_by"]] == ["day", "message_id"]
    assert {each.alias_or_name for each in view.expression.selects} >= {"day", "message_id"}


# --- The policy for people who query ------------------------------------------------------------

ATHENA = "arn:aws:athena:us-east-1:123456789012"
GLUE = "arn:aws:glue:us-east-1:123456789012"
IN_MESSAGES = {"s3:prefix": "messages/2026/11/23/"}
#: What a query needs, by AWS ("Access to Amazon S3", "Configure access to databases and tables in
#: the AWS Glue Data Catalog", "Example workgroup policies" in Athena's user guide).
NEEDED = [
    ("athena:StartQueryExecution", f"{ATHENA}:workgroup/cpsite-prod", {}),
    ("athena:GetQueryExecution", f"{ATHENA}:workgroup/cpsite-prod", {}),
    ("athena:GetQueryResults", f"{ATHENA}:workgroup/cpsite-prod", {}),
    ("athena:GetNamedQuery", f"{ATHENA}:workgroup/cpsite-prod", {}),
    ("athena:GetDataCatalog", f"{ATHENA}:datacatalog/AwsDataCatalog", {}),
    ("glue:GetDatabase", f"{GLUE}:catalog", {}),
    ("glue:GetDatabase", f"{GLUE}:database/default", {}),
    ("glue:GetDatabase", f"{GLUE}:database/cpsite_prod", {}),
    ("glue:GetTable", f"{GLUE}:table/cpsite_prod/messages_stored", {}),
    ("glue:GetTable", f"{GLUE}:table/cpsite_prod/messages", {}),
    ("s3:ListBucket", "arn:aws:s3:::messages-bucket", IN_MESSAGES),
    ("s3:GetObject", "arn:aws:s3:::messages-bucket/messages/2026/11/23/x.json", {}),
    ("s3:GetObject", "arn:aws:s3:::messages-bucket/messages/order/2026/11/23/x.ndjson.gz", {}),
    ("s3:GetBucketLocation", "arn:aws:s3:::queries-bucket", {}),
    ("s3:PutObject", "arn:aws:s3:::queries-bucket/x.csv", {}),
    ("s3:GetObject", "arn:aws:s3:::queries-bucket/x.csv", {}),
]
FOREIGN = [
    ("athena:StartQueryExecution", f"{ATHENA}:workgroup/primary", {}),
    ("athena:GetQueryResults", f"{ATHENA}:workgroup/cpsite-dev", {}),
    ("athena:UpdateWorkGroup", f"{ATHENA}:workgroup/cpsite-prod", {}),
    ("athena:CreateNamedQuery", f"{ATHENA}:workgroup/cpsite-prod", {}),
    ("glue:GetTable", f"{GLUE}:table/default/others", {}),
    ("glue:GetTable", f"{GLUE}:table/cpsite_dev/messages", {}),
    ("glue:CreateTable", f"{GLUE}:table/cpsite_prod/messages", {}),
    ("glue:UpdateTable", f"{GLUE}:table/cpsite_prod/messages_stored", {}),
    ("glue:DeleteTable", f"{GLUE}:table/cpsite_prod/messages", {}),
    ("s3:PutObject", "arn:aws:s3:::messages-bucket/messages/2026/11/23/x.json", {}),
    ("s3:DeleteObject", "arn:aws:s3:::messages-bucket/messages/2026/11/23/x.json", {}),
    ("s3:GetObject", "arn:aws:s3:::messages-bucket/elsewhere/x.json", {}),
    ("s3:GetObjectVersion", "arn:aws:s3:::messages-bucket/messages/2026/11/23/x.json", {}),
    ("s3:ListBucket", "arn:aws:s3:::messages-bucket", {"s3:prefix": ""}),
    ("s3:ListBucket", "arn:aws:s3:::messages-bucket", {"s3:prefix": "elsewhere/"}),
    ("s3:GetObject", "arn:aws:s3:::another-bucket/messages/2026/11/23/x.json", {}),
    ("s3:DeleteObject", "arn:aws:s3:::queries-bucket/x.csv", {}),
    ("kms:Decrypt", "arn:aws:kms:us-east-1:123456789012:key/mock", {}),
    ("sqs:ReceiveMessage", "arn:aws:sqs:us-east-1:123456789012:mock", {}),
    ("ssm:GetParameter", "arn:aws:ssm:us-east-1:123456789012:parameter/mock", {}),
]


def allows(
    planned: dict[str, dict[str, Any]], action: str, resource: str, context: dict[str, str]
) -> bool:
    document = planned["data.aws_iam_policy_document.analyst"]
    return any(each.allows(action, resource, context) for each in statements_of(document))


@pytest.mark.parametrize(("action", "resource", "context"), NEEDED)
def test_people_who_query_may_do_what_a_query_needs(
    planned: dict[str, dict[str, Any]], action: str, resource: str, context: dict[str, str]
) -> None:
    assert allows(planned, action, resource, context)


@pytest.mark.parametrize(("action", "resource", "context"), FOREIGN)
def test_people_who_query_may_do_nothing_else(
    planned: dict[str, dict[str, Any]], action: str, resource: str, context: dict[str, str]
) -> None:
    assert not allows(planned, action, resource, context)


# --- The page -----------------------------------------------------------------------------------


def test_it_is_as_many_resources_as_the_pages_say(planned: dict[str, dict[str, Any]]) -> None:
    page = (ROOT / "docs/querying.md").read_text()
    (first,) = re.findall(r"These are (\d+) resources, and three more for each further", page)
    assert f"and {first} more with `enable_analytics`" in (ROOT / "docs/deployment.md").read_text()

    managed = [address for address in planned if "data." not in address]

    assert len(managed) == int(first) + 3  # its description has two contracts


@pytest.mark.parametrize("query", examples())
def test_the_examples_are_athenas_sql(query: str) -> None:
    (statement,) = sqlglot.parse(query, dialect="athena")

    assert isinstance(statement, exp.Select)


def test_there_are_examples() -> None:
    assert len(examples()) >= 3


@pytest.mark.parametrize("query", examples())
def test_the_examples_answer(planned: dict[str, dict[str, Any]], query: str) -> None:
    moments = (dt.datetime.now(dt.UTC), NOON)
    messages = [
        factories.message(accepted_at=moment, data=factories.fields(field1="a"))
        for moment in moments
    ]
    made = lake(planned, {object_key(each): each.encode().encode() for each in messages})

    rows = made.run(query)

    assert rows != []
    assert not any(None in row.values() for row in rows)


def test_batches_are_as_small_as_the_page_says() -> None:
    """A batch of a thousand messages of 270 bytes, of words and of random text."""
    page = (ROOT / "docs/querying.md").read_text()
    (shown,) = re.findall(r"270 MB \| (\d+) MB \(words\) to (\d+) MB \(random", page)
    chance = random.Random(1)
    signs = string.ascii_lowercase + string.digits
    words = ["".join(chance.choices(signs, k=chance.randint(3, 9))) for _ in range(40)]

    def of_words() -> str:
        return " ".join(chance.choices(words, k=12))[:23].ljust(23, ".")

    def of_signs() -> str:
        return "".join(chance.choices(signs, k=23))

    kilobytes = []
    for text in (of_words, of_signs):
        batch = Batch()
        for number in range(1000):
            each = factories.message(
                message_id=uuid.UUID(int=chance.getrandbits(128), version=4),
                accepted_at=NOON + dt.timedelta(microseconds=number * 2700 + 531),
                data={f"field{n}": text() for n in range(1, 5)},
            )
            batch.add(Part(Delivery(each), each))
        assert round(batch.size / 1000, -1) == 270
        kilobytes.append(len(batch.encode()[1]) / 1000)

    assert kilobytes == pytest.approx([int(each) for each in shown], rel=0.1)
