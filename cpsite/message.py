"""The message: the one wire format that both services share.

It travels as the JSON body of a Kombu message and is stored, byte for byte, as the S3 object.
"""

import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json.encoder import encode_basestring
from typing import Any, Final, Self, cast

from cpsite import json_text
from cpsite.json_text import Document

#: The name of a client, which owns a token. Anything else is refused, so untrusted text never
#: reaches logs or labels.
CLIENT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

#: What the stored object and the Kombu message declare.
CONTENT_TYPE = "application/json"

#: The name of a contract. It is a segment of a path and of an object's key, and a table's name.
CONTRACT_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,29}")

_KEYS: Final = frozenset(("message_id", "accepted_at", "client", "data"))
#: Keys of a message of the default contract, and of another.
_SHAPES: Final = (_KEYS, _KEYS | {"contract"})


class DecodeError(Exception):
    """A body that is not one of our messages.

    The exception's text says what is wrong and quotes no content, so it may be logged. `raw` holds
    the body itself, which must not be logged.
    """

    def __init__(self, reason: str, raw: bytes) -> None:
        super().__init__(reason)
        self.raw = raw


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Message:
    """One accepted message.

    `accepted_at` is in UTC and `client` is the name of the token's owner, never the token.
    `data_text` is a JSON object on one line, as the client has written it. Field names and kinds
    are not checked here: a message accepted under an older contract must still be stored after a
    deploy has changed it. `contract` is the contract's name, empty for the default one.
    """

    message_id: uuid.UUID
    accepted_at: datetime
    client: str
    data_text: str = field(repr=False)
    contract: str = ""

    @classmethod
    def accept(cls, *, client: str, data_text: str, contract: str = "") -> Self:
        """Return a new message for data that has just been validated, as JSON."""
        return cls(
            message_id=uuid.uuid4(),
            accepted_at=datetime.now(UTC),
            client=client,
            contract=contract,
            data_text=json_text.one_line(data_text),
        )

    @property
    def data(self) -> dict[str, Any]:
        """The values, read anew: integers are ints, other numbers `Number`s."""
        return cast("dict[str, Any]", json_text.parse(self.data_text))

    def __eq__(self, other: object) -> bool:
        """Whether both say the same, in whatever spelling."""
        if not isinstance(other, Message):
            return NotImplemented
        return self._told() == other._told() and self.data == other.data

    def __hash__(self) -> int:
        return hash(self._told())

    def _told(self) -> tuple[Any, ...]:
        return self.message_id, self.accepted_at, self.client, self.contract

    def encode(self) -> str:
        """Return the message as one line of JSON; `decode` is its exact inverse."""
        client = encode_basestring(self.client)
        contract = f'"contract":"{self.contract}",' if self.contract else ""
        return (
            f'{{"message_id":"{self.message_id}",'
            f'"accepted_at":"{self.accepted_at.isoformat(timespec="microseconds")}",'
            f'"client":{client},{contract}"data":{self.data_text}}}'
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
            return cls(**_fields(json_text.parse(raw.decode("utf-8"))))
        except RecursionError as exc:
            raise DecodeError("nested too deeply", raw) from exc
        except (ValueError, OverflowError) as exc:
            # json and datetime quote the input in some of their texts: report only the class.
            is_ours = isinstance(exc, _NotAMessage | json_text.Refused)
            reason = str(exc) if is_ours else type(exc).__name__
            raise DecodeError(reason, raw) from exc


class _NotAMessage(ValueError):
    """A JSON document of another shape. The text quotes no content."""


def _fields(document: Any) -> dict[str, Any]:
    if not isinstance(document, Document) or document.keys() not in _SHAPES:
        raise _NotAMessage("not an object with exactly the message's keys")
    _require_object(document["data"])
    return {
        "message_id": uuid.UUID(_text(document["message_id"])),
        "accepted_at": _utc(_text(document["accepted_at"])),
        "client": _client(document["client"]),
        "contract": _contract(document["contract"]) if "contract" in document else "",
        "data_text": document.text_of("data"),
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


def _contract(value: object) -> str:
    name = _text(value)
    if not CONTRACT_NAME.fullmatch(name):
        raise _NotAMessage("contract is not a contract's name")
    return name


def _require_object(value: object) -> None:
    if not isinstance(value, dict):
        raise _NotAMessage("data is not an object")
    for name, inner in value.items():
        _text(name)
        _require_storable(inner)


def _require_storable(value: object) -> None:
    """Raise an error for a text that UTF-8 cannot hold, at any depth."""
    if isinstance(value, str):
        _text(value)
    elif isinstance(value, dict):
        _require_object(value)
    elif isinstance(value, list):
        for inner in value:
            _require_storable(inner)


def _utc(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise _NotAMessage("accepted_at has no time zone")
    return moment.astimezone(UTC)
