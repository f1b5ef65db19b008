"""`make query` with DuckDB and moto's S3 over HTTP; test_devstack.py runs it beside `make run`."""

import gzip
import json
import os
import signal
import subprocess
import sys
import uuid
from datetime import UTC, datetime

import botocore.session
import pytest

from cpsite.devstack.contract_columns import read_contracts
from cpsite.devstack.query import MOST_ROWS, CannotAnswer, Lake, print_csv, print_table, reader
from tests import factories
from tests.cpsite.devstack import described
from tests.waiting import wait_for

DAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
ORDER = """{"Order-Id":"A-1","state":"open","count":3,"serial":12345678901234567890123,
"amount":12345678901234567.10,"paid":true,"due":"2026-12-01T10:00:00+01:00",
"address":{"post-code":"80331","floors":[1,2]},"lines":[{"sku":"s","price":1.10}]}""".replace(
    "\n", ""
)
MISFIT = """{"Order-Id":7,"state":true,"count":1.5,"serial":"12","amount":1.005,"paid":1,
"due":"tomorrow","address":"none","lines":{"sku":"s"}}""".replace("\n", "")


def line(data, *, at=DAY, client="alice", contract=None, message_id=None):
    """A message as it is stored, its data as it was sent."""
    name = f'"contract":"{contract}",' if contract else ""
    moment = at.isoformat(timespec="microseconds")
    return (
        f'{{"message_id":"{message_id or uuid.uuid4()}","accepted_at":"{moment}",'
        f'"client":"{client}",{name}"data":{data}}}'
    ).encode()


class Stored:
    """A bucket, filled as the uploader fills it."""

    def __init__(self, bucket):
        self.bucket = bucket
        self.opened = []

    def single(self, body, *, prefix="", day="2026/11/23"):
        key = f"messages/{prefix}{day}/{json.loads(body)['message_id']}.json"
        self.bucket.client.put_object(Bucket=self.bucket.name, Key=key, Body=body)
        return key

    def batch(self, *bodies, prefix="", day="2026/11/23"):
        key = f"messages/{prefix}{day}/{uuid.uuid4().hex}.ndjson.gz"
        body = gzip.compress(b"".join(body + b"\n" for body in bodies), 1, mtime=0)
        self.bucket.client.put_object(Bucket=self.bucket.name, Key=key, Body=body)
        return key

    def lake(self, path):
        """The views, and from now on which objects were opened and which prefixes listed."""
        session = botocore.session.Session()
        s3 = session.create_client("s3", region_name="us-east-1")
        s3.meta.events.register("before-parameter-build.s3", self._note)
        read_object = reader(session, s3, self.bucket.name)

        def read(key):
            self.opened.append(key)
            return read_object(key)

        return Lake(s3, read, self.bucket.name, "messages/", read_contracts(path))

    def _note(self, params, model, **_):
        self.opened.append(params["Prefix"])


@pytest.fixture
def stored(bucket):
    return Stored(bucket)


@pytest.fixture
def path(tmp_path):
    return described.write(tmp_path, described.MESSAGE, described.ORDERS)


def fields(**changes):
    return json.dumps(factories.fields(**changes))


def test_both_layouts_are_one_view_with_typed_columns(stored, path):
    stored.single(line(fields(field1="a")))
    stored.batch(line(fields(field1="b")), line(fields(field1="b"), client="bob"))
    lake = stored.lake(path)
    assert lake.ask("select field1, count(*) from messages group by 1 order by 1").rows == [
        ("a", "1"),
        ("b", "2"),
    ]
    described_ = lake.ask("select column_name, column_type from (describe messages)").rows
    assert described_ == [
        ("message_id", "VARCHAR"),
        ("accepted_at", "TIMESTAMP WITH TIME ZONE"),
        ("client", "VARCHAR"),
        *((f"field{number}", "VARCHAR") for number in (1, 2, 3, 4)),
        ("day", "DATE"),
    ]
    found = lake.ask("select accepted_at, client, field4, day from message where client = 'bob'")
    assert found.rows == [("2026-11-23 12:00:00+00", "bob", "四", "2026-11-23")]


