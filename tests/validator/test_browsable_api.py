"""The page that a browser gets at `/`."""

import json

import pytest

from tests import factories

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.django_db
def test_the_page_has_a_form_with_an_example(client):
    answer = client.get("/", headers=BROWSER)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "<textarea" in page
    assert "&quot;field4&quot;: &quot;some text&quot;" in page
    assert "your token" in page


@pytest.mark.django_db
def test_an_error_is_shown_on_the_page(client, queue):
    answer = client.post("/", "{}", content_type="application/json", headers=BROWSER)
    assert answer.status_code == 401
    assert b"token_missing" in answer.content


@pytest.mark.django_db
def test_the_form_sends_a_message(client, queue):
    body = json.dumps(factories.envelope())
    answer = client.post("/", body, content_type="application/json", headers=BROWSER)
    assert answer.status_code == 202
    assert b"queued" in answer.content
    assert queue.count()["visible"] == 1


@pytest.mark.parametrize("accept", ["*/*", "application/json", None])
def test_programs_get_json(client, accept):
    headers = {} if accept is None else {"accept": accept}
    assert client.get("/", headers=headers)["Content-Type"] == "application/json"
