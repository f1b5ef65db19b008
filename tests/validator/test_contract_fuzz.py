"""Fuzz tests: any request gets the answer that docs/api.md promises.

Its rules are written here a second time, independently of the code.
"""

import json
import logging
import re
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client, RequestFactory
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from cpsite.audit.recorder import AuditRecorder
from cpsite.message import Message
from cpsite.web.wsgi_handler import Handler, Request
from tests.factories import ALICE, ALICE_NEXT, BOB, envelope, fields
from validator import views
from validator.models import IdempotencyRecord

# All examples of a test share the fixtures below, which are emptied before each request.
fuzz = settings(
    max_examples=2 * settings().max_examples,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

OWNERS = {ALICE: "alice", ALICE_NEXT: "alice", BOB: "bob"}
NAMES = ["field1", "field2", "field3", "field4"]
LONGEST = 65_536
LONGEST_BODY = 327_680

STRAIGHT, NEGOTIATED = "*/*", "text/html,application/json;q=0.1"


# --- The expected answer to the bytes of a request, by docs/api.md -----------------------------


class Malformed(Exception):
    pass


@dataclass
class Expected:
    status: int
    code: str = ""
    client: str = ""
    data: Any = None
    #: Name of each wrong field → the codes that its errors may have.
    errors: dict[str, set[str]] = field(default_factory=dict)


def expected(body, content_type, bearer=None):
    """Return the answer that `POST /` must give."""
    if content_type.split(";")[0].strip().lower() != "application/json":
        return Expected(415, "unsupported_media_type")
    if len(body) > LONGEST_BODY:
        return Expected(413, "body_too_large")
    if bearer is not None and bearer not in OWNERS:
        return Expected(401, "token_unknown")
    try:
        document = strict_json(body) if body else {}
    except Malformed:
        return Expected(400, "malformed_json")
    if not isinstance(document, dict):
        return Expected(400, "not_an_object")
    return _judged(document, bearer)


def _judged(document, bearer):
    tokens = [token for token in (bearer, document.get("token")) if token is not None]
    if not tokens:
        return Expected(401, "token_missing")
    owners = {OWNERS.get(token) if isinstance(token, str) else None for token in tokens}
    if None in owners or len(owners) > 1:
        return Expected(401, "token_unknown")
    errors = envelope_errors(document)
    if errors:
        return Expected(400, "contract_broken", errors=errors)
    return Expected(202, client=owners.pop(), data=document["data"])


def envelope_errors(document):
    errors = {name: {"unknown"} for name in document if name not in {"token", "data"}}
    if "data" not in document:
        return errors | {"data": {"required"}}
    data = document["data"]
    if not isinstance(data, dict):
        return errors | {"data": {"null" if data is None else "invalid"}}
    errors |= {f"data.{name}": {"unknown"} for name in data if name not in NAMES}
    errors |= {f"data.{name}": {"required"} for name in NAMES if name not in data}
    found = {f"data.{name}": text_errors(data[name]) for name in NAMES if name in data}
    return errors | {name: codes for name, codes in found.items() if codes}


def text_errors(value):
    if value is None:
        return {"null"}
    if not isinstance(value, str):
        return {"invalid"}
    if all(character.isspace() for character in value):
        return {"blank"}
    rules = {
        "max_length": len(value) > LONGEST,
        "null_characters_not_allowed": "\x00" in value,
        "surrogate_characters_not_allowed": any("\ud800" <= each <= "\udfff" for each in value),
    }
    return {code for code, broken in rules.items() if broken}


def strict_json(body):
    """Parse by RFC 8259, and refuse names that occur twice."""
    try:
        return json.loads(
            body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as exc:
        raise Malformed from exc


def _unique(pairs):
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError
    return dict(pairs)


def _no_constant(name):
    raise ValueError


# --- Requests ----------------------------------------------------------------------------------

#: Placeholder of a number with more digits than Python converts, in either direction.
HUGE = "\x00huge"

any_text = st.text(max_size=20)  # lone surrogates, NUL and control characters too
good_text = st.one_of(
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20
    ).filter(str.strip),
    st.sampled_from(["x", " x ", "\ufeff", "\u200b", "\x7f", "a\nb", "😀" * 9]),
)
longest_text = st.sampled_from(["x", "é", "😀", "\x7f"]).map(lambda character: character * LONGEST)
bad_text = st.sampled_from(
    [
        "",
        " ",
        "\t\n\r",
        "\u2028\u3000\x1c",
        "\x00",
        "a\x00",
        "\ud800",
        "\udfff a",
        "x" * (LONGEST + 1),
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(HUGE) | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
good_tokens = st.sampled_from([ALICE, ALICE_NEXT, BOB])
tokens = st.one_of(*[good_tokens] * 6, st.sampled_from(["", "nobodys", ALICE + " ", "\ud800"]))
other_names = any_text | st.sampled_from(["field9", "Field1", "token", "non_field_errors", "data"])
content_types = st.sampled_from(
    ["application/json"] * 20
    + ["application/json; charset=utf-8", "APPLICATION/JSON ;x=y", "application/json;charset=x"]
    + ["text/json", "application/json, application/json", "application/jsonx", "*/*", ";", "é"]
)
bearers = st.none() | st.sampled_from([ALICE, ALICE_NEXT, BOB, "", "nobodys"])


def to_json(value, *, ascii_only, space):
    text = json.dumps(value, ensure_ascii=ascii_only, separators=(f"{space},", f":{space}"))
    return text.replace(json.dumps(HUGE), "9" * 6_000)


@st.composite
def members(draw, start, names, replacements):
    """Return the members of an object, some of them changed. A list, as names may occur twice."""
    pairs = list(start)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        change = draw(st.sampled_from(["drop", "add", "double", "replace", "replace", "replace"]))
        name = draw(st.sampled_from(names))
        if change == "drop":
            pairs = [pair for pair in pairs if pair[0] != name]
        elif change == "add":
            pairs.insert(draw(st.integers(0, len(pairs))), (draw(other_names), draw(values)))
        elif change == "double":
            pairs.append((name, draw(values)))
        else:
            new = draw(replacements)
            pairs = [(name, new) if pair[0] == name else pair for pair in pairs]
    return pairs


@st.composite
def bodies(draw):
    """Return the body of a good request with some things changed."""
    style = {
        "ascii_only": draw(st.booleans()),
        "space": draw(st.sampled_from(["", " ", "\r\n\t "])),
    }

    def written(pairs):
        items = (f"{to_json(name, **style)}:{text}" for name, text in pairs)
        return "{" + f",{style['space']}".join(items) + "}"

    start = [(name, draw(good_text)) for name in draw(st.permutations(NAMES))]
    data = draw(members(start, NAMES, good_text | longest_text | bad_text | values))
    inner = written([(name, to_json(value, **style)) for name, value in data])
    outer = draw(members([("token", draw(tokens)), ("data", None)], ["token", "data"], values))
    text = written(
        [
            (name, inner if (name, value) == ("data", None) else to_json(value, **style))
            for name, value in outer
        ]
    )
    return (style["space"] + text).encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw):
    raw = bytearray(draw(bodies()))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(raw)))
        raw[start : draw(st.integers(start, start + 3))] = draw(st.binary(max_size=3))
    return bytes(raw)