def test_each_message_is_there_once_whatever_holds_it(stored, path):
    twice, thrice, once = (line(fields(field1=text)) for text in ("twice", "thrice", "once"))
    stored.single(twice)
    stored.batch(twice, thrice, once)
    stored.batch(thrice)
    stored.batch(thrice)
    found = stored.lake(path).ask("select field1 from messages order by 1")
    assert found.rows == [("once",), ("thrice",), ("twice",)]


@pytest.mark.parametrize(
    ("condition", "days"),
    [
        ("day = '2026-11-23'", {"23"}),
        ("day = date '2026-11-22' + 1", {"23"}),
        ("day >= '2026-11-23' and client = 'alice'", {"23", "24"}),
        ("day in ('2026-11-22', '2026-11-24')", {"22", "24"}),
        ("client = 'alice'", {"22", "23", "24"}),
        ("day = '2026-11-25'", set()),
    ],
)
def test_a_query_reads_and_lists_only_the_days_that_it_names(stored, path, condition, days):
    for day in ("22", "23", "24"):
        at = DAY.replace(day=int(day))
        stored.single(line(fields(), at=at), day=f"2026/11/{day}")
        stored.batch(line(fields(), at=at), day=f"2026/11/{day}")
    lake = stored.lake(path)
    stored.opened.clear()
    found = lake.ask(f"select count(*) from messages where {condition}")
    assert found.rows == [(str(2 * len(days)),)]
    objects = {key for key in stored.opened if not key.endswith("/")}
    assert {key.split("/")[3] for key in objects} == days
    assert set(stored.opened) - objects == {f"messages/2026/11/{day}/" for day in days}
    assert (lake.stored.objects, lake.stored.days) == (2 * len(days), len(days))


def test_days_are_looked_for_once_and_no_object_with_them(stored, path):
    stored.single(line(fields()))
    stored.lake(path)
    assert sorted(stored.opened) == [
        *("messages/", "messages/2026/", "messages/2026/11/"),
        "messages/orders/",
    ]


def test_a_day_is_read_once_however_often_a_query_names_it(stored, path):
    keys = {stored.single(line(fields())) for _ in range(3)}
    lake = stored.lake(path)
    stored.opened.clear()
    joined = lake.ask("select count(*) from messages a join message b using (message_id)")
    assert joined.rows == [("3",)]
    assert sorted(set(stored.opened) & keys) == sorted(key for key in stored.opened if key in keys)


@pytest.mark.parametrize("layout", ["single", "batch"])
def test_every_kind_of_field_has_its_digits(stored, path, layout):
    getattr(stored, layout)(line(ORDER, contract="orders"), prefix="orders/")
    found = stored.lake(path).ask("from orders")
    row = dict(zip(found.columns, found.rows[0], strict=True))
    assert row["order_id"] == "A-1"
    assert row["state"] == "open"
    assert row["count"] == "3"
    assert row["serial"] == "12345678901234567890123"
    assert row["amount"] == "12345678901234567.10"
    assert row["paid"] == "true"
    assert row["due"] == "2026-12-01 09:00:00+00"
    assert row["address"] == "{'post_code': 80331, 'floors': [1, 2]}"
    assert row["lines"] == "[{'sku': s, 'price': 1.10}]"
    asked = stored.lake(path).ask(
        "select sum(line.price) from (select unnest(lines) as line from orders)"
    )
    assert asked.rows == [("1.10",)]


def test_values_that_do_not_fit_are_null_and_end_no_query(stored, path):
    stored.batch(line(MISFIT), line("{}"), line(ORDER), prefix="orders/")
    columns = [column.name for column in read_contracts(path)[1].columns]
    nulls = ", ".join(f'count(*) filter ("{name}" is null)' for name in columns)
    (counts,) = stored.lake(path).ask(f"select {nulls} from orders").rows
    assert dict(zip(columns, counts, strict=True)) == dict.fromkeys(columns, "2")


