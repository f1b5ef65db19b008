"""The API's pages: people read the contract at `/` and try it there; `/docs/` has all of it."""

import json
import re
import shlex
import subprocess

from tests import factories
from tests.waiting import wait_for

TOKEN = "alice-token-1"


def _fill(page, **changes):
    page.get_by_label("Token", exact=True).fill(changes.pop("token", TOKEN))
    for name, text in factories.fields(**changes).items():
        page.get_by_label(name).fill(text)


def _send(page):
    page.get_by_role("button", name="Send").click()
    page.locator("#result").wait_for(state="visible")


def _status(page):
    return page.locator("#result-status").inner_text()


def test_the_form_sends_a_message_and_follows_it_to_s3(page, site, picture, is_accessible, fits):
    page.goto("/")
    picture(page, "api")
    is_accessible(page)
    fits(page)
    site.uploader()
    text = "四 'quoted' \"twice\"\nand a line"
    _fill(page, field4=text)
    _send(page)
    assert _status(page).startswith("202")
    page.get_by_text(re.compile(r"Stored as messages/.*\.json")).wait_for()
    picture(page, "api-accepted")
    is_accessible(page)
    (key,) = site.bucket.keys()
    assert json.loads(site.bucket.read(key))["data"]["field4"] == text


def test_errors_stand_beside_their_fields(page, picture, is_accessible, fits):
    page.goto("/")
    _fill(page, field2=" ", field4="")
    _send(page)
    assert _status(page).startswith("400")
    wrong = page.locator("[aria-invalid=true]")
    assert [field.get_attribute("name") for field in wrong.all()] == ["field2", "field4"]
    assert page.locator("#error-field4").inner_text() == "This field may not be blank."
    assert page.evaluate("document.activeElement.name") == "field2"
    picture(page, "api-refused")
    is_accessible(page)
    fits(page)
    _fill(page)
    _send(page)
    page.get_by_text("202").first.wait_for()
    assert wrong.count() == 0


def test_a_wrong_token_is_told_beside_it(page):
    page.goto("/")
    _fill(page, token="a-token-of-nobody")
    _send(page)
    assert _status(page).startswith("401")
    assert page.locator("#token-error").inner_text() == "The token is not known."
    _fill(page, token="")
    _send(page)
    page.get_by_text("A token is required").first.wait_for()


def test_an_idempotency_key_is_sent_and_complained_of(page, site):
    page.goto("/")
    page.get_by_text("Idempotency-Key").first.click()
    _fill(page)
    page.get_by_label("A name for this request").fill("order-1")
    _send(page)
    first = page.locator("#result-body").inner_text()
    page.evaluate("document.getElementById('result').hidden = true")
    _send(page)
    assert page.locator("#result-body").inner_text() == first
    assert site.queue.count()["visible"] == 1
    page.evaluate("document.getElementById('result').hidden = true")
    _fill(page, field1="other")
    _send(page)
    assert _status(page).startswith("422")
    assert "with other data" in page.locator("#key-error").inner_text()


