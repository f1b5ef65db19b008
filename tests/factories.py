"""One valid example of each thing; a test varies what it is about."""

import base64
import json
import uuid
from datetime import UTC, datetime
from typing import Any

from kombu import compression

from cpsite import json_text
from cpsite.message import Message

ALICE = "alice-token-1"
ALICE_NEXT = "alice-token-2"
BOB = "bob-token-1"


def fields(**changes: Any) -> dict[str, Any]:
    return {"field1": "one", "field2": "zwei", "field3": "trois", "field4": "四"} | changes


def envelope(**changes: Any) -> dict[str, Any]:
    return {"token": ALICE, "data": fields()} | changes


def message(**changes: Any) -> Message:
    values: dict[str, Any] = {
        "message_id": uuid.UUID("6b1f1d5e-0000-4000-8000-000000000001"),
        "accepted_at": datetime(2026, 11, 23, 23, 59, 59, 123456, tzinfo=UTC),
        "client": "alice",
        "data": fields(),
    } | changes
    data = values.pop("data")
    return Message(**({"data_text": json_text.one_line(json_text.write(data))} | values))


def accepted(*, client: str = "alice", data: dict[str, Any] | None = None) -> Message:
    """A message as the API has just made it."""
    text = json_text.write(fields() if data is None else data)
    return Message.accept(client=client, data_text=text)


def kombu_envelope(body: str, **changes: Any) -> str:
    """What Kombu puts on the wire around a body, in our lean encoding."""
    return json.dumps(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {},
            "properties": {
                "body_encoding": "utf-8",
                "delivery_info": {"exchange": "", "routing_key": "any"},
                "delivery_tag": "1",
            },
        }
        | changes
    )


def compressed_envelope(text: str, name: str) -> str:
    """Kombu's envelope around a text that it has compressed by the method of that name."""
    body, content_type = compression.compress(text.encode(), name)
    return kombu_envelope(
        base64.b64encode(body).decode(),
        headers={"compression": content_type},
        properties={"body_encoding": "base64", "delivery_info": {}, "delivery_tag": "1"},
    )
