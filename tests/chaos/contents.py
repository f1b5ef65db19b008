"""What clients send: good messages and others."""

import json
import random
from collections.abc import Sequence
from typing import Any

from tests.chaos.records import WORD

#: Part of each token, known or not, so that it must not stand in any log.
SECRET = "sesame-open"
#: Who sends, and with which token.
TOKENS = {client: f"{SECRET}-{client}-0123456789" for client in ("alice", "bob", "carol")}

_PIECES = (
    *("plain words ", "zwölf Bögen ", "三 ", "😀", "ع", "\u202e", "e\u0301"),
    *(
        "\n",
        "\t",
        "\r\n",
        "  ",
        "\x01",
        "\x7f",
        "\u2028",
        '"',
        "\\",
        "\\u0000",
        "</script>",
        "&lt;",
    ),
    *("{}", "[1,", "null", "' OR 1=1", "%s", "{0}", "a,b;c"),
)


def fields(rng: random.Random, marker: str) -> dict[str, Any]:
    """Return data that fits the contract; its first field begins with the marker."""
    return {
        "field1": f"{marker} {WORD} {_text(rng, 3)}",
        "field2": _text(rng, 6),
        "field3": _text(rng, _length(rng)),
        "field4": _text(rng, 2),
    }


def broken_fields(rng: random.Random, marker: str) -> dict[str, Any]:
    """Return data that breaks the contract in one of the ways that there are."""
    data = fields(rng, marker)
    name = rng.choice(("field2", "field3", "field4"))
    match rng.randrange(5):
        case 0:
            del data[name]
        case 1:
            data[name] = rng.choice((7, True, None, [WORD], {WORD: WORD}))
        case 2:
            data[name] = rng.choice(("", " ", "\n\t"))
        case 3:
            data["field9"] = WORD
        case _:
            data[name] = f"{WORD}\0"
    return data


def _length(rng: random.Random) -> int:
    """Return a number of pieces: mostly few, and now and then more than fit into one packet."""
    chance = rng.random()
    if chance < 0.9:
        return rng.randint(1, 30)
    return rng.randint(30, 400) if chance < 0.99 else rng.randint(400, 4_000)


def _text(rng: random.Random, pieces: int) -> str:
    return "x" + "".join(rng.choices(_PIECES, k=pieces))


def request(rng: random.Random, token: str, data: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Return a request's body and headers; the token is in either."""
    document: dict[str, Any] = {"data": data}
    headers = {"Content-Type": "application/json"}
    if rng.random() < 0.5:
        document["token"] = token
    else:
        headers["Authorization"] = f"Bearer {token}"
    return json.dumps(document, ensure_ascii=rng.random() < 0.5).encode(), headers


def poison(rng: random.Random, number: int) -> Sequence[str]:
    """Return bodies that are none of our messages, each different from the others."""
    kinds = (
        "no JSON at all, number %d ü",
        '{"number": %d',
        '{"number": %d, "properties": 1}',
        '{"number": %d, "body": "e30=", "properties": {"delivery_info": null}}',
        _envelope("not base64", "base64"),
        _envelope('{"message_id": "%d"}', "utf-8"),
        _envelope('{"message_id": "%d"}', "no such encoding"),
        "[%d]",
        '{"__type__": "x", "__value__": %d}',
        "%d",
    )
    order = rng.sample(kinds, len(kinds))
    return [
        order[index % len(order)] % (rng.randrange(10**9) * 1000 + index) for index in range(number)
    ]


def _envelope(body: str, encoding: str) -> str:
    """Return one of Kombu's, with a place for a number."""
    return json.dumps(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {} if "%d" in body else {"number": "%d"},
            "properties": {
                "body_encoding": encoding,
                "delivery_info": {"exchange": "", "routing_key": "other"},
                "delivery_tag": "1",
            },
        }
    )