def test_its_curl_line_sends_what_the_form_would(page, site):
    page.goto("/")
    _fill(page, field3='l\'été "chaud"')
    line = page.locator("#curl").inner_text()
    assert TOKEN not in line
    # As pasted into a shell with a CPSITE_TOKEN.
    done = subprocess.run(
        ["sh", "-c", f"CPSITE_TOKEN={shlex.quote(TOKEN)}; {line}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "202 Accepted" in done.stdout
    (body,) = site.queue.bodies()
    assert json.loads(json.loads(body)["body"])["data"]["field3"] == 'l\'été "chaud"'


def test_what_it_shows_is_copied_with_a_click(page, site):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/")
    _fill(page)
    _send(page)
    shown = {
        "Copy the answer": page.locator("#result-body").inner_text(),
        "Copy the id": json.loads(page.locator("#result-body").inner_text())["message_id"],
        "Copy the command": page.locator("#curl").inner_text(),
    }
    for name, text in shown.items():
        page.get_by_role("button", name=name).click()
        page.get_by_role("button", name="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == text
        page.get_by_role("button", name=name).wait_for()


def test_it_works_by_the_keyboard_alone(page, site):
    page.goto("/")
    page.locator("#token").focus()
    for text in (TOKEN, "one", "two", "three", "four"):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # past the Idempotency-Key
    page.keyboard.press("Enter")
    page.locator("#result").wait_for(state="visible")
    assert _status(page).startswith("202")


def test_it_says_when_to_come_back(page, site):
    site.environment["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    site.started[0].stop()
    site._start("validator-without-sqs", ["-m", "gunicorn", "--config", "python:cpsite.gunicorn"])
    wait_for(lambda: site.get("/health/live")[0] == 200, "the validator")
    page.goto("/")
    _fill(page)
    _send(page)
    assert _status(page).startswith("503")
    assert re.search(r"Try again after \d+ s", page.locator("#result-note").inner_text())


def test_it_fits_a_phone(phone, picture, fits, is_accessible):
    phone.goto("/")
    _fill(phone, field1="x" * 200, field2=" ")
    _send(phone)
    fits(phone)
    is_accessible(phone)
    picture(phone, "api-phone")


def test_it_is_readable_in_the_dark(page, is_accessible, picture):
    page.emulate_media(color_scheme="dark")
    page.goto("/")
    _fill(page, field2=" ")
    _send(page)
    is_accessible(page)
    picture(page, "api-dark")


def test_the_documentation_follows_the_theme(page):
    page.emulate_media(color_scheme="dark")
    page.goto("/docs/")
    page.get_by_text("Send a message").first.wait_for()
    title = page.locator(".info .title")

    def colours():
        return [
            page.evaluate("getComputedStyle(document.body).backgroundColor"),
            title.evaluate("each => getComputedStyle(each).color"),
        ]

    dark = colours()
    # A script follows the theme, a moment after the styles that ask for it themselves.
    page.emulate_media(color_scheme="light")
    wait_for(lambda: not set(colours()) & set(dark), "light colours")
    page.emulate_media(color_scheme="dark")
    wait_for(lambda: colours() == dark, "dark colours")


def test_an_operation_has_an_address(page):
    page.goto("/docs/")
    page.locator("#operations-messages-send_message .opblock-summary-control").click()
    page.wait_for_url("**/docs/#/messages/send_message")
    page.reload()
    page.get_by_text("The message does not fit the contract.").first.wait_for()


def test_a_message_has_a_page(page, site):
    accepted = site.post(factories.fields())[1]
    path = f"/messages/{accepted['message_id']}/"
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    # The audit log is beside the path of the messages.
    wait_for(lambda: page.request.get(path, headers=bearer).status == 200, "the audit log")
    page.set_extra_http_headers(bearer)
    page.goto(path)
    page.get_by_text('"status"').wait_for()


def test_the_documentation_shows_the_schema_and_tries_it(page, picture, fits):
    page.goto("/docs/")
    page.get_by_text("Send a message").first.wait_for()
    fits(page)
    picture(page, "docs")
    page.get_by_text("Send a message").first.click()
    page.get_by_text("The message does not fit the contract.").first.wait_for()
    page.get_by_role("button", name="Execute").first.click()
    page.locator(".live-responses-table").get_by_text("token_missing").first.wait_for()
    picture(page, "docs-tried")


def test_the_documentation_fits_a_phone(phone, fits):
    phone.goto("/docs/")
    phone.get_by_text("Send a message").first.wait_for()
    fits(phone)


def test_the_documentation_sends_its_example_as_it_stands(page, site):
    page.goto("/docs/")
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".modal-ux input").fill(TOKEN)
    page.locator(".modal-ux button.authorize").click()
    page.locator(".modal-ux button.btn-done").click()
    page.locator(".opblock-post .opblock-summary-control").first.click()
    page.locator(".opblock-post button.execute").click()
    answer = page.locator(".opblock-post .live-responses-table tbody .response-col_status").first
    answer.wait_for()
    page.get_by_text("queued").first.wait_for()
    assert answer.inner_text().startswith("202")
    assert site.queue.count()["visible"] == 1
