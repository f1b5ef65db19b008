"""Who gets JSON, and who a page: by Accept (RFC 9110, section 12.5.1), judged anew here."""

import json

import pytest
import yaml
from django.test import Client
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.factories import envelope

#: Requests cost a few milliseconds each.
in_process = settings(
    max_examples=settings().max_examples // 2, suppress_health_check=list(HealthCheck)
)

#: What clients send unless told otherwise.
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"  # HttpURLConnection
GO_TO_JSON = {
    "Java": JAVA,
    "Java before 8": "text/html, image/gif, image/jpeg, */*; q=.2, */*; q=.2",
    "Chrome": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
    "Firefox": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Perl": "text/html, text/*;q=0.5, application/*;q=0.1",
    "Ruby": "*/*",
    "axios": "application/json, text/plain, */*",
    "Spring": "text/plain, application/json, application/*+json, */*",
    "jQuery": "application/json, text/javascript, */*; q=0.01",
    "RestSharp": "application/json, text/json, text/x-json, text/javascript, */*",
    "lynx": "text/html, text/plain, text/sgml, text/css, */*;q=0.01",
    "empty": "",
}
ONLY_HTML = ["text/html", "text/*", "text/html, application/json;q=0", "application/json;q=0, */*"]
NEITHER = ["image/png", "text/csv, application/xml", "*/*;q=0", "json", "text/html;q=0, image/*"]


@pytest.fixture(autouse=True)
def _unlimited(settings):
    settings.THROTTLE_REFUSED_RATE = None


NOBODYS = json.dumps(envelope(token="nobodys-token"))


def post(accept):
    return Client().post("/", NOBODYS, content_type="application/json", headers={"accept": accept})


@pytest.mark.parametrize("accept", GO_TO_JSON.values(), ids=GO_TO_JSON.keys())
def test_a_message_is_answered_in_json_wherever_json_is_accepted(queue, accept):
    answer = Client().post(
        "/", envelope(), content_type="application/json", headers={"accept": accept}
    )
    assert answer.status_code == 202
    assert answer["Content-Type"] == "application/json"
    message_id = answer.json()["message_id"]
    asked = Client().get(f"/messages/{message_id}/", headers={"accept": accept})
    assert (asked.status_code, asked["Content-Type"]) == (401, "application/json")


@pytest.mark.parametrize("accept", ONLY_HTML)
def test_a_page_answers_who_accepts_nothing_else(accept):
    answer = post(accept)
    assert (answer.status_code, answer["Content-Type"]) == (401, "text/html; charset=utf-8")


@pytest.mark.parametrize("accept", NEITHER)
@pytest.mark.parametrize("path", ["/", "/messages/6b1f1d5e-0000-4000-8000-000000000001/"])
def test_what_is_not_acceptable_is_named(accept, path):
    answer = post(accept) if path == "/" else Client().get(path, headers={"accept": accept})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
    assert "application/json" in answer.json()["detail"]
    assert "text/html" in answer.json()["detail"]


# --- Any Accept header ----------------------------------------------------------------------------

ranges = st.sampled_from(
    [
        *("application/json", "APPLICATION/JSON", "text/html", "Text/HTML", "*/*", "*"),
        *("application/*", "text/*", "image/*", "image/png", "text/plain", "application/xml"),
    ]
)
qualities = st.sampled_from(
    ["", ";q=1", ";q=0.5", "; q=.2", ";q=0", ";q=0.000", ";Q=0.1", "; q = 0.7", ";level=1;q=0.3"]
)
accepts = st.lists(st.tuples(ranges, qualities), min_size=1, max_size=6)


def quality(parts, media_type):
    """Return how welcome a type is, and how precisely it is named; written independently."""
    main = media_type.split("/")[0]
    for precision, names in ((2, {media_type}), (1, {f"{main}/*"}), (0, {"*/*", "*"})):
        found = [
            float(text.rpartition("=")[2] or 1) for name, text in parts if name.lower() in names
        ]
        if found:
            return max(found), precision
    return 0.0, 0


def judged(parts, *, opens_page):
    json_is, html_is = quality(parts, "application/json"), quality(parts, "text/html")
    if not json_is[0] and not html_is[0]:
        return 406, "application/json"
    html = html_is[0] > 0 and (not json_is[0] or (opens_page and html_is > json_is))
    return 0, "text/html; charset=utf-8" if html else "application/json"


@in_process
@given(accepts, st.sampled_from([",", ", ", " ,,"]))
@example([("text/html", ""), ("image/gif", ""), ("*", "; q=.2"), ("*/*", "; q=.2")], ", ")
def test_any_accept_header(parts, comma):
    accept = comma.join(name + text for name, text in parts)
    for answer, opens_page in (
        (post(accept), False),
        (Client().get("/", headers={"accept": accept}), True),
        (
            Client().get(
                "/messages/6b1f1d5e-0000-4000-8000-000000000001/", headers={"accept": accept}
            ),
            False,
        ),
    ):
        status, content_type = judged(parts, opens_page=opens_page)
        assert answer.status_code == status or (not status and answer.status_code in {200, 401})
        assert answer["Content-Type"] == content_type


@in_process
@given(st.text(st.characters(max_codepoint=255, exclude_characters="\0\r\n"), max_size=60))
def test_any_text_as_accept_header(text):
    for answer in (post(text), Client().get("/schema/", headers={"accept": text})):
        assert answer.status_code in {200, 401, 406}


# --- The OpenAPI document -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        *[
            (name, name)
            for name in (
                *("application/json", "application/vnd.oai.openapi+json"),
                *("application/openapi+json", "application/yaml", "application/vnd.oai.openapi"),
                *("application/vnd.oai.openapi+yaml", "application/openapi+yaml"),
                *("application/x-yaml", "text/yaml", "text/x-yaml", "text/vnd.yaml"),
            )
        ],
        ("application/vnd.oai.openapi+json;version=3.1", "application/vnd.oai.openapi+json"),
        ("application/vnd.oai.openapi+json, */*;q=0.1", "application/vnd.oai.openapi+json"),
        ("application/yaml, application/json;q=0.9", "application/yaml"),
        ("application/yaml;q=0.5, application/json;q=0.9", "application/json"),
        ("application/json, application/yaml", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("*/*", "application/json"),
    ],
)
def test_tools_get_the_document_by_any_of_its_names(client, accept, content_type):
    answer = client.get("/schema/", headers={"accept": accept})
    assert (answer.status_code, answer["Content-Type"]) == (200, content_type)
    assert yaml.load(answer.content, yaml.CSafeLoader)["openapi"].startswith("3.1")
