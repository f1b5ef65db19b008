"""Every kind of field: what it takes, what it refuses, and that it is stored as it was sent.

Its rules are written here a second time, independently of the code.
"""

import json
import logging

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cpsite.audit.recorder import AuditRecorder
from cpsite.message import Message
from tests.factories import ALICE
from validator import views
from validator.contracts import contracts

pytestmark = pytest.mark.usefixtures("every_kind")

fuzz = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

#: A valid message, each value as JSON text.
GOOD = {
    "text": '"some text"',
    "integer": "7",
    "decimal": "12.10",
    "boolean": "true",
    "moment": '"2026-11-23T23:59:59.5+01:00"',
    "choice": '"red"',
    "address": '{"street": "Hauptstraße 1", "zip_code": "01067"}',
    "lines": '[{"sku": "A-1", "quantity": 2}]',
}
TOO_MANY = '[{"sku": "A", "quantity": 1}' + ', {"sku": "A", "quantity": 1}' * 3 + "]"


@pytest.fixture
def queued(monkeypatch):
    """The messages that were queued. Nothing else is kept."""
    bodies = []
    monkeypatch.setattr(views, "publish_message", bodies.append)
    monkeypatch.setattr(AuditRecorder, "record", lambda self, event: None)
    logging.disable()
    yield bodies
    logging.disable(logging.NOTSET)


def written(members):
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in members.items()) + "}"


def post(client, data, path="/"):
    body = f'{{"token": "{ALICE}", "data": {data}}}'
    return client.post(path, body.encode(), content_type="application/json")


def errors_of(answer):
    found = answer.json().get("errors", {})
    return {name: [each["code"] for each in errors] for name, errors in found.items()}


#: A field, and what it takes.
TAKEN = [
    *(("text", value) for value in ('"ab"', '"  x"', '"\\u0041\\u00e9"', f'"{"é" * 100}"')),
    *(("integer", value) for value in ("0", "-0", "-1", "9" * 300, "12345678901234567890123")),
    *(("decimal", value) for value in ("1.10", "-5", "0", "-0.0", "999999.99", "1e3", "1.1E+2")),
    ("decimal", "0.5e-1"),
    *(("boolean", value) for value in ("true", "false")),
    *(
        ("moment", f'"{value}"')
        for value in (
            "2026-11-23T23:59:59Z",
            "2026-11-23T23:59:59.123456789-23:59",
            "2024-02-29T00:00:00+00:00",
        )
    ),
    ("choice", '"green"'),
    ("address", '{"street": "x"}'),
    ("lines", '[{"sku": "A-1", "quantity": 1000}, {"quantity": 1, "sku": "0123456789"}]'),
    *(("tags", value) for value in ("[]", '["a", "a"]', json.dumps(["x"] * 1_000))),
    *(("note", value) for value in ("null", '"x"')),
    *(("count", value) for value in ("null", "1")),
    *(("x-large", value) for value in ("null", "true")),
]


@pytest.mark.parametrize(("name", "value"), TAKEN)
def test_what_fits_is_queued_as_it_was_written(client, queued, name, value):
    data = written(GOOD | {name: value})
    answer = post(client, data)
    assert answer.status_code == 202, answer.json()
    (body,) = queued
    assert body.endswith(f',"data":{data}}}')
    assert Message.decode(body.encode()).data_text == data


