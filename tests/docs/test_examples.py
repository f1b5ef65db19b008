"""What README and docs/operations.md show is what happens."""

import gzip
import json
import re
import shlex
import subprocess

import pytest

from tests.docs.markdown import Fence, page
from tests.end_to_end.conftest import Services, database_url, services  # noqa: F401 - fixtures

README = page("README.md")
#: Where `make run` listens.
ADDRESS = "http://127.0.0.1:8000/"
MESSAGE_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def calls() -> list[tuple[str, str]]:
    """Return each curl call of the README with the answer that it prints below."""
    pairs = zip(README.fences, README.fences[1:], strict=False)
    return [
        (command.code, answer.code)
        for command, answer in pairs
        if command.code.startswith("curl") and answer.language == ""
    ]


@pytest.mark.end_to_end
def test_the_calls_of_the_readme_are_answered_as_it_says(services):  # noqa: F811
    services.validator(API_TOKENS="my-own-token")
    assert [answer.split()[1] for _, answer in calls()] == ["202", "401", "400"]
    for command, answer in calls():
        assert ADDRESS in command
        here = command.replace(ADDRESS, f"http://127.0.0.1:{services.port}/")
        got = subprocess.run(
            shlex.split(here.replace("\\\n", " ")), capture_output=True, text=True, check=True
        ).stdout
        head, body = got.replace("\r\n", "\n").split("\n\n", 1)
        shown_head, shown_body = answer.strip().split("\n\n", 1)
        assert head.startswith(shown_head)
        assert _without_id(body) == _without_id(shown_body)
    assert len(services.queue.bodies()) == 1


def _without_id(body: str) -> str:
    return re.sub(MESSAGE_ID, "<id>", body)


def the_reader_of_batches() -> Fence:
    (fence,) = [f for f in page("docs/operations.md").fences if "gzip" in f.code]
    return fence


def test_the_reader_of_batches_gives_each_message_once(tmp_path):
    lines = [json.dumps({"message_id": name}).encode() + b"\n" for name in ("a", "b", "c")]
    for name, content in {"1": lines[:2], "2": lines[1:]}.items():
        (tmp_path / f"{name}.ndjson.gz").write_bytes(gzip.compress(b"".join(content)))
    namespace: dict[str, object] = {}
    exec(the_reader_of_batches().code, namespace)
    read = namespace["messages"]
    assert callable(read)
    found = read(sorted(tmp_path.iterdir()))
    assert [message["message_id"] for message in found] == ["a", "b", "c"]