GOOD = json.dumps(envelope()).encode()


# --- Sending and judging -----------------------------------------------------------------------


class Service:
    """The service with its queue and its audit log replaced by lists."""

    def __init__(self):
        self.client = Client(raise_request_exception=False)
        self.queue, self.audit = [], []

    def post(self, body, content_type="application/json", accept=STRAIGHT, **headers):
        self.queue.clear()
        self.audit.clear()
        length = {} if body else {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": "0"}
        headers = {"accept": accept} | {name.replace("_", "-"): headers[name] for name in headers}
        return self.client.generic("POST", "/", body, content_type, headers=headers, **length)


@pytest.fixture
def service(settings, monkeypatch):
    settings.THROTTLE_REFUSED_RATE = None
    service = Service()
    monkeypatch.setattr(views, "publish_message", service.queue.append)
    # Django's test client uses its own request class, which some Content-Types break.
    monkeypatch.setattr("django.test.client.WSGIRequest", Request)
    monkeypatch.setattr(AuditRecorder, "record", lambda self, event: service.audit.append(event))
    logging.disable()
    yield service
    logging.disable(logging.NOTSET)


def check_shape(answer):
    """Check the properties of every JSON answer; return its document."""
    assert answer.status_code < 500
    assert re.fullmatch(r"[A-Za-z0-9._:=-]{1,128}", answer["X-Request-ID"])
    assert answer["Content-Type"] == "application/json"
    assert int(answer["Content-Length"]) == len(answer.content)
    document = json.loads(answer.content)
    if answer.status_code == 202:
        assert document.keys() == {"message_id", "status"}
        return document
    broken = document.get("code") == "contract_broken"
    assert document.keys() == {"code", "detail"} | ({"errors"} if broken else set())
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", document["code"])
    assert type(document["detail"]) is str
    for found in document.get("errors", {}).values():
        assert found
        assert all(each.keys() == {"code", "detail"} for each in found)
    assert (answer.status_code == 401) == answer.has_header("WWW-Authenticate")
    return document


def check(service, answer, want):
    document = check_shape(answer)
    event(f"{want.status} {want.code}")
    assert (answer.status_code, document.get("code", "")) == (want.status, want.code)
    if want.status == 202:
        check_accepted(service, document, want)
        return
    assert service.queue == []
    assert [event.kind for event in service.audit] == ["refused"]
    check_errors(document, want)


def check_accepted(service, document, want):
    (body,) = service.queue
    message = Message.decode(body.encode())
    assert (message.client, message.data) == (want.client, want.data)
    assert str(message.message_id) == document["message_id"]
    assert uuid.UUID(document["message_id"]).version == 4
    assert [event.kind for event in service.audit] == ["accepted"]


def check_errors(document, want):
    """Check that the answer names all wrong fields, and some of the unknown ones."""
    found = {
        name: {each["code"] for each in errors}
        for name, errors in document.get("errors", {}).items()
    }
    if any(not re.fullmatch(r"(data\.)?\w+", name, re.ASCII) for name in want.errors):
        return  # names chosen to be unprintable or to look like other fields
    if any("non_field_errors" in name for name in want.errors):
        return  # test_an_unknown_field_is_named
    for name, codes in found.items():
        assert codes <= want.errors[name]
    missing = [codes for name, codes in want.errors.items() if name not in found]
    assert all(codes == {"unknown"} for codes in missing)
    assert bool(found) == bool(want.errors)


def both_ways(service, body, content_type="application/json", bearer=None):
    want = expected(body, content_type, bearer)
    headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
    for accept in (STRAIGHT, NEGOTIATED):
        answer = service.post(body, content_type, accept, **headers)
        check(service, answer, want)


# --- Tests -------------------------------------------------------------------------------------


@fuzz
@given(bodies(), content_types, bearers)
@example(GOOD, "application/json", None)
def test_changed_requests(service, body, content_type, bearer):
    both_ways(service, body, content_type, bearer)


@fuzz
@given(damaged())
def test_damaged_bodies(service, body):
    both_ways(service, body)


@fuzz
@given(st.binary(max_size=400), bearers)
@example(b"[" * 100_000, None)
@example(b'{"data":' * 40_000, ALICE)
@example(b"9" * 10_000, ALICE)
@example(GOOD + b" " * (LONGEST_BODY - len(GOOD)), None)
@example(GOOD + b" " * (LONGEST_BODY - len(GOOD) + 1), None)
def test_any_bytes(service, body, bearer):
    both_ways(service, body, bearer=bearer)


@fuzz
@given(
    values,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-7", "latin-1"]),
    bearers,
)
def test_any_json(service, value, encoding, bearer):
    text = to_json(value, ascii_only=False, space="")
    both_ways(service, text.encode(encoding, "replace"), bearer=bearer)


@fuzz
@given(
    st.dictionaries(st.sampled_from(NAMES), good_text, min_size=4), st.sampled_from([ALICE, BOB])
)
def test_what_fits_is_queued_as_it_is(service, data, token):
    body = json.dumps({"token": token, "data": data}).encode()
    assert expected(body, "application/json") == Expected(202, client=OWNERS[token], data=data)
    both_ways(service, body)


good_keys = st.sampled_from(["k", '"k"', "K", "~" * 255])
bad_keys = st.sampled_from(["", " ", "k,k", '""', '"', '"k', "a b", "é", "\x7f", "x" * 256])


@pytest.mark.django_db(transaction=True)
@fuzz
@given(
    st.lists(
        st.tuples(
            good_tokens,
            st.none() | good_keys | good_keys | good_keys | bad_keys,
            st.sampled_from(["one", "two"]),
            st.sampled_from([STRAIGHT, NEGOTIATED]),
        ),
        min_size=2,
        max_size=6,
    )
)
def test_a_key_stands_for_one_message(service, requests):
    """A key belongs to a client, under any of its tokens, with or without quotes."""
    IdempotencyRecord.objects.all().delete()
    known = {}
    for token, key, text, accept in requests:
        body = json.dumps(envelope(token=token, data=fields(field1=text))).encode()
        headers = {} if key is None else {"idempotency_key": key}
        answer = service.post(body, accept=accept, **headers)
        document = check_shape(answer)
        name = (OWNERS[token], key and key.strip('"'))
        if key is not None and not re.fullmatch(r'("?)[!#-+\--~]{1,255}\1', key):
            assert (answer.status_code, document["code"]) == (400, "idempotency_key_invalid")
        elif name in known and known[name][0] != text:
            assert (answer.status_code, document["code"]) == (422, "idempotency_key_reused")
        elif name in known:
            assert (answer.status_code, document) == (202, known[name][1])
            assert answer["Idempotent-Replayed"] == "true"
        else:
            assert (answer.status_code, len(service.queue)) == (202, 1)
            assert not answer.has_header("Idempotent-Replayed")
            if key is not None:
                known[name] = (text, document)
            continue
        assert service.queue == []


# What gunicorn accepts in a header: Latin-1 without NUL, CR and LF.
header_text = st.text(st.characters(max_codepoint=255, exclude_characters="\0\r\n"), max_size=30)
header_parts = st.lists(
    st.sampled_from(
        [
            *("application/json", "text/html", "*/*", "text", "/", ";", ",", "=", '"', "*", "'"),
            *("q=", "0.5", "charset=", "utf-8", "utf-16", "hex", "undefined", "idna", "indent=4"),
            *(
                "Bearer ",
                "Basic ",
                ALICE,
                "a*=",
                "x''y",
                "%20",
                "%",
                "\\",
                " ",
                "\xff",
                "-1",
                "127",
            ),
            *("::1", "%eth0", "https://", "localhost", ":", "\t", "(", ")", "gzip"),
            *("application/json;charset=hex", "; a*0*=utf-8''x; a*1=y", ";a*=utf-8''%ff", ";a*="),
        ]
    ),
    max_size=8,
).map("".join)
header_values = header_text | header_parts
header_names = st.sampled_from(
    [
        *("accept", "accept-encoding", "accept-language", "authorization", "content-encoding"),
        *("cookie", "expect", "host", "if-match", "if-modified-since", "if-none-match", "origin"),
        *("idempotency-key", "range", "referer", "te", "upgrade", "x-csrftoken", "x-forwarded-for"),
        *("x-forwarded-host", "x-forwarded-proto", "x-http-method-override", "x-request-id"),
    ]
)
headers = st.dictionaries(header_names, header_values, max_size=4)
odd_content_types = st.just("application/json") | header_values


@pytest.mark.django_db(transaction=True)
@fuzz
@given(headers, odd_content_types)
def test_any_headers(service, headers, content_type):
    """No request causes a 5xx, and only a good one is queued."""
    IdempotencyRecord.objects.all().delete()
    answer = service.post(GOOD, content_type, headers.pop("accept", STRAIGHT), **headers)
    event(str(answer.status_code))
    if answer["Content-Type"] != "text/html; charset=utf-8":
        check_shape(answer)
    assert answer.status_code < 500
    assert (answer.status_code == 202) == bool(service.queue)


paths = st.sampled_from(["/", "/health/live", "/schema/", "/admin/", "/static/"])


@pytest.mark.django_db(transaction=True)
@fuzz
@given(
    st.sampled_from(["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "POST", "X-Y"]),
    paths,
    st.just(b"") | st.binary(max_size=12),
    st.just("") | header_parts,
    headers,
)
def test_any_path_method_and_query(service, method, path, rest, query, headers):
    IdempotencyRecord.objects.all().delete()
    answer = service.client.generic(
        method, path + quote(rest), GOOD, "application/json", headers=headers, QUERY_STRING=query
    )
    event(f"{method} {answer.status_code}")
    assert answer.status_code < 500
    assert (answer.status_code == 202) == bool(service.queue)
    service.queue.clear()


PARAMETERS = ["a*=x''y", "a*0*=utf-8''x; a*1=y; a*=utf-8''z"]


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_a_malformed_accept_header_is_not_acceptable(service, parameters):
    answer = service.post(GOOD, accept=f"application/json; {parameters}")
    assert answer.status_code in {202, 406}


@pytest.mark.django_db
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_a_content_type_with_malformed_parameters(service, parameters):
    """At any path: Django's parser would raise before the request exists."""
    statuses = []
    for path in ("/", "/nothing"):
        environ = RequestFactory().generic("POST", path, GOOD, "application/json").environ
        environ["CONTENT_TYPE"] = f"application/json; {parameters}"
        answer = Handler()(environ, lambda status, headers: statuses.append(status[:3]))
        answer.close()
    assert statuses == ["202", "404"]


@pytest.mark.parametrize("name", ["non_field_errors", ".x"])
def test_an_unknown_field_is_named(service, name):
    answer = service.post(json.dumps(envelope(**{name: "x"})).encode())
    assert list(answer.json()["errors"]) == [name]
