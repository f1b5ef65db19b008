"""What others may put on the queue: which of it is a message, and that none of it expands."""

import base64
import gzip
import json
import tracemalloc

import pytest
from kombu import compression

from cpsite.dead_letters import letter
from cpsite.message import Message
from cpsite.queue.connection import consuming_connection
from tests import factories
from uploader.handler import decode
from uploader.receiver import Receiver

#: A body of this size, all zeros, is a few KB when it is compressed.
BOMB_BYTES = 64_000_000


@pytest.fixture
def receiver(queue):
    made = Receiver(concurrency=2)
    yield made
    made.close()


@pytest.fixture
def channel(settings):
    settings.SQS_QUEUE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/q"
    return consuming_connection(wait_time_seconds=0, max_pool_connections=1).channel()


def _base64(text):
    return base64.b64encode(text.encode()).decode()


OURS = factories.message().encode()
MESSAGES = {
    "ours": factories.kombu_envelope(OURS),
    "our message without an envelope": OURS,
    "base64 of our envelope": _base64(factories.kombu_envelope(OURS)),
    "base64 of our message": _base64(OURS),
    "base64 in the envelope": factories.kombu_envelope(
        _base64(OURS),
        properties={"body_encoding": "base64", "delivery_info": {}, "delivery_tag": "1"},
    ),
    "our message with spaces and another order": json.dumps(
        dict(reversed(json.loads(OURS).items())), indent=None
    ),
}
FOREIGN = {
    "text": "hello",
    "half of a message": OURS[: len(OURS) // 2],
    "two messages": f"{OURS}\n{OURS}",
    "a list of messages": f"[{OURS}]",
    "SNS": json.dumps({"Type": "Notification", "MessageId": "x", "Message": OURS}),
    "SNS of our envelope": json.dumps(
        {"Type": "Notification", "Message": factories.kombu_envelope(OURS)}
    ),
    "an S3 event": json.dumps({"Records": [{"eventSource": "aws:s3", "s3": {"bucket": {}}}]}),
    "S3's test event": json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"}),
    "EventBridge": json.dumps({"detail-type": "x", "source": "y", "detail": json.loads(OURS)}),
    "Celery": factories.kombu_envelope(
        _base64("[[],{},{}]"), headers={"task": "tasks.add", "lang": "py", "id": "x"}
    ),
    "base64 of gzip of our envelope": base64.b64encode(
        gzip.compress(factories.kombu_envelope(OURS).encode())
    ).decode(),
    **{
        f"compressed by {name}": factories.compressed_envelope(OURS, name)
        for name in ("gzip", "bzip2", "zlib", "lzma")
    },
}


def _message(receiver, queue, body):
    queue.send(body)
    (delivery,) = receiver.receive(10)
    part = decode(delivery)
    return part.message if part else None


@pytest.mark.parametrize("body", MESSAGES.values(), ids=MESSAGES)
def test_what_is_read_as_a_message(receiver, queue, body):
    assert _message(receiver, queue, body) == factories.message()


@pytest.mark.parametrize("body", FOREIGN.values(), ids=FOREIGN)
def test_what_is_left_to_the_dead_letter_queue(receiver, queue, body):
    assert _message(receiver, queue, body) is None


def _sqs_message(body):
    attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": "1"}
    return {"MessageId": "m", "ReceiptHandle": "r", "Body": body, "Attributes": attributes}


def _peak_of_reading(channel, body):
    tracemalloc.start()
    try:
        content = letter.decode(channel, _sqs_message(body))
        return content, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", sorted(compression.encoders()))
def test_no_compression_that_kombu_knows_expands(channel, name):
    """The uploader and the dead-letter pages read a body by the same code."""
    bomb = factories.compressed_envelope("0" * BOMB_BYTES, name)
    assert len(bomb) < 200_000
    content, peak = _peak_of_reading(channel, bomb)
    assert content.message is None
    assert content.payload == bomb.encode()
    assert peak < 20 * len(bomb) + 1_000_000


@pytest.mark.parametrize(
    "unit",
    ["[],", "{},", '"",', "1,", "1.5,", '{"a":1},', '"\\ud83d",', "[[[[1]]]],"],
)
@pytest.mark.parametrize("wrap", ["{}", factories.kombu_envelope("{}")], ids=["bare", "envelope"])
def test_json_of_the_longest_message_takes_bounded_memory(channel, unit, wrap):
    """An object of Python takes more memory than its JSON, and not more than this."""
    inner = f"[{unit * (400_000 // len(unit))}0]"
    body = wrap.replace("{}", json.dumps(inner)[1:-1] if wrap != "{}" else inner, 1)
    # Other threads of this process allocate, too: the least of three is the reader's own.
    found = [_peak_of_reading(channel, body) for _ in range(3)]
    assert all(content.message is None for content, _ in found)
    assert min(peak for _, peak in found) < 60 * len(body)


def test_lines_of_a_batch_are_lines_for_every_reader():
    """U+0085, U+2028 and U+2029 are allowed in JSON, and `splitlines` takes them for line ends."""
    characters = map(chr, range(0x11000))
    breaks = "".join(one for one in characters if len(f"a{one}b".splitlines()) == 2)
    message = factories.message(data=factories.fields(field1=breaks))
    assert message.encode().splitlines() == [message.encode()]
    assert Message.decode(message.encode().encode()) == message