def test_each_contract_has_its_own_view(stored, path):
    stored.single(line(fields()))
    stored.single(line(ORDER, contract="orders"), prefix="orders/")
    lake = stored.lake(path)
    assert lake.ask("select count(*), any_value(field1) from messages").rows == [("1", "one")]
    assert lake.ask("select count(*), any_value(order_id) from orders").rows == [("1", "A-1")]


def test_a_day_becomes_one_parquet_file(stored, path, tmp_path):
    stored.batch(line(fields()), line(fields()))
    lake = stored.lake(path)
    assert lake.ask(f"copy messages to '{tmp_path}/messages.parquet'").rows == [("2",)]
    found = lake.ask(f"select field1 from '{tmp_path}/messages.parquet' where day = '2026-11-23'")
    assert found.rows == [("one",), ("one",)]


def test_an_empty_bucket_has_views(stored, path):
    lake = stored.lake(path)
    assert lake.ask("select field1 from messages").rows == []
    assert lake.ask("select count(*) from orders where day = '2026-11-23'").rows == [("0",)]
    assert lake.newest().rows == []


def test_what_is_no_message_is_left_out_and_counted(stored, path):
    stored.batch(line(fields()), b"garbage", b"[1]", b'{"message_id": "x"}', line("5"))
    key = stored.single(line(fields()))
    for other in ("readme.txt", "half.parquet"):
        stored.bucket.client.put_object(
            Bucket=stored.bucket.name, Key=key.rpartition("/")[0] + f"/{other}", Body=b"x"
        )
    for directory in ("archive/", "2026/13/45/", "2026/notes/"):
        stored.bucket.client.put_object(
            Bucket=stored.bucket.name, Key=f"messages/{directory}x.json", Body=b"{}"
        )
    lake = stored.lake(path)
    assert lake.ask("select count(*) from messages").rows == [("2",)]
    assert lake.stored.foreign == 4


def test_the_newest_are_shown_without_reading_older_days(stored, path):
    for day in ("21", "22", "23"):
        at = DAY.replace(day=int(day))
        stored.single(line(fields(field1=day), at=at), day=f"2026/11/{day}")
        stored.single(line(fields(field1=day), at=at.replace(hour=13)), day=f"2026/11/{day}")
    lake = stored.lake(path)
    stored.opened.clear()
    found = lake.newest(3)
    assert [row[found.columns.index("field1")] for row in found.rows] == ["23", "23", "22"]
    assert found.rows[0][1] == "2026-11-23 13:00:00+00"
    assert not any("2026/11/21" in key for key in stored.opened)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selec 1", "syntax error"),
        ("select colour from messages", "colour"),
        ("from nothing", "nothing"),
        ("select 1 / 'x'", "x"),
    ],
)
def test_wrong_sql_is_duckdbs_message(stored, path, sql, message):
    with pytest.raises(CannotAnswer, match=message):
        stored.lake(path).ask(sql)


def test_an_object_that_is_no_batch_is_named(stored, path):
    key = stored.batch(line(fields()))
    stored.bucket.client.put_object(Bucket=stored.bucket.name, Key=key, Body=b"not gzip")
    with pytest.raises(CannotAnswer) as caught:
        stored.lake(path).ask("from messages")
    assert str(caught.value).startswith(f"{key} is no gzip file")


def test_a_contract_cannot_take_the_name_of_the_view(stored, tmp_path):
    other = described.contract("messages", described.TEXTS, prefix="messages/")
    path = described.write(tmp_path, described.MESSAGE, other)
    with pytest.raises(CannotAnswer, match="view of the default contract"):
        stored.lake(path)
    assert stored.lake(described.write(tmp_path, other)).ask("from messages").rows == []


