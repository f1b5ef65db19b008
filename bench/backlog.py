"""A backlog for the uploaders, in the wire format that our validator writes.

    python -m bench.backlog --messages 1000 --length 18 --manifest FILE

It runs in the environment of our services. Kombu's producer makes the envelopes with our settings.
They are then sent in batches, which is quicker than publishing each. For each message, one line of
JSON is appended to the manifest: the key of its object and the SHA-256 of its body.
"""

import argparse
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from bench import text

#: Limits of one SendMessageBatch, with a margin for what JSON adds (AWS: 10 entries, 1 MiB).
_BATCH_ENTRIES: Final = 10
_BATCH_BYTES: Final = 900_000
_THREADS: Final = 4


class _Envelopes:
    """A stand-in for the SQS client of a Kombu channel: it collects what it should send."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def send_message(self, **kwargs: Any) -> None:
        self.kept.append(kwargs["MessageBody"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--length", type=int, required=True, help="characters of a field")
    parser.add_argument("--manifest", type=Path, required=True)
    arguments = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "cpsite.settings"
    import django

    django.setup()
    with arguments.manifest.open("a") as manifest:
        envelopes = list(_envelopes(arguments.messages, arguments.length, manifest))
    _send(envelopes)


def _envelopes(messages: int, length: int, manifest: Any) -> Iterator[str]:
    """Make the envelopes of new messages; write to the manifest what must be stored of each."""
    from kombu.messaging import Producer

    from cpsite import json_text
    from cpsite.message import Message
    from cpsite.queue import connection

    client = _Envelopes()
    channel = connection.publishing_connection().channel()
    channel.sqs = lambda queue=None: client  # noqa: ARG005 - Kombu's signature
    producer = Producer(channel, auto_declare=False)
    for number in range(messages):
        data = json_text.write(text.fields(number, length))
        message = Message.accept(client="bench", data_text=data)
        body = message.encode()
        producer.publish(
            body, routing_key=connection.queue().name, serializer=connection.SERIALIZER
        )
        yield client.kept.pop()
        # Repeats our key scheme on purpose: the stored objects are checked against it.
        key = f"{message.accepted_at:%Y/%m/%d}/{message.message_id}.json"
        line = {"key": key, "sha256": sha256(body.encode()).hexdigest()}
        manifest.write(json.dumps(line) + "\n")


def _send(envelopes: list[str]) -> None:
    import boto3

    client = boto3.client("sqs")

    def send(batch: list[str]) -> None:
        entries: Any = [
            {"Id": str(number), "MessageBody": body} for number, body in enumerate(batch)
        ]
        answer = client.send_message_batch(QueueUrl=os.environ["SQS_QUEUE_URL"], Entries=entries)
        if answer.get("Failed"):
            raise SystemExit(f"SQS did not take all messages: {answer['Failed'][0]}")

    with ThreadPoolExecutor(_THREADS) as threads:
        # Reading the results raises the exception of a thread.
        list(threads.map(send, _batches(envelopes)))


def _batches(envelopes: list[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for envelope in envelopes:
        if len(batch) == _BATCH_ENTRIES or (batch and size + len(envelope) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(envelope)
        size += len(envelope)
    if batch:
        yield batch


if __name__ == "__main__":
    main()
