"""Whatever is on the queue, `Message.decode` reads it correctly or raises DecodeError."""

import codecs
import json
import uuid
from datetime import UTC

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from cpsite.message import CLIENT_NAME, DecodeError, Message
from tests import factories

fuzz = settings(max_examples=3 * settings().max_examples)

#: The only texts that a DecodeError may have. None of them quotes a body.
REASONS = {
    "JSONDecodeError",
    "OverflowError",
    "UnicodeDecodeError",
    "There is a number that JSON does not have (NaN or Infinity).",
    "There is an object with a name that occurs twice.",
    "UnicodeEncodeError",
    "ValueError",
    "a value that should be text is not",
    "accepted_at has no time zone",
    "client is not a client's name",
    "data is not an object",
    "more than one line",
    "nested too deeply",
    "not an object with exactly the message's keys",
}

#: Stands for a number of more digits than Python converts, in either direction.
HUGE = "\x00huge"

#: Text that UTF-8 can encode. Hypothesis tries control characters, astral ones and odd spaces.
characters = st.characters(exclude_categories=["Cs"])
texts = st.text(characters, max_size=40)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(HUGE)
    | st.floats()  # NaN and Infinity too, as Python writes them
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
odd_ids = st.sampled_from(
    [
        "",
        "6B1F1D5E-0000-4000-8000-000000000001",
        "{6b1f1d5e-0000-4000-8000-000000000001}",
        "urn:uuid:6b1f1d5e-0000-4000-8000-000000000001",
        "6b1f1d5e000040008000000000000001",
        "6b1f1d5e-0000-4000-8000-00000000000",
        "6b1f1d5e-0000-4000-8000-00000000000g",
        "+6b1f1d5e000040008000000000000001"[:32],
        "\uff16b1f1d5e-0000-4000-8000-000000000001",  # a full-width digit
        "00000000-0000-0000-0000-000000000000",
    ]
)
odd_times = st.sampled_from(
    [
        "",
        "now",
        "2026-11-23",
        "2026-11-23T23:59:59",
        "2026-11-23T23:59:59Z",
        "2026-11-23 23:59:59+00:00",
        "2026-W48-1T00:00:00+00:00",
        "20261123T235959+0000",
        "2026-11-23T23:59:59,5+00:00",
        "2026-11-23T23:59:59.1234567891+00:00",
        "2026-11-23T24:00:00+00:00",
        "2026-11-23T23:59:60+00:00",
        "2026-02-29T00:00:00+00:00",
        "2026-11-23T23:59:59+23:59",
        "2026-11-23T23:59:59+24:00",
        "2026-11-23T23:59:59-00:00:30.5",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "0000-01-01T00:00:00+00:00",
        "10000-01-01T00:00:00+00:00",
        "202\uff16-11-23T23:59:59+00:00",
    ]
) | st.datetimes(timezones=st.timezones() | st.just(UTC)).map(lambda moment: moment.isoformat())


def read(raw):
    """Decode, and check what must hold for any outcome."""
    try:
        message = Message.decode(raw)
    except DecodeError as exc:
        refusal = exc
    else:
        return check(message)
    assert refusal.raw == raw
    assert str(refusal) in REASONS
    event(str(refusal))
    return None


def check(message):
    assert type(message.message_id) is uuid.UUID
    assert message.accepted_at.tzinfo is UTC
    assert CLIENT_NAME.fullmatch(message.client)
    assert all(type(name) is str for name in message.data)
    again = message.encode().encode()
    assert b"\n" not in again
    assert Message.decode(again) == message
    event("decoded")
    return message


def members(**changes):
    """Names and values of a valid message, as a list, so that a name may occur twice."""
    return list((json.loads(factories.message().encode()) | changes).items())


def to_json(value, *, ascii_only=False):
    return json.dumps(value, ensure_ascii=ascii_only).replace(json.dumps(HUGE), "9" * 6_000)


def document(pairs, *, ascii_only=False):
    inner = (
        to_json(name, ascii_only=ascii_only) + ":" + to_json(value, ascii_only=ascii_only)
        for name, value in pairs
    )
    return "{" + ",".join(inner) + "}"


