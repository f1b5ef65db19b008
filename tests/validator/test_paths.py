"""Paths and methods: both forms of a path, the methods that it has, and where else to go."""

import json
import uuid

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories import ALICE, envelope

#: Requests cost a few milliseconds each.
in_process = settings(
    max_examples=settings().max_examples // 2, suppress_health_check=list(HealthCheck)
)

ID = uuid.UUID("6b1f1d5e-46d5-4c7c-9e5e-0d3f8f4f7c11")
PATHS = ["/docs", "/schema", "/health/live", "/health/ready", f"/messages/{ID}"]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"]
BEARER = {"authorization": f"Bearer {ALICE}"}

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _unlimited(settings, monkeypatch):
    from cpsite.web.health import readiness

    settings.THROTTLE_REFUSED_RATE = None
    monkeypatch.setattr(readiness, "required", {})


def ask(method, path, **headers):
    return Client().generic(method, path, headers=headers)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_last_slash_makes_no_difference(path, method):
    one, other = (ask(method, form, **BEARER) for form in (path, f"{path}/"))
    assert one.status_code == other.status_code != 301
    assert one.content == other.content or path == "/docs"  # which shows its own path
    if path.startswith("/messages"):
        assert one.status_code == 404
        if method == "GET":
            assert one.json()["code"] == "message_unknown"
    else:
        assert one.status_code == 200


@pytest.mark.parametrize("path", ["/", *PATHS, *[f"{path}/" for path in PATHS]])
@pytest.mark.parametrize("method", METHODS)
def test_allow_names_the_methods_that_a_path_has(path, method):
    answer = ask(method, path, **BEARER)
    if answer.status_code != 405:
        return
    assert answer["Content-Type"] == "application/json"
    if method != "HEAD":
        assert answer.json()["code"] == "method_not_allowed"
    allowed = {name.strip() for name in answer["Allow"].split(",")}
    assert allowed == ({"GET", "HEAD", "POST"} if path == "/" else {"GET", "HEAD"})
    for name in allowed:
        assert ask(name, path, **BEARER).status_code != 405
    assert method not in allowed


@pytest.mark.parametrize("path", ["/", f"/messages/{ID}/"])
def test_allow_is_the_same_in_every_answer(path):
    allowed = {ask(method, path, **BEARER).get("Allow") for method in ("GET", "PUT", "OPTIONS")}
    assert len(allowed) == 1
    assert "OPTIONS" not in allowed.pop()


wrong = st.sampled_from(["messages", "messages/", "/", "//", "v1/messages", "api", "message", ""])
rest = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="?#%"))
paths = (st.builds("/{}{}".format, wrong, rest) | st.builds("/{}".format, wrong)).filter(
    lambda path: not path.startswith(("/admin", "/static")) and path.rstrip("/") not in {"", *PATHS}
)


@in_process
@given(paths, st.sampled_from(["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]))
def test_what_is_sent_to_a_wrong_path_is_shown_the_right_one(path, method):
    body = json.dumps(envelope())
    answer = Client().generic(method, "/", body, "application/json", PATH_INFO=path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "POST to the path /" in answer.json()["detail"]


@in_process
@given(paths)
def test_who_asks_at_a_wrong_path_is_shown_the_right_one(path):
    answer = Client().get("/", headers=BEARER, PATH_INFO=path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    where = "GET /messages/<message_id>/" if path.startswith("/messages") else "/docs/"
    assert where in answer.json()["detail"]


@pytest.mark.parametrize("path", ["//", "///", "/./"])
def test_a_post_to_more_slashes_is_shown_the_right_path(path):
    answer = Client().generic("POST", "/", envelope(), PATH_INFO=path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "POST to the path /" in answer.json()["detail"]


# --- Message ids --------------------------------------------------------------------------------

ids = st.uuids(allow_nil=True)
cases = st.sampled_from([str.lower, str.upper, str.title, str.swapcase])


@st.composite
def spellings(draw):
    """Return an id, and one of its spellings (RFC 9562, section 4)."""
    message_id = draw(ids)
    text = draw(st.sampled_from(["{}", "urn:uuid:{}", "{{{}}}"])).format(message_id)
    return message_id, draw(cases)(text)


@in_process
@given(spellings(), st.sampled_from(["", "/"]))
def test_an_id_is_read_in_any_spelling(pair, slash):
    message_id, text = pair
    answer = ask("GET", f"/messages/{text}{slash}", **BEARER)
    assert (answer.status_code, answer.json()["code"]) == (404, "message_unknown")
    assert answer.resolver_match.kwargs == {"message_id": message_id}


@pytest.mark.parametrize("spelt", [str(ID).upper(), ID.urn, f"{{{ID}}}", f"{ID}".title()])
def test_a_message_is_found_by_any_spelling_of_its_id(client, queue, audit, spelt):
    sent = client.post("/", envelope(), content_type="application/json").json()["message_id"]
    audit()
    answer = ask("GET", f"/messages/{spelt.lower().replace(str(ID), sent).upper()}/", **BEARER)
    assert answer.status_code == 200
    assert answer.json()["message_id"] == sent


@pytest.mark.parametrize(
    "text",
    [
        *(f"{{{ID}", f"{ID}}}", f"{ID}0", f"{ID}"[:-1], f"urn:{ID}", f"uuid:{ID}", ID.hex, "0"),
        *(f"{ID}".replace("-", "_"), f"{ID} ", f"({ID})", f"urn:uuid:{{{ID}}}", f"{ID}/{ID}"),
    ],
)
def test_what_is_no_id(text):
    answer = ask("GET", f"/messages/{text}/", **BEARER)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
