"""Pages for browsers: the form at `/`, answers of the API, and `/docs/`."""

import json
import re

import pytest
from django.contrib.staticfiles import finders

from tests import factories

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
#: For who wants nothing else: JSON answers those who accept it.
ONLY_HTML = {"accept": "text/html,application/xhtml+xml"}


def _page(client, path="/"):
    answer = client.get(path, headers=BROWSER)
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/html; charset=utf-8")
    return answer.content.decode()


def test_the_page_has_a_form_with_a_field_each(client):
    page = _page(client)
    fields = re.findall(r'<(?:input|textarea) id="([\w-]+)"', page)
    of_data = ["data-field1", "data-field2", "data-field3", "data-field4"]
    assert fields == ["token", *of_data, "key"]
    labels = re.findall(r'<label for="([\w-]+)"', page)
    assert labels == fields
    assert "&quot;field4&quot;:&quot;d&quot;" in page


def test_it_is_served_under_any_name_as_the_api_is(client):
    # DJANGO_ALLOWED_HOSTS applies only to the admin.
    answer = client.get("/", headers=BROWSER | {"host": "messages.example.com"})
    assert answer.status_code == 200
    assert "curl -i http://messages.example.com/" in answer.content.decode()


def test_it_states_the_configured_limits(client, settings):
    settings.MAX_FIELD_LENGTH, settings.MAX_BODY_BYTES = 1234, 5678
    page = _page(client)
    assert "at most 1234 characters" in page
    assert "over 5678 bytes" in page


@pytest.mark.parametrize(
    ("path", "styles"), [("/", "'self'"), ("/docs/", "'self' 'unsafe-inline'")]
)
def test_a_page_loads_nothing_from_elsewhere(client, path, styles):
    answer = client.get(path, headers=BROWSER)
    assert answer["Content-Security-Policy"].split("; ") == [
        "default-src 'none'",
        "script-src 'self'",
        f"style-src {styles}",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
    page = answer.content.decode()
    assets = re.findall(r'(?:src|rel="(?:icon|stylesheet)" href)="(.*?)"', page)
    assert len(assets) >= 3
    for asset in assets:
        assert asset.startswith("/static/")
        assert finders.find(asset.removeprefix("/static/")), asset
    assert "<script>" not in page
    assert "style=" not in page


def test_the_documentation_names_the_schema(client):
    assert 'data-schema="/schema/"' in _page(client, "/docs/")


def test_the_documentation_is_read_only(client):
    assert client.post("/docs/").status_code == 405


@pytest.mark.django_db
def test_an_error_is_shown_on_the_page(client, queue):
    answer = client.post("/", "{}", content_type="application/json", headers=ONLY_HTML)
    assert answer.status_code == 401
    assert b"token_missing" in answer.content


@pytest.mark.django_db
def test_the_form_sends_a_message(client, queue):
    body = json.dumps(factories.envelope())
    answer = client.post("/", body, content_type="application/json", headers=ONLY_HTML)
    assert answer.status_code == 202
    assert b"queued" in answer.content
    assert queue.count()["visible"] == 1


@pytest.mark.parametrize("accept", ["*/*", "application/json", None])
def test_programs_get_json(client, accept):
    headers = {} if accept is None else {"accept": accept}
    assert client.get("/", headers=headers)["Content-Type"] == "application/json"
