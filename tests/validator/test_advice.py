"""An answer to a wrong request says what to change, in plain words, and quotes nothing of it."""

import gzip
import json
import re

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories import ALICE, ALICE_NEXT, BOB, envelope, fields

SHOWN = "Authorization: Bearer <token>"
#: Words of Python, and of its libraries, that a client need not know.
PYTHON = re.compile(r"\b(dict|dictionary|str|string|int|bool|NoneType|None|NaT|float|tuple)\b")

#: Requests cost a few milliseconds each.
in_process = settings(
    max_examples=settings().max_examples // 2, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(autouse=True)
def _unlimited(settings, queue):
    settings.THROTTLE_REFUSED_RATE = None
    yield
    assert queue.bodies() == []


def post(body, path="/", **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client().post(path, raw, content_type="application/json", headers=headers)


def detail(answer, status, code):
    """Return the text of an answer, which must be this one."""
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    text = answer.json()["detail"]
    assert not PYTHON.search(text)
    return text


# --- No token where it belongs -------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        *("X-Api-Key", "X-API-KEY", "Api-Key", "X-Auth-Token", "X-Access-Token", "Token"),
        *("Private-Token", "Proxy-Authorization", "X-Authorization", "X-Api-Token"),
    ],
)
def test_a_token_in_another_header(header):
    text = detail(post({"data": fields()}, **{header: ALICE}), 401, "token_missing")
    assert header.lower() in text.lower()
    assert SHOWN in text
    assert ALICE not in text


@pytest.mark.parametrize(
    "value",
    [
        *(f"Token {ALICE}", f"Basic {ALICE}", ALICE, f"Bearer: {ALICE}", f"Bearer={ALICE}"),
        *(f"token={ALICE}", f"Bearer\t{ALICE}", f'Digest username="{ALICE}"', f"JWT {ALICE}"),
    ],
)
def test_another_form_of_the_authorization_header(value):
    for path, body in (("/", {"data": fields()}), ("/", {"token": None, "data": fields()})):
        text = detail(post(body, path, authorization=value), 401, "token_missing")
        assert SHOWN in text
        assert ALICE not in text
    answer = Client().get(
        "/messages/6b1f1d5e-0000-4000-8000-000000000001/", headers={"authorization": value}
    )
    text = detail(answer, 401, "token_missing")
    assert SHOWN in text
    assert '"data"' not in text  # there is no body


@pytest.mark.parametrize("name", ["token", "access_token", "api_key", "apikey", "key", "api-key"])
def test_a_token_in_the_address(name):
    text = detail(post({"data": fields()}, f"/?x=1&{name}={ALICE}"), 401, "token_missing")
    assert "in the address" in text
    assert SHOWN in text


@pytest.mark.parametrize("name", ["token", "Token", "api_key", "access_token", "Authorization"])
def test_a_token_inside_data(name):
    text = detail(post({"data": fields() | {name: ALICE}}), 401, "token_missing")
    assert 'inside "data"' in text
    assert 'beside "data"' in text


@pytest.mark.parametrize("name", ["Token", "TOKEN", "api_key", "apiKey", "access_token", "x token"])
def test_a_token_under_another_name(name):
    text = detail(post({name: ALICE, "data": fields()}), 401, "token_missing")
    assert SHOWN in text


@pytest.mark.parametrize("bearer", [None, ALICE])
def test_an_empty_body(bearer):
    headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
    answer = Client().generic(
        "POST", "/", CONTENT_TYPE="application/json", CONTENT_LENGTH="0", headers=headers
    )
    if bearer is None:
        assert "body is empty" in detail(answer, 401, "token_missing")
    else:
        assert "body is empty" in answer.json()["errors"]["data"][0]["detail"]


# --- A token of nobody ---------------------------------------------------------------------------

WHITE = st.sampled_from(["\n", "\r\n", " ", "\t", "\u00a0"])
words = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=20)


@in_process
@given(st.sampled_from([ALICE, ALICE_NEXT, BOB]), WHITE, st.booleans())
def test_white_space_around_a_token(token, white, at_the_end):
    given_token = token + white if at_the_end else white + token
    text = detail(post(envelope(token=given_token)), 401, "token_unknown")
    assert ("ends with white space" if at_the_end else "begins with white space") in text


@in_process
@given(
    st.sampled_from(
        [1, 1.5, True, False, [], [ALICE], {}, {"a": ALICE}, 10**30, -1, float(0), [[]]]
    )
)
def test_a_token_that_is_no_text(token):
    text = detail(post(envelope(token=token)), 401, "token_unknown")
    assert "is not a text" in text


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", "is empty"),
        (f'"{ALICE}"', "in quotes"),
        (f"'{ALICE}'", "in quotes"),
        (f"Bearer {ALICE}", "Bearer"),
        ("$CPSITE_TOKEN", "variable"),
        ("${CPSITE_TOKEN}", "variable"),
        ("{{ token }}", "variable"),
        (f"<{ALICE}>", "variable"),
        ("ein Schlüssel", "characters that no token has"),
        ("not-a-token", "is not known"),
    ],
)
def test_what_a_token_of_nobody_looks_like(token, words):
    assert words in detail(post(envelope(token=token)), 401, "token_unknown")
    if token.isascii() and token:
        answer = post({"data": fields()}, authorization=f"Bearer {token}")
        text = detail(answer, 401, "token_unknown")
        assert words in text
        assert "in the Authorization header" in text