#: A field, what it refuses, and the field's error with its code.
REFUSED = [
    *(("text", value, "text", "invalid") for value in ("1", "true", "[]", "{}", "1.0")),
    ("text", '"a"', "text", "min_length"),
    ("text", f'"{"x" * 101}"', "text", "max_length"),
    ("text", '" "', "text", "blank"),
    ("text", "null", "text", "null"),
    *(
        ("integer", value, "integer", "invalid")
        for value in ('"7"', "7.0", "7e0", "true", "[7]", "{}", '""')
    ),
    *(
        ("decimal", value, "decimal", "invalid")
        for value in ('"1.10"', "true", "false", "[1.10]", '""')
    ),
    ("decimal", "1.234", "decimal", "max_decimal_places"),
    ("decimal", "1.100", "decimal", "max_decimal_places"),
    ("decimal", "1234567.8", "decimal", "max_whole_digits"),
    ("decimal", "123456789", "decimal", "max_digits"),
    *(
        ("decimal", value, "decimal", "max_digits")
        for value in ("1e99999999999999999999", "1e-99999999999999999999", "1e1000000", "9" * 4_000)
    ),
    ("decimal", "-5.01", "decimal", "min_value"),
    *(("boolean", value, "boolean", "invalid") for value in ("0", "1", '"true"', "[]")),
    *(
        ("moment", f'"{value}"', "moment", "invalid")
        for value in (
            "2026-11-23",
            "2026-11-23T23:59:59",
            "2026-11-23 23:59:59Z",
            "2026-11-23t23:59:59z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T23:59:60Z",
            "2026-02-29T00:00:00Z",
            "2026-11-23T23:59:59+24:00",
            "2026-11-23T23:59:59+01:60",
            "2026-11-23T23:59:59.1234567890Z",
            "\uff12026-11-23T23:59:59Z",
            "2026-11-23T23:59:59Z\\n",
            "",
            "now",
        )
    ),
    ("moment", "1764000000", "moment", "invalid"),
    ("choice", '"blue"', "choice", "invalid_choice"),
    ("choice", '"Red"', "choice", "invalid_choice"),
    ("choice", '""', "choice", "invalid_choice"),
    ("choice", "1", "choice", "invalid"),
    ("choice", '["red"]', "choice", "invalid"),
    ("address", '"Hauptstraße"', "address", "invalid"),
    ("address", "[]", "address", "invalid"),
    ("address", "null", "address", "null"),
    ("address", "{}", "address.street", "required"),
    ("address", '{"street": "x", "city": "y"}', "address.city", "unknown"),
    ("address", '{"street": "x", "zip_code": "1067"}', "address.zip_code", "pattern"),
    ("address", '{"street": "x", "zip_code": "010671"}', "address.zip_code", "pattern"),
    ("address", '{"street": "x", "zip_code": "01067\\n"}', "address.zip_code", "pattern"),
    ("address", '{"street": "x", "zip_code": "0106\u0663"}', "address.zip_code", "pattern"),
    ("address", '{"street": "x", "zip_code": null}', "address.zip_code", "null"),
    ("lines", "{}", "lines", "invalid"),
    ("lines", '"A-1"', "lines", "invalid"),
    ("lines", "[]", "lines", "min_length"),
    ("lines", TOO_MANY, "lines", "max_length"),
    ("lines", "[null]", "lines.0", "null"),
    ("lines", '[{"sku": "A", "quantity": 0}]', "lines.0.quantity", "min_value"),
    ("lines", '[{"sku": "A", "quantity": 1001}]', "lines.0.quantity", "max_value"),
    ("lines", '[{"sku": "12345678901", "quantity": 1}]', "lines.0.sku", "max_length"),
    ("lines", '[{"sku": "A", "quantity": 1, "x": 1}]', "lines.0.x", "unknown"),
    ("tags", json.dumps(["x"] * 1_001), "tags", "max_length"),
    ("tags", '["a", 1]', "tags.1", "invalid"),
    ("tags", "null", "tags", "null"),
    ("note", '""', "note", "blank"),
    ("count", '"1"', "count", "invalid"),
    ("x-large", "1", "x-large", "invalid"),
    ("x_large", "true", "x_large", "unknown"),
]


@pytest.mark.parametrize(("name", "value", "field", "code"), REFUSED)
def test_what_does_not_fit_is_refused_with_its_code(client, queued, name, value, field, code):
    answer = post(client, written(GOOD | {name: value}))
    assert answer.status_code == 400
    assert errors_of(answer) == {f"data.{field}": [code]}
    assert queued == []


@pytest.mark.parametrize("name", GOOD)
def test_what_must_be_there_is_missed(client, queued, name):
    answer = post(client, written({each: text for each, text in GOOD.items() if each != name}))
    assert errors_of(answer) == {f"data.{name}": ["required"]}


def test_a_text_that_is_too_long_is_not_matched(client, queued, monkeypatch):
    """A pattern may take long for a long text."""
    matched = []
    field = contracts()[0].data().fields["address"].fields["zip_code"]
    monkeypatch.setattr(field, "_matches", matched.append)
    text = "x" * 65_537
    answer = post(client, written(GOOD | {"address": f'{{"street": "x", "zip_code": "{text}"}}'}))
    assert errors_of(answer) == {"data.address.zip_code": ["max_length"]}
    assert matched == []


def test_of_many_wrong_items_few_are_named(client, queued):
    answer = post(client, written(GOOD | {"tags": json.dumps([1] * 1_000)}))
    assert errors_of(answer) == {f"data.tags.{number}": ["invalid"] for number in range(5)}


