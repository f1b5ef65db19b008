"""What to change in a refused request, in words for people. Nothing here quotes the request.

The texts may change; clients rely on the codes (docs/api.md). They are made only once a request is
refused.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from cpsite.json_text import Number

BEARER: Final = '"Authorization: Bearer <token>"'
#: Where the token of `POST /` belongs.
SEND_TOKEN: Final = f'send {BEARER}, or "token" beside "data" in the body'

#: Of `data`, in an empty body.
ON_NO_DATA: Final = 'This field is required. The body is empty: send an object with "data".'

#: Headers in which other services take a token, by their names in a WSGI environment.
_OTHER_HEADERS: Final = {
    f"HTTP_{name.upper().replace('-', '_')}": name
    for name in (
        *("X-Api-Key", "X-Api-Token", "X-Auth-Token", "X-Access-Token", "X-Token", "X-Auth-Key"),
        *("X-Authorization", "Api-Key", "Apikey", "Api-Token", "Token", "Access-Token"),
        *("Auth-Token", "Private-Token", "Authentication", "Proxy-Authorization"),
    )
}
#: Names of a token elsewhere: in a query string, or in a body.
_OTHER_NAMES: Final = {
    *("token", "access_token", "accesstoken", "api_key", "apikey", "api_token", "apitoken"),
    *("auth_token", "authtoken", "authorization", "bearer", "bearer_token", "key"),
}
#: What a template or a shell leaves where a variable should have been replaced.
_UNREPLACED: Final = ("$", "{{", "%(", "<%")
_QUOTES: Final = ('""', "''", "``", "“”")


def kind_of(value: object) -> str:
    """Return what a JSON value is, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | Number():
            return "a number"
        case str():
            return "a text"
        case Mapping():
            return "an object"
        case _:
            return "a list"


def on_wrong_text(value: object) -> str:
    """Return what to send instead of `value`, which is no text, in a field of the contract."""
    text = f"This must be a text, not {kind_of(value)}"
    match value:
        case bool():
            return f'{text}: put it in quotes, as in "true".'
        case int() | Number():
            return f'{text}: put it in quotes, as in "12".'
        case _:
            return f"{text}."


#: Of a field that holds a moment.
ON_WRONG_MOMENT: Final = (
    "This must be a date and a time with an offset from UTC (RFC 3339), as in 2026-11-23T23:59:59Z."
)


def on_wrong_kind(demand: str, value: object) -> str:
    """Return what to send instead of `value` where `demand` is needed, such as "a number"."""
    text = f"This must be {demand}, not {kind_of(value)}"
    match value:
        case str():
            return f"{text}: send it without quotes."
        case Number() if demand == "an integer":
            return "This must be an integer: without a fraction and an exponent."
        case _:
            return f"{text}."


