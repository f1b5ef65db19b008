import gzip
import itertools
import json
import random
import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cpsite.message import Message
from tests import factories
from uploader.layouts import Batch, Batcher, Part

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Delivery:
    def __init__(self, message):
        self.body = message.encode().encode()


def part(number=0, accepted_at=NOON, **fields):
    message = factories.message(
        message_id=uuid.UUID(int=number),
        accepted_at=accepted_at,
        data=factories.fields(**fields),
    )
    return Part(Delivery(message), message)


def batch_of(parts):
    batch = Batch()
    for each in parts:
        batch.add(each)
    return batch


def batcher(**changes):
    return Batcher(**({"max_messages": 3, "max_bytes": 1_000_000, "max_seconds": 10} | changes))


def test_a_line_is_a_message_byte_for_byte():
    parts = [part(number, field1="é\u2028\n") for number in range(3)]
    _, content = batch_of(parts).encode()
    lines = gzip.decompress(content).split(b"\n")
    assert lines == [each.delivery.body for each in parts] + [b""]
    assert [Message.decode(line) for line in lines[:-1]] == [each.message for each in parts]


def test_the_key_has_the_day_of_acceptance_and_no_text_of_a_client():
    key, _ = batch_of([part(1)]).encode()
    prefix, _, name = key.rpartition("/")
    assert prefix == "messages/2026/11/23"
    assert name.endswith(".ndjson.gz")
    assert len(name) == 32 + len(".ndjson.gz")


def test_the_same_messages_are_the_same_object_in_any_order():
    parts = [part(number, NOON + timedelta(seconds=number % 3)) for number in range(20)]
    shuffled = random.Random(1).sample(parts, len(parts))
    assert batch_of(parts).encode() == batch_of(shuffled).encode()


def test_other_messages_are_another_object():
    keys = {batch_of([part(number) for number in range(size)]).encode()[0] for size in range(1, 9)}
    assert len(keys) == 8


def test_a_message_delivered_twice_is_one_line():
    _, content = batch_of([part(1), part(2), part(1)]).encode()
    assert gzip.decompress(content).count(b"\n") == 2


def test_lines_are_in_the_order_of_acceptance():
    parts = [part(number, NOON - timedelta(seconds=number)) for number in range(5)]
    _, content = batch_of(parts).encode()
    times = [json.loads(line)["accepted_at"] for line in gzip.decompress(content).splitlines()]
    assert times == sorted(times)


def test_a_batch_is_complete_with_its_last_message():
    gathering = batcher(max_messages=3)
    assert gathering.add(part(1)) == gathering.add(part(2)) == []
    (complete,) = gathering.add(part(3))
    assert len(complete.parts) == 3
    assert gathering.take_all() == []


def test_a_batch_holds_no_more_bytes_than_allowed():
    size = len(part(1).delivery.body) + 1
    gathering = batcher(max_messages=100, max_bytes=2 * size + 1)
    assert gathering.add(part(1)) == gathering.add(part(2)) == []
    (complete,) = gathering.add(part(3))
    assert len(complete.parts) == 2
    (rest,) = gathering.take_all()
    assert len(rest.parts) == 1


def test_a_message_longer_than_a_batch_is_one_of_its_own():
    gathering = batcher(max_bytes=100)
    (complete,) = gathering.add(part(1))
    assert len(complete.parts) == 1


def test_the_messages_of_a_batch_were_accepted_on_one_day():
    gathering = batcher(max_messages=2)
    before, after = NOON.replace(hour=23, minute=59), NOON + timedelta(days=1)
    assert gathering.add(part(1, before)) == gathering.add(part(2, after)) == []
    (complete,) = gathering.add(part(3, before))
    assert {each.message.accepted_at for each in complete.parts} == {before}


def test_a_batch_is_due_after_max_seconds():
    gathering = batcher(max_seconds=10)
    gathering.add(part(1))
    (opened,) = (batch.opened_at for batch in gathering._open.values())
    assert gathering.due(opened + 9.9) == []
    assert len(gathering.due(opened + 10)) == 1
    assert gathering.due(opened + 20) == []


@given(
    lengths=st.lists(st.integers(1, 400), max_size=60),
    max_messages=st.integers(1, 9),
    max_bytes=st.integers(300, 2_000),
)
def test_no_message_is_lost_or_duplicated_and_limits_hold(lengths, max_messages, max_bytes):
    gathering = batcher(max_messages=max_messages, max_bytes=max_bytes)
    parts = [part(number, field1="x" * length) for number, length in enumerate(lengths)]
    complete = list(itertools.chain.from_iterable(gathering.add(each) for each in parts))
    complete += gathering.take_all()
    assert [each for batch in complete for each in batch.parts] == parts
    for batch in complete:
        assert 1 <= len(batch.parts) <= max_messages
        assert batch.size <= max_bytes or len(batch.parts) == 1


def test_the_documented_reader_gives_each_message_once(tmp_path):
    """Runs the snippet of docs/operations.md itself, not a copy."""
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    namespace = {}
    exec(snippet, namespace)
    files = []
    for number, numbers in enumerate(([1, 2, 3], [2, 3, 4], [4])):
        files.append(tmp_path / f"{number}.ndjson.gz")
        files[-1].write_bytes(batch_of([part(each) for each in numbers]).encode()[1])
    ids = [uuid.UUID(message["message_id"]).int for message in namespace["messages"](files)]
    assert ids == [1, 2, 3, 4]
