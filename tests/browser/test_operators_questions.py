"""An operator's questions, answered as a person would: by clicking, from the landing page on."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests import factories
from tests.browser.conftest import ADMIN
from tests.end_to_end.conftest import Services
from tests.waiting import wait_for

LIST = "/admin/audit/auditevent/"


def _refused(site: Services, token: str, **data: str) -> str:
    """Send what is refused; return the X-Request-ID of the answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{site.port}/",
        json.dumps({"token": token, "data": data}).encode(),
        {"Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    caught.value.read()
    return str(caught.value.headers["X-Request-ID"])


def test_who_redrove_what(
    page: Page, site: Services, log_in: Callable[[Page], None], is_accessible: Callable[..., None]
) -> None:
    message = factories.message()
    site.queue.client.send_message(
        QueueUrl=site.queue.dlq_url, MessageBody=factories.kombu_envelope(message.encode())
    )
    log_in(page)
    page.goto("/admin/")
    page.locator("nav").get_by_role("link", name="Dead letters").click()
    page.locator("input[name=letter]").check()
    page.get_by_role("button", name="Send the ticked ones back").click()
    expect(page.get_by_text("1 sent back to the queue")).to_be_visible()
    wait_for(lambda: ("redriven", str(message.message_id)) in site.audit(), "the audit log")
    page.goto("/admin/")
    page.get_by_role("link", name="All events").click()
    page.locator("#changelist-filter").get_by_role("link", name="Redriven").click()
    row = page.locator("#result_list tbody tr")
    expect(row).to_have_count(1)
    expect(row.get_by_role("link", name=str(message.message_id))).to_be_visible()
    row.get_by_role("link", name=ADMIN[0]).click()
    expect(page.locator("#result_list .audit-badge").first).to_have_text("↻ redriven")
    is_accessible(page)


def test_why_was_this_request_refused(
    page: Page, site: Services, log_in: Callable[[Page], None], is_accessible: Callable[..., None]
) -> None:
    request_id = _refused(site, factories.ALICE, field1="a", field2="b", field3="c")
    log_in(page)

    def is_found() -> bool:
        page.goto(LIST)
        page.locator("#searchbar").fill(request_id)
        page.get_by_role("button", name="Search").click()
        return page.get_by_text("data.field4").is_visible()

    wait_for(is_found, "the event")
    page.locator("#result_list").get_by_role("link", name="ago").click()
    expect(page.get_by_text(request_id)).to_be_visible()
    expect(page.get_by_role("link", name="contract_required")).to_be_visible()
    expect(page.get_by_text("data.field4")).to_be_visible()
    is_accessible(page)


def test_which_client_is_broken(
    page: Page, site: Services, log_in: Callable[[Page], None], is_accessible: Callable[..., None]
) -> None:
    site.post(factories.fields(), token=factories.BOB)
    for _ in range(3):
        _refused(site, factories.ALICE, field1="a")
        _refused(site, "nobodys-token")
    log_in(page)

    def is_there() -> bool:
        page.goto("/admin/")
        page.get_by_role("link", name="Clients", exact=True).click()
        return page.get_by_role("link", name="3 refused in the last hour").is_visible()

    wait_for(is_there, "the clients")
    expect(page.get_by_text("token_unknown 3")).to_be_visible()  # by the address
    is_accessible(page)
    page.get_by_role("link", name="alice").click()
    expect(page.get_by_role("heading", name="Client alice")).to_be_visible()
    expect(page.get_by_text("data.field2, data.field3, data.field4").first).to_be_visible()
    is_accessible(page)
    page.get_by_role("link", name="3 refused in the last hour").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(3)


def test_what_is_stuck_and_since_when(
    page: Page, site: Services, log_in: Callable[[Page], None], is_accessible: Callable[..., None]
) -> None:
    """No uploader runs. The page that is open says so by itself."""
    log_in(page)
    expect(page.get_by_text("No message waits")).to_be_visible()
    page.evaluate("figures.dataset.marked = 'still the same page'")
    _, accepted = site.post(factories.fields())
    expect(page.get_by_text("The oldest message waits for")).to_be_visible(timeout=60_000)
    assert page.locator("[data-marked]").count() == 1
    depth = page.get_by_role("link", name="1 visible in the queue", exact=True)
    expect(depth).to_be_visible(timeout=60_000)
    is_accessible(page)
    # A click is no reason to stop. Who goes through the figures by keyboard would lose the place.
    page.get_by_role("group", name="Queues").click(position={"x": 5, "y": 5})
    site.post(factories.fields())
    depth = page.get_by_role("link", name="2 visible in the queue", exact=True)
    expect(depth).to_be_visible(timeout=60_000)
    page.keyboard.press("Tab")
    depth.focus()
    expect(page.get_by_text("Paused while you select or focus")).to_be_visible(timeout=60_000)
    is_accessible(page)
    depth.blur()
    expect(page.get_by_text("Paused while")).to_be_hidden(timeout=60_000)
    page.get_by_text("Refresh every ten seconds").click()
    site.uploader("--drain")
    page.goto("/admin/")
    page.get_by_role("link", name="All events").click()
    page.locator("#searchbar").fill(accepted["message_id"][:8].upper())
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("heading", name=accepted["message_id"])).to_be_visible()
    page.get_by_role("link", name="alice").click()
    expect(page.get_by_role("heading", name="Client alice")).to_be_visible()