@st.composite
def near_misses(draw):
    """Return a message with up to three things changed, and its members."""
    pairs = members()
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(["message_id", "accepted_at", "client", "data"]))
        change = draw(st.sampled_from(["drop", "add", "double", "replace", "id", "time", "data"]))
        if change == "drop":
            pairs = [pair for pair in pairs if pair[0] != name]
        elif change == "add":
            pairs.insert(draw(st.integers(0, len(pairs))), (draw(texts), draw(values)))
        elif change == "double":
            pairs.append((name, draw(values)))
        else:
            new = {
                "replace": (name, values),
                "id": ("message_id", odd_ids),
                "time": ("accepted_at", odd_times),
                "data": ("data", st.dictionaries(texts, values, max_size=5)),
            }[change]
            pairs = [(new[0], draw(new[1])) if pair[0] == new[0] else pair for pair in pairs]
    return pairs


@fuzz
@given(st.binary(max_size=400))
@example(codecs.BOM_UTF8 + factories.message().encode().encode())
@example(b"[" * 100_000)
@example(b'{"data":' * 50_000)
@example(b"9" * 10_000)
def test_any_bytes(raw):
    assert read(raw) is None


@fuzz
@given(values, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-7", "latin-1"]))
def test_any_json(value, encoding):
    assert read(to_json(value).encode(encoding, "replace")) is None


@fuzz
@given(near_misses(), st.booleans())
def test_a_message_with_something_changed(pairs, ascii_only):
    message = read(document(pairs, ascii_only=ascii_only).encode())
    names = {name for name, _ in pairs}
    if len(names) < len(pairs):
        assert message is None
    if names != {"message_id", "accepted_at", "client", "data"}:
        assert message is None
    if message is not None:
        given_ = dict(pairs)
        assert message.client == given_["client"]
        assert json.loads(message.data_text) == given_["data"]


@fuzz
@given(st.data())
def test_a_message_with_bytes_changed(data):
    """Damage is not repaired: what still decodes is exactly what the bytes say."""
    raw = bytearray(factories.message().encode().encode())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(raw)))
        end = data.draw(st.integers(start, min(start + 3, len(raw))))
        raw[start:end] = data.draw(st.binary(max_size=3))
    message = read(bytes(raw))
    if message is not None:
        assert json.loads(raw)["data"] == json.loads(message.data_text)


@fuzz
@given(st.integers(0, 3_000), st.sampled_from('[{"'), st.sampled_from(["client", "data"]))
def test_deep_nesting(depth, kind, name):
    opening, closing = {"[": ("[", "]"), "{": ('{"a":', "}"), '"': ('["', '"]')}[kind]
    pairs = dict(members())
    pairs.pop(name)
    deep = opening * depth + "1" + closing * depth
    message = read((document(pairs.items())[:-1] + f',"{name}":{deep}}}').encode())
    if message is not None:
        assert (name, kind) == ("data", "{")
        assert message.data_text == deep


@fuzz
@given(
    st.fixed_dictionaries(dict.fromkeys(factories.fields(), texts)) | st.dictionaries(texts, texts),
    st.uuids(),
    st.datetimes(timezones=st.just(UTC)),
    st.from_regex(CLIENT_NAME, fullmatch=True),
)
def test_what_is_encoded_decodes_to_the_same(data, message_id, accepted_at, client):
    message = factories.message(
        message_id=message_id, accepted_at=accepted_at, client=client, data=data
    )
    assert read(message.encode().encode()) == message


@fuzz
@given(
    st.permutations(members()),
    st.booleans(),
    st.sampled_from(["", " ", "\t", "\r", "  "]),
)
def test_other_spellings_of_a_message_are_the_message(pairs, ascii_only, space):
    text = document(pairs, ascii_only=ascii_only)
    assert read((space + text + space).encode()) == factories.message()


@fuzz
@given(st.sampled_from(["client", "value", "name"]), st.characters(categories=["Cs"]))
def test_half_a_character_is_a_decode_error(where, half):
    """JSON can escape a lone surrogate, but UTF-8 cannot encode it (RFC 8259, 8.2)."""
    data = factories.fields()
    changes = {
        "client": {"client": half},
        "value": {"data": data | {"field1": f"a{half}"}},
        "name": {"data": data | {f"a{half}": "x"}},
    }[where]
    with pytest.raises(DecodeError):
        Message.decode(document(members(**changes), ascii_only=True).encode())