def test_a_terminal_gets_neither_control_characters_nor_long_texts(stored, path, capsys):
    stored.single(line(fields(field1="\x1b[31mred\n", field2="é" * 1_000)))
    print_table(
        stored.lake(path).ask("select field1, field2, null as nothing, 7 as n from messages")
    )
    header, row, end = capsys.readouterr().out.split("\n")
    assert header.split() == ["field1", "field2", "nothing", "n"]
    assert row.split() == [r"\x1b[31mred\n", "é" * 79 + "…", "NULL", "7"]
    assert end == ""


def test_a_table_is_bounded_and_csv_is_not(stored, path, capsys):
    lake = stored.lake(path)
    sql = f"select range as n, 'a,b' as t from range({MOST_ROWS + 5})"
    print_table(lake.ask(sql, MOST_ROWS + 1))
    assert len(capsys.readouterr().out.splitlines()) == 1 + MOST_ROWS
    print_csv(lake.ask(sql))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["n,t", '0,"a,b"']
    assert len(lines) == 1 + MOST_ROWS + 5


class Command:
    """`python -m cpsite.devstack.query`, as `make query` starts it."""

    def __init__(self, bucket, path):
        self.environment = {**os.environ, "S3_BUCKET": bucket.name, "AWS_REGION": "us-east-1"}
        self.words = [sys.executable, "-m", "cpsite.devstack.query", "--contracts", str(path)]

    def run(self, *arguments, **environment):
        return subprocess.run(
            [*self.words, *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def command(bucket, path):
    return Command(bucket, path)


def test_the_command_answers(stored, command):
    stored.single(line(fields(field1="a")))
    asked = command.run("select field1, count(*) as n from messages group by 1")
    assert (asked.returncode, asked.stdout) == (0, "field1  n\na       1\n")
    assert asked.stderr.startswith("Rows: 1. Objects read: 1 (")
    newest = command.run("")
    assert newest.stdout.splitlines()[0].split() == [
        *("message_id", "accepted_at", "client", "field1", "field2", "field3", "field4", "day")
    ]
    assert "Views: message, messages, orders." in newest.stderr


def test_without_messages_the_command_says_so(command):
    newest = command.run()
    assert (newest.returncode, newest.stdout) == (0, "")
    assert newest.stderr == "There are no messages yet: `make send` sends one.\n"
    assert command.run("select count(*) as n from messages").stdout == "n\n0\n"


@pytest.mark.parametrize(
    ("sql", "environment", "told"),
    [
        ("selec", {}, "Parser Error"),
        ("", {"S3_BUCKET": ""}, "S3_BUCKET is not set"),
        ("", {"S3_BUCKET": "no-such-bucket-of-ours"}, "NoSuchBucket"),
        ("from messages", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "127.0.0.1:9"),
        ("", {"AWS_ENDPOINT_URL": "not-a-url"}, "not-a-url"),
    ],
)
def test_what_cannot_be_answered_is_said_without_a_traceback(command, sql, environment, told):
    asked = command.run(sql, **environment)
    assert (asked.returncode, asked.stdout) == (1, "")
    assert asked.stderr.startswith("cpsite: ")
    assert told in asked.stderr
    assert "Traceback" not in asked.stderr


ENDLESS = "select count(*) from range(100000000) a, range(100000000) b where hash(a) = hash(b) + 1"


def test_a_query_is_given_up_after_its_time(command):
    asked = command.run("--seconds", "1", ENDLESS.replace("=", "<"))
    assert asked.returncode == 1
    assert "no answer within 1 s" in asked.stderr


def test_ctrl_c_ends_a_query_at_once(command, tmp_path):
    started = tmp_path / "started"
    sql = f"copy (select 1) to '{started}'; {ENDLESS.replace('=', '<')}"
    process = subprocess.Popen(
        [*command.words, sql], env=command.environment, stderr=subprocess.PIPE
    )
    try:
        wait_for(started.exists, "the query")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1] == b""
        assert process.returncode == -signal.SIGINT
    finally:
        process.kill()
