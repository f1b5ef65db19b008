"""The OpenAPI document says what the API does: no more, no less."""

import json
import logging
import os
import re
import subprocess
import sys
from http import HTTPStatus

import pytest
import schemathesis
import yaml
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.test import override_settings
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from rest_framework.exceptions import APIException
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import unsupported_method

from cpsite.web import worker
from cpsite.web.health import readiness
from tests.docs.markdown import ROOT, page, section
from tests.factories import ALICE, ALICE_NEXT, BOB
from tests.validator import test_bad_input
from validator import exceptions, idempotency, views
from validator.contracts import default
from validator.models import IdempotencyRecord
from validator.openapi.fields import TEXT
from validator.openapi.operations import IDEMPOTENCY_KEY
from validator.openapi.responses import UNREADABLE

API = page("docs/api.md")


application = get_wsgi_application()


def _service(environ, start_response):
    """The service behind a server, which sets the client's address."""
    return application(environ | {"REMOTE_ADDR": "127.0.0.1"}, start_response)


def _document():
    return json.loads(json.dumps(SchemaGenerator().get_schema(public=True)))


DOCUMENT = _document()
POST = DOCUMENT["paths"]["/"]["post"]

#: Texts of 65,536 characters take Schemathesis a lot of work and test nothing more.
MAX_FIELD_LENGTH = 500
TOKENS = {ALICE, ALICE_NEXT, BOB}
with override_settings(MAX_FIELD_LENGTH=MAX_FIELD_LENGTH):
    api = schemathesis.openapi.from_dict(_document())
api.app = _service

# All examples of a test share the fixtures, which are emptied before each request.
fuzz = settings(suppress_health_check=list(HealthCheck))


def _codes(node):
    """Yield every error code in a part of the document."""
    if isinstance(node, list):
        return {code for item in node for code in _codes(item)}
    if not isinstance(node, dict):
        return set()
    if "$ref" in node:
        return _codes(DOCUMENT["components"]["schemas"][node["$ref"].rpartition("/")[2]])
    if "code" in node.get("properties", {}):
        code = node["properties"]["code"]
        return set(code.get("enum", [code.get("const")]))
    return _codes(list(node.values()))


# --- The document ------------------------------------------------------------------------------


def test_it_is_valid_and_made_without_warnings(tmp_path):
    validate_schema(DOCUMENT)
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "x.yaml"))


def test_its_codes_are_those_that_the_api_can_answer():
    ours = {
        kind.default_code
        for kind in vars(exceptions).values()
        if isinstance(kind, type)
        and issubclass(kind, APIException)
        and "default_code" in vars(kind)
    }
    djangos = {"not_acceptable", "throttled", "unsupported_media_type"}
    others = {exceptions.CONTRACT_BROKEN, "bad_request", "internal_error", "overloaded"}
    assert _codes(POST) == ours | djangos | others
    assert _codes(DOCUMENT["components"]["responses"]) == {"not_found", "method_not_allowed"}


def _documented(heading):
    """Return each status and code of the table under a heading of docs/api.md."""
    rows = re.findall(r"^\| (\d{3}) \| (`.*?`) \|", section(API, heading), re.MULTILINE)
    return {(int(status), code) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}


def _statuses_and_codes(operation):
    """Return each status and code of an operation; `bad_request` with its first status alone."""
    beyond_http = {(status.value, "bad_request") for status in UNREADABLE}
    return {
        (int(status), code)
        for status, answer in operation["responses"].items()
        for code in _codes(answer)
    } - (beyond_http - {(400, "bad_request")})


def test_its_statuses_of_what_is_not_http_are_those_of_the_worker():
    assert set(UNREADABLE) == {HTTPStatus.BAD_REQUEST, *worker._STATUSES.values()}


def test_its_statuses_and_codes_are_those_of_the_page():
    of_paths = {(404, "not_found"), (405, "method_not_allowed")}
    assert _documented("Answers") == _statuses_and_codes(POST) | of_paths
    status_of_message = DOCUMENT["paths"]["/messages/{message_id}/"]["get"]
    assert _documented("Ask for a message") == _statuses_and_codes(status_of_message)