def test_no_answer_quotes_what_was_sent(client, queued):
    secret = "my secret"
    for name in GOOD:
        for value in (f'"{secret}"', f'["{secret}"]', f'{{"street": ["{secret}"]}}'):
            answer = post(client, written(GOOD | {name: value}))
            assert secret not in answer.content.decode()


# --- Whatever is valid is stored as it is -------------------------------------------------------

space = st.sampled_from(["", "", "", " ", "\t", "  "])
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\x00\x85\u2028\u2029")


@st.composite
def texts(draw, **bounds):
    """JSON of a text, with some characters escaped."""
    text = draw(st.text(characters, **bounds).filter(str.strip))
    return json.dumps(text, ensure_ascii=draw(st.booleans()))


integers = st.integers().map(str) | st.integers(-(10**80), 10**80).map(str)
decimals = st.one_of(
    st.builds(
        "{}.{}".format, st.integers(0, 999_999), st.text("0123456789", min_size=1, max_size=2)
    ),
    st.integers(-5, 999_999).map(str),
    st.builds("{}e{}".format, st.integers(0, 9), st.integers(0, 5)),
)


def one_of(*choices):
    return st.sampled_from([json.dumps(each) for each in choices])


@st.composite
def objects(draw, required, optional=None):
    """JSON of an object: members in any order, with white space between the tokens."""
    more = {name: each for name, each in (optional or {}).items() if draw(st.booleans())}
    strategies = required | more
    names = draw(st.permutations(list(strategies)))
    members = [
        f"{draw(space)}{json.dumps(name)}{draw(space)}:{draw(space)}{draw(strategies[name])}"
        for name in names
    ]
    return "{" + f"{draw(space)},".join(members) + draw(space) + "}"


@st.composite
def lists(draw, items, **bounds):
    return "[" + f"{draw(space)},{draw(space)}".join(draw(st.lists(items, **bounds))) + "]"


null = st.just("null")
addresses = objects(
    {"street": texts(min_size=1, max_size=20)},
    {"zip_code": st.from_regex(r"\A[0-9]{5}\Z").map(json.dumps)},
)
lines = objects({"sku": texts(min_size=1, max_size=10), "quantity": st.integers(1, 1_000).map(str)})
messages = objects(
    {
        "text": texts(min_size=2, max_size=30),
        "integer": integers,
        "decimal": decimals,
        "boolean": one_of(True, False),
        "moment": st.just(json.dumps("2026-11-23T23:59:59.5+01:00")),
        "choice": one_of("red", "green"),
        "address": addresses,
        "lines": lists(lines, min_size=1, max_size=3),
    },
    {
        "tags": lists(texts(min_size=1, max_size=5), max_size=4),
        "note": null | texts(min_size=1, max_size=9),
        "count": null | integers,
        "x-large": null | one_of(True, False),
    },
)


@fuzz
@given(messages)
@example(written(GOOD | {"decimal": "1.10", "integer": "1" + "0" * 400}))
def test_bytes_of_data_in_are_bytes_of_data_out(client, queued, data):
    queued.clear()
    answer = post(client, data)
    assert answer.status_code == 202, answer.json()
    (body,) = queued
    assert body.partition('"data":')[2] == data + "}"
    assert Message.decode(body.encode()).data_text == data


@fuzz
@given(messages, st.sampled_from(["\n", "\r", "\r\n", "\n\t\n"]))
def test_only_line_breaks_between_tokens_become_spaces(client, queued, data, line_break):
    queued.clear()
    sent = data.replace('"lines"', f'{line_break}"lines"{line_break}', 1)
    if post(client, sent).status_code != 202:
        return  # it stood in a text
    (body,) = queued
    spaces = line_break.replace("\n", " ").replace("\r", " ")
    assert body.partition('"data":')[2] == sent.replace(line_break, spaces) + "}"
    assert len(body.splitlines()) == 1


def test_characters_that_end_a_line_elsewhere_are_escaped(client, queued):
    post(client, written(GOOD | {"text": '"a\u2028b\u2029c\x85"'}))
    (body,) = queued
    assert '"a\\u2028b\\u2029c\\u0085"' in body


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@fuzz
@given(st.sampled_from([*GOOD, "tags", "note", "count", "x-large", "other"]), values)
def test_any_value_is_taken_or_refused_and_never_an_error(client, queued, name, value):
    queued.clear()
    answer = post(client, written(GOOD | {name: json.dumps(value)}))
    assert answer.status_code in {202, 400}
    assert bool(queued) == (answer.status_code == 202)
    if answer.status_code == 400:
        assert all(field.startswith(f"data.{name}") for field in errors_of(answer))