@in_process
@given(words)
def test_an_answer_quotes_no_token(word):
    texts = [
        post(envelope(token=f"{word}-{word}")).content.decode(),
        post({"data": fields()}, authorization=f"Bearer {word}-{word}").content.decode(),
        post({"data": fields()}, authorization=f"{word}-{word}").content.decode(),
    ]
    for text in texts:
        assert json.dumps(f"{word}-{word}")[1:-1] not in text


@pytest.mark.parametrize(
    ("header", "body", "words"),
    [
        ("nobodys-token", ALICE, "in the Authorization header is not known"),
        ("nobodys-token", "nobodys-either", "in the Authorization header is not known"),
        (
            ALICE,
            "nobodys-token",
            "in the body is not known. The one in the Authorization header is",
        ),
        (ALICE, "your token", "in the body holds white space"),
        (ALICE, 7, "in the body is not a text"),
        (ALICE, "", "in the body is empty"),
        (ALICE, BOB, "different clients"),
        (ALICE, ALICE + "\n", "in the body ends with white space"),
    ],
)
def test_which_of_two_tokens_is_wrong(header, body, words):
    text = detail(
        post(envelope(token=body), authorization=f"Bearer {header}"), 401, "token_unknown"
    )
    assert words in text


# --- The contract --------------------------------------------------------------------------------

not_texts = (
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
) | st.recursive(
    st.lists(st.integers(), max_size=2) | st.dictionaries(st.text(max_size=3), st.integers()),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)


@in_process
@given(not_texts, st.sampled_from(["field1", "field4"]))
def test_a_field_that_is_no_text(value, name):
    answer = post(envelope(data=fields(**{name: value})))
    ((found,),) = answer.json()["errors"].values()
    assert found["code"] == "invalid"
    assert not PYTHON.search(found["detail"])
    assert "text" in found["detail"]
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert '"12"' in found["detail"]


@in_process
@given(not_texts.filter(lambda value: not isinstance(value, dict)) | st.text(max_size=5))
def test_data_that_is_no_object(value):
    answer = post(envelope(data=value))
    (found,) = answer.json()["errors"]["data"]
    assert found["code"] == "invalid"
    assert not PYTHON.search(found["detail"])
    assert "object of field1, field2, field3 and field4" in found["detail"]
    if isinstance(value, str):
        assert "not JSON in quotes" in found["detail"]


@in_process
@given(not_texts.filter(lambda value: not isinstance(value, dict)) | st.none() | st.text())
def test_a_body_that_is_no_object(value):
    assert 'object of "token" and "data"' in detail(post(value), 400, "not_an_object")


@pytest.mark.parametrize(
    ("body", "name", "words"),
    [
        (envelope(data=fields(field9="x")), "data.field9", "field1, field2, field3 and field4"),
        (envelope(data=fields(Field1="x")), "data.Field1", "its name is field1"),
        (envelope(data=fields(token="x")), "data.token", 'beside "data"'),
        (envelope(field1="x"), "field1", 'inside "data"'),
        (envelope(Data={}), "Data", "its name is data"),
        (envelope(extra=1), "extra", 'only "token" and "data"'),
    ],
)
def test_an_unknown_field(body, name, words):
    answer = post(body)
    assert words in answer.json()["errors"][name][0]["detail"]


# --- Encodings, types, methods -------------------------------------------------------------------

JSON = json.dumps(envelope())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (JSON.encode("utf-8-sig"), "byte order mark (BOM)"),
        (b"\xef\xbb\xbf", "byte order mark (BOM)"),
        *[
            (JSON.encode(encoding), "UTF-16 or UTF-32")
            for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
        ],
        (gzip.compress(JSON.encode(), mtime=0), "compressed"),
        (JSON.replace('"', "'").encode(), "double quotes"),
        (b"token=x&data=y", "form"),
        (b"--x\r\nContent-Disposition: form-data", "multipart/form-data"),
        (JSON.encode("latin-1", "replace") + "é".encode("latin-1"), "not valid UTF-8"),
        (b'{"token": "x"', "line 1, column"),
    ],
)
def test_what_a_body_is_instead_of_json(body, words):
    assert words in detail(post(body), 400, "malformed_json")


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
def test_another_content_type(content_type):
    answer = Client().generic("POST", "/", JSON, content_type=content_type)
    text = detail(answer, 415, "unsupported_media_type")
    assert "Content-Type: application/json" in text
    assert ("no Content-Type" in text) == (not content_type)


NOBODYS = json.dumps(envelope(token="nobodys-token")).encode()
codings = st.sampled_from(
    ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "compress", "aws-chunked"]
)
junk = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=8)


@in_process
@given(
    st.lists(codings | junk | st.just("identity"), min_size=1, max_size=3),
    st.sampled_from([NOBODYS, gzip.compress(NOBODYS, mtime=0)]),
)
def test_a_content_encoding(names, body):
    """Whether the body is encoded, or the label lies."""
    header = ", ".join(names)
    answer = post(body, content_encoding=header)
    if all(name.strip().lower() in {"", "identity"} for name in header.split(",")):
        assert answer.status_code in {400, 401}
        return
    assert "Content-Encoding" in detail(answer, 415, "unsupported_media_type")
    assert answer["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("headers", [{}, {"accept": "text/html"}])
def test_a_get_with_a_message(method, headers):
    """As after a redirect, which some clients follow so."""
    answer = Client().generic(method.upper(), "/", JSON, "application/json", headers=headers)
    assert answer.status_code == 400
    if method == "get":
        assert b"POST" in answer.content
    chunked = Client().generic(method.upper(), "/", headers={"transfer-encoding": "chunked"})
    assert chunked.status_code == 400
    assert Client().generic(method.upper(), "/", CONTENT_LENGTH="0").status_code == 200
