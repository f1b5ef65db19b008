"""JSON by RFC 8259, strictly, and with the text of what was read: numbers keep their digits.

Both services read messages with it: the validator from clients, the uploader from the queue.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined] # typeshed leaves it out
from typing import Any, Final, NoReturn

#: Most members of an object whose text is known. Our own have at most five, and a loop over tens of
#: thousands would hold up the process.
MOST_MEMBERS: Final = 8

#: White space between tokens (RFC 8259, section 2).
_SPACE: Final = re.compile(r"[ \t\n\r]*")
#: Characters that JSON allows in a text, and that Python's `splitlines`, JavaScript's regular
#: expressions and others take for the end of a line. JSON's escapes are the same text.
_LINE_BREAKS: Final = {chr(code): f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}


class Refused(ValueError):
    """What `json.loads` accepts and RFC 8259 does not.

    The text is a sentence and quotes nothing.
    """


@dataclass(slots=True, unsafe_hash=True)  # frozen would double the time to make one
class Number:
    """A number with a fraction or an exponent, as it was written: a float would make 1.10 1.1."""

    text: str


class Document(dict[str, Any]):
    """A JSON object that knows the text of each of its members, if these are few."""

    __slots__ = ("_spans", "_text")

    def __init__(
        self, members: dict[str, Any], text: str, spans: dict[str, tuple[int, int]]
    ) -> None:
        super().__init__(members)
        self._text = text
        self._spans = spans

    def text_of(self, name: str) -> str:
        """Return a member's value as it was written.

        Raises KeyError if there is none, or if there are more than MOST_MEMBERS.
        """
        start, end = self._spans[name]
        return self._text[start:end]


def parse(text: str) -> Any:
    """Return the value of a JSON text: a Document if it is an object.

    Integers are ints, other numbers `Number`s; objects inside are plain dicts. Raises
    json.JSONDecodeError, Refused for a name that occurs twice, NaN or Infinity, ValueError for more
    digits than Python converts (4,300: sys.set_int_max_str_digits), and RecursionError.
    """
    start = _after_space(text, 0)
    if text[start : start + 1] == "{":
        document = _document(text, start + 1)
        if document is not None:
            return document
    # Not an object, or not JSON: the error then says where. Or one of many members.
    value = _DECODER.decode(text)
    return Document(value, text, {}) if isinstance(value, dict) else value


def one_line(text: str) -> str:
    """Return a JSON text on one line, and otherwise unchanged.

    A line break between tokens becomes a space; texts have none, as JSON escapes control
    characters. Other characters that may count as a line break only occur in texts, and are
    escaped there, which is the same text.
    """
    text = text.replace("\n", " ").replace("\r", " ")
    if not text.isascii():
        for character, escape in _LINE_BREAKS.items():
            text = text.replace(character, escape)
    return text


def write(value: Any) -> str:
    """Return a value of `parse` as JSON without white space, with the digits of its numbers."""
    return _write(value, lambda members: members)


def canonical(value: Any) -> str:
    """Return JSON that follows from the value alone, however it was written: names are sorted."""
    return _write(value, sorted)


def _write(value: Any, ordered: Callable[[Any], Iterable[tuple[str, Any]]]) -> str:
    match value:
        case Number():
            return value.text
        case Mapping():
            members = (
                f"{_quoted(name)}:{_write(inner, ordered)}"
                for name, inner in ordered(value.items())
            )
            return f"{{{','.join(members)}}}"
        case list():
            return f"[{','.join(_write(inner, ordered) for inner in value)}]"
        case _:
            return _quoted(value)


#: JSON of anything but objects, lists and our numbers.
_quoted: Final = json.JSONEncoder(ensure_ascii=False).encode


def _document(text: str, at: int) -> Document | None:
    """Return the object whose first member begins at `at`.

    None if it is not valid JSON, or has more than MOST_MEMBERS.
    """
    members: list[tuple[str, Any]] = []
    spans: dict[str, tuple[int, int]] = {}
    at = _after_space(text, at)
    try:
        while text[at] == '"' and len(members) < MOST_MEMBERS:
            name, at = scanstring(text, at + 1, True)
            at = _after_space(text, at)
            if text[at] != ":":
                return None
            start = _after_space(text, at + 1)
            value, at = _scan(text, start)
            members.append((name, value))
            spans[name] = (start, at)
            at = _after_space(text, at)
            if text[at] != ",":
                break
            at = _after_space(text, at + 1)
            if text[at] == "}":
                return None
        if text[at] != "}" or _after_space(text, at + 1) != len(text):
            return None
    except (IndexError, StopIteration, json.JSONDecodeError):
        return None
    return Document(_object(members), text, spans)


def _after_space(text: str, at: int) -> int:
    if text[at : at + 1] in _SPACES:
        return _SPACE.match(text, at).end()  # type: ignore[union-attr] # it matches anywhere
    return at


#: With the empty text, which is at the end.
_SPACES: Final = frozenset(("", " ", "\t", "\n", "\r"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Two readers of an object with such names may see different values (RFC 8259, section 4). A
    # stored message must have only one meaning.
    names = dict(pairs)
    if len(names) < len(pairs):
        raise Refused("There is an object with a name that occurs twice.")
    return names


def _refuse_constant(_name: str) -> NoReturn:
    raise Refused("There is a number that JSON does not have (NaN or Infinity).")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=Number,
    parse_constant=_refuse_constant,
)
_scan: Final[Callable[[str, int], tuple[Any, int]]] = _DECODER.scan_once  # type: ignore[attr-defined]