def test_its_codes_of_fields_are_those_of_the_page():
    rows = re.findall(r"^\| `(\w+)` \|", section(API, "Errors"), re.MULTILINE)
    assert sorted(rows) == sorted(exceptions.FIELD_CODES)


def test_reasons_of_refusals_are_those_of_operations():
    text = section(page("docs/operations.md"), "Audit log")
    rows = re.findall(r"^\| refused \| (`.*?`) \|", text, re.MULTILINE)
    listed = {reason for reasons in rows for reason in re.findall(r"`(\w+)`", reasons)}
    of_contract = {f"contract_{code}" for code in exceptions.FIELD_CODES}
    # These reach no view, and throttled requests are only counted.
    codes = _codes(POST) - set(exceptions.FIELD_CODES) - {"bad_request", "overloaded"}
    assert listed == of_contract | codes - {"contract_broken", "throttled"}


def test_its_statuses_of_a_message_are_those_of_the_page():
    rows = re.findall(
        r"^\| `(\w+)` \| (?!meaning)", section(API, "Ask for a message"), re.MULTILINE
    )
    of_schema = DOCUMENT["components"]["schemas"]["MessageStatus"]["properties"]["status"]["enum"]
    assert sorted(rows) == sorted(of_schema)


def test_its_examples_of_the_page_fit_it():
    shown = [json.loads(fence.code) for fence in API.fences if fence.language == "json"]
    shapes = ["Envelope", "Receipt", "ContractBroken", "MessageStatus"]
    for example, name in zip(shown, shapes, strict=True):
        whole = {"components": DOCUMENT["components"], "$ref": f"#/components/schemas/{name}"}
        Draft202012Validator(whole, format_checker=FormatChecker()).validate(example)


def test_its_codes_of_fields_are_those_of_every_broken_contract():
    broken = {code for _, errors in test_bad_input.CONTRACT.values() for code in errors.values()}
    assert broken == default().codes()


def test_its_pattern_of_a_text_is_the_contract():
    pattern = re.compile(TEXT)
    assert all(
        bool(pattern.match(character)) == (character != "\0" and not character.isspace())
        for character in map(chr, range(sys.maxunicode + 1))
    )
    for text, fits in {
        "x": 1,
        " x\n": 1,
        "\n": 0,
        "": 0,
        "x\x00": 0,
        "\x00x": 0,
        " \n\x1c": 0,
    }.items():
        assert bool(re.match(TEXT, text)) == bool(fits)


def _patterns(node):
    """Yield every pattern in a part of the document."""
    if isinstance(node, list):
        node = dict(enumerate(node))
    if isinstance(node, dict):
        for name, inner in node.items():
            if name == "pattern" and isinstance(inner, str):
                yield inner
            else:
                yield from _patterns(inner)


def test_its_patterns_fit_into_literals_of_javascript():
    """Generators write them as `/…/`, some with escapes replaced by what they stand for."""
    patterns = set(_patterns(DOCUMENT))
    assert TEXT in patterns
    for pattern in patterns:
        plain = re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), pattern)
        plain = plain.replace(r"\n", "\n").replace(r"\r", "\r")
        assert not set(plain) & {"\n", "\r", "\u2028", "\u2029", "/"}


@given(st.text(st.characters(max_codepoint=255), max_size=4) | st.text('"!,~', max_size=300))
def test_its_pattern_of_a_key_is_the_one_that_is_checked(key):
    try:
        is_read = idempotency.read_key(key) is not None
    except exceptions.IdempotencyKeyInvalid:
        is_read = False
    assert is_read == bool(re.match(IDEMPOTENCY_KEY, key.strip()))


# --- Where it is served ------------------------------------------------------------------------


def test_anybody_gets_it_as_json(client):
    answer = client.get("/schema/")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.json() == DOCUMENT
    assert answer.json()["openapi"].startswith("3.1")


def test_it_is_available_as_yaml(client):
    answer = client.get("/schema/", headers={"accept": "application/yaml"})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/yaml")
    assert yaml.safe_load(answer.content) == DOCUMENT