def listed(names: Iterable[str]) -> str:
    """Return names as a list in a sentence."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def on_wrong_data(value: object, fields: Iterable[str]) -> str:
    """Return what to send instead of `value`, which is no object, where `fields` are needed."""
    return _no_object(
        f"This must be an object of {listed(fields)}",
        value,
        "send the object itself, not JSON in quotes",
    )


def on_wrong_body(value: object) -> str:
    """Return what to send instead of `value`, which is no object, as the body."""
    demand = 'The body must be a JSON object of "token" and "data"'
    return _no_object(demand, value, "it seems to be encoded as JSON twice")


def _no_object(demand: str, value: object, on_text: str) -> str:
    text = f"{demand}, not {kind_of(value)}"
    match value:
        case str():
            return f"{text}: {on_text}."
        case list():
            return f"{text}: a request holds one message."
        case _:
            return f"{text}."


def on_unknown_field(name: str, fields: Iterable[str]) -> str:
    """Return what is wrong with a name that is not among `fields`, which the data has."""
    plain = name.strip().lower()
    if plain == "token":
        return f'{_UNKNOWN}: the token belongs beside "data", not inside it.'
    known = {field.lower(): field for field in fields}
    if plain in known:
        return f"{_UNKNOWN}: its name is {known[plain]}."
    names = listed(known.values())
    return f"{_UNKNOWN}: {names} {'are' if len(known) > 1 else 'is'}."


def on_unknown_beside_data(name: str, fields: Iterable[str]) -> str:
    """Return what is wrong with a name beside `data`, which has `fields`."""
    plain = name.strip().lower()
    if plain in {field.lower() for field in fields}:
        return f'{_UNKNOWN} here: it belongs inside "data".'
    if plain in {"token", "data"}:
        return f"{_UNKNOWN}: its name is {plain}."
    return f'{_UNKNOWN}: only "token" and "data" are.'


_UNKNOWN: Final = "This field is not known"


def on_unknown_token(token: object, place: str = "") -> str:
    """Return what is wrong with a token of no client. `place` says which of two tokens it is."""
    whole = f"The token{place}"
    if not isinstance(token, str):
        return f"{whole} is not a text: it is {kind_of(token)}."
    flaw = _flaw(token)
    return f"{whole} {flaw}." if flaw else f"{whole} is not known."


def _looks_unreplaced(token: str) -> bool:
    """Return whether it is what a template or a shell leaves where it replaced no variable."""
    return token.startswith(_UNREPLACED) or token[0] + token[-1] in {"<>", "{}"}


#: What is wrong with a token by its look, and when. The first that is true counts.
_FLAWS: Final[tuple[tuple[Callable[[str], bool], str], ...]] = (
    (lambda token: not token, "is empty"),
    (lambda token: token[0].isspace(), "begins with white space"),
    (lambda token: token[-1].isspace(), "ends with white space"),
    (lambda token: token[0] + token[-1] in _QUOTES, "is in quotes: send it without them"),
    (
        lambda token: token.lower().startswith("bearer"),
        'begins with "Bearer": that word belongs into the Authorization header, once',
    ),
    (_looks_unreplaced, "looks like the name of a variable, not like its value"),
    (
        lambda token: not all("\x21" <= character <= "\x7e" for character in token),
        "holds white space or other characters that no token has",
    ),
)


def _flaw(token: str) -> str:
    return next((flaw for is_so, flaw in _FLAWS if is_so(token)), "")


def on_missing_token(environ: Mapping[str, Any], envelope: Mapping[str, object]) -> str:
    """Return where the token belongs, for a message without one. `envelope` is its body."""
    if not envelope:
        empty = environ.get("CONTENT_LENGTH") in {"", "0", None}
        body = "is empty" if empty else "is an empty object"
        return f'The body {body}. Send an object with "data", and a token: {SEND_TOKEN}.'
    data = envelope.get("data")
    if isinstance(data, Mapping) and _names_a_token(data):
        return f'There is a token inside "data", where none is read: {SEND_TOKEN}.'
    if "token" in envelope:
        return f'A token is required, and "token" is null: {SEND_TOKEN}.'
    if _names_a_token(envelope):
        return f'There is a token in the body that is not named "token": {SEND_TOKEN}.'
    return on_missing_header(environ, SEND_TOKEN)


def _names_a_token(names: Mapping[str, object]) -> bool:
    return any(_is_of_a_token(name) for name in names)


def _is_of_a_token(name: str) -> bool:
    return name.strip().lower().replace("-", "_") in _OTHER_NAMES


def on_missing_header(environ: Mapping[str, Any], how: str = f"send {BEARER}") -> str:
    """Return `how` to send the token, and where it may have been sent instead."""
    if environ.get("HTTP_AUTHORIZATION", "").strip():
        return f"The Authorization header is not of the form Bearer <token>: {how}."
    for key, name in _OTHER_HEADERS.items():
        if key in environ:
            return f"The header {name} is not read: {how}."
    query = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    if any(_is_of_a_token(name) for name, _ in query):
        return f"A token in the address is not read, and is best replaced: {how}."
    return f"A token is required: {how}."


#: What a body that is not JSON may be instead, by how it begins.
_NOT_JSON: Final[tuple[tuple[tuple[bytes, ...], str], ...]] = (
    ((b"\xef\xbb\xbf",), "begins with a byte order mark (BOM). Send UTF-8 without one."),
    (
        (b"\xff\xfe", b"\xfe\xff", b"\0"),
        "is in UTF-16 or UTF-32. Send UTF-8, without a byte order mark (BOM).",
    ),
    (
        # gzip, zstd, zlib
        (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x78\x01", b"\x78\x9c", b"\x78\xda"),
        "is compressed. Send it as it is.",
    ),
    ((b"{'", b"['"), "is not valid JSON: texts and names are in double quotes."),
    ((b"--",), "is not valid JSON: it seems to be multipart/form-data."),
)
#: A form's data: a name, percent-encoded, and its value.
_FORM: Final = re.compile(rb"[\w.%+\[\]-]+=", re.ASCII)


def on_malformed(raw: bytes) -> str:
    """Return what a body that is not JSON seems to be instead, or an empty text."""
    if raw[1:2] == b"\0":  # UTF-16, little endian
        raw = b"\0"
    flaw = next((flaw for starts, flaw in _NOT_JSON if raw.startswith(starts)), "")
    if _FORM.match(raw):
        flaw = "is data of a form, not JSON."
    return flaw and f"The body {flaw}"
