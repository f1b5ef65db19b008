"""The queries that pages show answer as they say, when the README's messages are stored."""

import json
import re
import shlex

import pytest

from cpsite.devstack.contract_columns import read_contracts
from cpsite.devstack.query import open_lake, print_table
from tests.cpsite.devstack import described
from tests.docs.markdown import page
from tests.docs.test_examples import calls


def queries(name: str) -> list[tuple[str, str]]:
    """Return each SQL that a page gives to `make query`, with the answer below it, or nothing."""
    fences = page(name).fences
    found = []
    for fence, following in zip(fences, [*fences[1:], None], strict=True):
        for word in shlex.split(fence.code) if fence.code.startswith("make query") else []:
            if word.startswith("SQL="):
                answer = following.code if following and not following.language else ""
                found.append((word.removeprefix("SQL="), answer))
    return found


@pytest.fixture
def lake(bucket, tmp_path):
    """The bucket after the calls of the README, of which one is accepted."""
    (accepted,) = [command for command, answer in calls() if " 202 " in answer]
    sent = json.loads(re.search(r"-d '(.*)'", accepted)[1])
    stored = {
        "message_id": "6b1f1d5e-46d5-4c7c-9e5e-0d3f8f4f7c11",
        "accepted_at": "2026-11-23T23:59:59.123456+00:00",
        "client": "default",
        "data": sent["data"],
    }
    key = f"messages/2026/11/23/{stored['message_id']}.json"
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=json.dumps(stored))
    contracts = read_contracts(described.of_tests(tmp_path))
    return open_lake({"S3_BUCKET": bucket.name, "AWS_REGION": "us-east-1"}, contracts)


@pytest.mark.parametrize(
    ("sql", "answer"),
    [query for name in ("README.md", "docs/querying.md") for query in queries(name)],
)
def test_a_query_answers_as_its_page_says(lake, capsys, tmp_path, monkeypatch, sql, answer):
    monkeypatch.chdir(tmp_path)  # some write files
    found = lake.ask(sql)
    if answer:
        print_table(found)
        assert capsys.readouterr().out == answer


def test_queries_are_found():
    assert [bool(answer) for _, answer in queries("README.md")] == [True]
    assert len(queries("docs/querying.md")) == 3
