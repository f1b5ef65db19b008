"""The forms of contracts with every kind of field (tests/every_kind.py)."""

import json
import shlex
import subprocess
from itertools import product

import pytest

from tests.browser.conftest import DESKTOP, PHONE

TOKEN = "alice-token-1"
TABLET = {"width": 1024, "height": 800}


@pytest.fixture
def contract_module():
    return "tests.every_kind"


def _fill(page, **values):
    page.locator("#token").fill(TOKEN)
    for path, value in values.items():
        field = page.locator(f'[data-kind][name="{path}"]')
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)


GOOD = {
    "text": 'two "words"',
    "integer": "12345678901234567890123",
    "decimal": "1.10",
    "boolean": "false",
    "moment": "2026-11-23T23:59:59Z",
    "choice": "green",
    "address.street": "Am Markt 1",
    "lines": '[{"sku": "A-1", "quantity": 1}]',
}


def _send(page):
    page.get_by_role("button", name="Send").click()
    page.locator("#result").wait_for(state="visible")
    return page.locator("#result-status").inner_text()


def _queued(site):
    return [json.loads(json.loads(body)["body"]) for body in site.queue.bodies()]


def test_each_kind_is_sent_as_it_was_typed(page, site):
    page.goto("/")
    _fill(page, **GOOD)
    assert _send(page).startswith("202")
    (body,) = site.queue.bodies()
    data = json.loads(body)["body"].partition('"data":')[2]
    assert '"integer": 12345678901234567890123, "decimal": 1.10, "boolean": false' in data
    message = json.loads(json.loads(body)["body"])
    assert message["data"]["address"] == {"street": "Am Markt 1"}
    assert message["data"]["lines"] == [{"sku": "A-1", "quantity": 1}]
    # Empty and optional: not sent.
    assert not {"note", "count", "tags", "delivery", "x-large"} & message["data"].keys()


def test_a_list_without_a_help_text_says_only_how_it_is_written(page):
    page.goto("/")
    assert page.locator('[id="about-lines"]').inner_text().strip() == "A list in JSON."


def test_errors_stand_beside_inputs_of_every_kind(page, is_accessible, fits):
    page.goto("/")
    wrong = {"integer": "1.5", "decimal": "1,10", "moment": "yesterday", "lines": "A-1"}
    _fill(page, **(GOOD | wrong | {"address.street": " ", "boolean": ""}))
    assert _send(page).startswith("400")
    found = page.locator("[aria-invalid=true]")
    assert [field.get_attribute("name") for field in found.all()] == [
        *("integer", "decimal", "boolean", "moment", "address.street", "lines"),
    ]
    assert page.locator('[id="error-decimal"]').inner_text() == (
        "This must be a number, not a text: send it without quotes."
    )
    is_accessible(page)
    fits(page)


def test_the_curl_line_sends_the_examples_of_what_is_missing(page, site):
    page.goto("/messages/order_placed/")
    page.locator('[name="customer"]').fill("it's me")
    line = page.locator("#curl").inner_text()
    done = subprocess.run(
        ["sh", "-c", f"CPSITE_TOKEN={shlex.quote(TOKEN)}; {line}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "202 Accepted" in done.stdout
    (message,) = _queued(site)
    assert message["contract"] == "order_placed"
    assert message["data"] == {"order_id": "o-1", "customer": "it's me", "amount": 12.1}


def test_names_that_the_form_uses_itself_are_fields_as_well(page, site):
    page.goto("/messages/readings/")
    _fill(page, token="t", key="k", action="a", data="d", fields="f", value="0.50")
    page.locator("#token").fill(TOKEN)
    assert _send(page).startswith("202")
    (message,) = _queued(site)
    assert message["data"] == {
        "token": "t",
        "key": "k",
        "action": "a",
        "data": "d",
        "fields": "f",
        "value": 0.5,
    }


def test_one_form_leads_to_the_others(page):
    page.goto("/")
    page.get_by_role("link", name="readings").click()
    page.get_by_role("heading", name="Send a message of readings").wait_for()


def test_it_fits_any_screen(page, picture, is_accessible, fits):
    for size, scheme in product((DESKTOP, TABLET, PHONE), ("light", "dark")):
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        page.goto("/")
        is_accessible(page)
        fits(page)
        picture(page, f"contract-{size['width']}-{scheme}")
