"""The message: the one wire format that both services share.

It travels as the JSON body of a Kombu message and is stored, byte for byte, as the S3 object.
"""

import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

#: The contract: exactly these fields, each a non-blank text.
FIELD_NAMES = ("field1", "field2", "field3", "field4")

#: The name of a client, which owns a token. Anything else is refused, so untrusted text never
#: reaches logs or labels.
CLIENT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

#: What the stored object and the Kombu message declare.
CONTENT_TYPE = "application/json"

_KEYS = {"message_id", "accepted_at", "client", "data"}


class DecodeError(Exception):
    """A body that is not one of our messages.

    The exception's text says what is wrong and quotes no content, so it may be logged. `raw` holds
    the body itself, which must not be logged.
    """

    def __init__(self, reason: str, raw: bytes) -> None:
        super().__init__(reason)
        self.raw = raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One accepted message.

    `accepted_at` is in UTC and `client` is the name of the token's owner, never the token.
    `data` maps field names to texts. Field names are not checked here: a message accepted under
    an older contract must still be stored after a deploy has changed it.
    """

    message_id: uuid.UUID
    accepted_at: datetime
    client: str
    data: dict[str, str]

    @classmethod
    def accept(cls, *, client: str, data: dict[str, str]) -> Self:
        """Return a new message for data that has just been validated."""
        return cls(message_id=uuid.uuid4(), accepted_at=datetime.now(UTC), client=client, data=data)

    def encode(self) -> str:
        """Return the message as one line of JSON; `decode` is its exact inverse."""
        return json.dumps(
            {
                "message_id": str(self.message_id),
                "accepted_at": self.accepted_at.isoformat(timespec="microseconds"),
                "client": self.client,
                "data": self.data,
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read a message back from its wire format.

        Raises DecodeError when `raw` is anything else.
        """
        if b"\n" in raw:
            # Even if it is JSON: in a batch, each message is one line (uploader/layouts.py).
            raise DecodeError("more than one line", raw)
        try:
            return cls(**_fields(json.loads(raw.decode("utf-8"))))
        except RecursionError as exc:
            raise DecodeError("nested too deeply", raw) from exc
        except (ValueError, OverflowError) as exc:
            # json and datetime quote the input in some of their texts: report only the class.
            reason = str(exc) if type(exc) is _NotAMessage else type(exc).__name__
            raise DecodeError(reason, raw) from exc


class _NotAMessage(ValueError):
    """A JSON document of another shape. The text quotes no content."""


def _fields(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict) or document.keys() != _KEYS:
        raise _NotAMessage("not an object with exactly the message's keys")
    return {
        "message_id": uuid.UUID(_text(document["message_id"])),
        "accepted_at": _utc(_text(document["accepted_at"])),
        "client": _client(document["client"]),
        "data": _texts(document["data"]),
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _NotAMessage("a value that should be text is not")
    if not value.isascii():
        value.encode()  # raises for a lone surrogate: JSON can escape one, UTF-8 cannot hold it
    return value


def _client(value: object) -> str:
    name = _text(value)
    if not CLIENT_NAME.fullmatch(name):
        raise _NotAMessage("client is not a client's name")
    return name


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _NotAMessage("data is not an object")
    return {_text(name): _text(text) for name, text in value.items()}


def _utc(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise _NotAMessage("accepted_at has no time zone")
    return moment.astimezone(UTC)