def test_it_is_made_once(client, monkeypatch):
    first = client.get("/schema/").content
    monkeypatch.delattr(SchemaGenerator, "get_schema")
    assert client.get("/schema/").content == first


@pytest.mark.parametrize(
    ("method", "accept", "status"), [("POST", "*/*", 405), ("GET", "image/png", 406)]
)
def test_its_errors_have_the_shape_of_all(client, method, accept, status):
    answer = client.generic(method, "/schema/", headers={"accept": accept})
    assert answer.status_code == status
    assert answer.json().keys() == {"code", "detail"}


# --- What it says ------------------------------------------------------------------------------


@pytest.fixture
def _no_queue(monkeypatch, settings):
    settings.THROTTLE_REFUSED_RATE = None
    settings.MAX_FIELD_LENGTH = MAX_FIELD_LENGTH
    monkeypatch.setattr(views, "publish_message", lambda body: None)
    monkeypatch.setattr(readiness, "required", {})
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def _call(case, **headers):
    IdempotencyRecord.objects.all().delete()
    answer = case.call(headers=headers)
    # Health checks accept any method, and Django refuses some in its own format.
    excluded = [] if case.path == "/" else [unsupported_method]
    if case.path == "/" or case.method == "GET":
        case.validate_response(answer, excluded_checks=excluded)
    return answer


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_no_queue")
@api.parametrize()
@fuzz
def test_the_api_keeps_to_it(case):
    """Schemathesis sends requests that the document allows, and ones that it forbids."""
    if isinstance(case.body, dict) and isinstance(case.body.get("token"), str):
        case.body = case.body | {"token": ALICE}
    answer = _call(case, authorization=f"Bearer {ALICE}")
    if case.meta.generation.mode is GenerationMode.POSITIVE:
        # A generated id is practically never the id of a message.
        expected = {"POST": 202, "GET": 404 if case.path.startswith("/messages/") else 200}
        assert answer.status_code == expected[case.method]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_no_queue")
@fuzz
@given(api["/"]["POST"].as_strategy(generation_mode=GenerationMode.POSITIVE))
def test_allowed_requests_are_refused_without_a_known_token(case):
    # Hypothesis tries constants from our code, and so finds the tokens of these tests.
    assume(case.body.get("token") not in TOKENS)
    code = _call(case).json()["code"]
    assert code in {"token_missing", "token_unknown"}


# --- For people and generators -----------------------------------------------------------------


def _examples():
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                for media in answer.get("content", {}).values():
                    for name, example in media.get("examples", {}).items():
                        yield pytest.param(
                            media["schema"], example["value"], id=f"{method} {path} {status} {name}"
                        )


@pytest.mark.parametrize(("schema_of_answer", "example"), list(_examples()))
def test_its_examples_are_answers(schema_of_answer, example):
    whole = {"components": DOCUMENT["components"], **schema_of_answer}
    Draft202012Validator(whole, format_checker=FormatChecker()).validate(example)


def test_each_code_has_an_example():
    shown = {
        example["value"]["code"]
        for operation in (POST, DOCUMENT["paths"]["/messages/{message_id}/"]["get"])
        for answer in operation["responses"].values()
        for example in answer["content"]["application/json"]["examples"].values()
        if "code" in example["value"]
    }
    ours = _codes(POST) | _codes(DOCUMENT["paths"]["/messages/{message_id}/"])
    # The path of an unknown message answers this.
    assert shown == ours - {"not_found"} - set(exceptions.FIELD_CODES)


def test_the_committed_document_is_the_one_that_is_served():
    """`make schema` regenerates it."""
    assert (ROOT / "docs" / "openapi.yaml").read_text() == _of_what_ships("spectacular")


def test_the_committed_description_is_that_of_the_contract():
    """`make schema` regenerates it."""
    assert (ROOT / "terraform" / "contract.json").read_text() == _of_what_ships("contract")


def _of_what_ships(command):
    """Return what a command of manage.py prints for the contract that ships, not for the tests'."""
    done = subprocess.run(
        [sys.executable, "manage.py", command],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "cpsite.settings",
            "CONTRACT_MODULE": "validator.contract",
        },
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout
