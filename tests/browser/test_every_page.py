"""Every page, at three widths and in both themes: readable, and nothing is out of sight."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import pytest
from django.template.loader import render_to_string
from playwright.sync_api import Page, Route

from tests import factories
from tests.browser import long_names
from tests.browser.conftest import ADMIN, PHONE
from tests.end_to_end.conftest import Services

WIDTHS = (1440, 1024, PHONE["width"])
THEMES = ("light", "dark")
EVENTS = "/admin/audit/auditevent/"
USERS, GROUPS = "/admin/auth/user/", "/admin/auth/group/"
UNKNOWN_ID = "6b1f1d5e-0000-4000-8000-00000000000f"
NOBODY = "somebody-who-may-log-in-but-see-nothing"

#: Boxes whose content is wider than they are: it is cut, or lies behind a sideways scroll.
TOO_NARROW = """() => {
  const isTooNarrow = (box) => {
    const style = getComputedStyle(box);
    const isForReaders = box.clientWidth <= 1;
    const isBox = style.overflowX !== "visible" || box.matches("td, th, dd, li, p, h1, h2, h3");
    return isBox && style.display !== "inline" && !isForReaders
      && box.scrollWidth > box.clientWidth + 1;
  };
  const others = "svg, textarea, select, input, [hidden], details:not([open])";
  return [...document.querySelectorAll("body, body *")]
    .filter((box) => !box.closest(others) && isTooNarrow(box))
    .map((box) => `${box.tagName} ${box.id} ${box.className} is too narrow: ${box.clientWidth}`);
}"""
#: What a page loads twice.
TWICE = """() => {
  const loaded = [...document.querySelectorAll("script[src], link[rel=stylesheet]")];
  const addresses = loaded.map((each) => each.src ?? each.href);
  return addresses.filter((each, number) => addresses.indexOf(each) !== number);
}"""
#: Colours that change slowly would be judged half-way, and cards.js acts in the frame after a new
#: width. It does not wait for the end of animations: that of a cell that is hidden may never come.
AT_REST = """async () => {
  const frame = () => new Promise((done) => {
    requestAnimationFrame(done);
    setTimeout(done, 500);
  });
  for (let number = 0; number < 100; number++) {
    await frame();
    const running = document.getAnimations();
    if (number > 2 && !running.length) return;
    for (const each of running) {
      // The end of one may begin that of what inherits from it.
      if (each.effect.getComputedTiming().endTime === Infinity) each.cancel();
      else each.finish();
    }
  }
  throw new Error("the page does not come to rest");
}"""


def _nothing(_page: Page) -> None:
    pass


@dataclass(frozen=True)
class Shown:
    """A page: its address, a text that is on it once it is complete, and what to do before."""

    address: str
    text: str
    act: Callable[[Page], None] = _nothing


def _show_error(route: Route) -> None:
    """Answer with a page that only a fault of the site would show."""
    name = route.request.url.rpartition("/")[2]
    body = render_to_string(f"admin/{name}.html", {"request_id": "request-1"})
    route.fulfill(body=body, content_type="text/html")


def _is_refused(page: Page) -> None:
    page.get_by_label("Token", exact=True).fill("a-token-of-nobody")
    page.get_by_role("button", name="Send").click()
    page.locator("#result-status").get_by_text("401").wait_for()


def _expand(page: Page) -> None:
    post = page.locator("#operations-messages-send_message")
    for each in (post, page.locator("#operations-messages-get_message_status")):
        each.locator(".opblock-summary-control").click()
    post.get_by_role("button", name="Execute").click()
    post.locator(".live-responses-table").get_by_text("token_missing").first.wait_for()


def _authorize(page: Page) -> None:
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".modal-ux").wait_for()


def _open_schemas(page: Page) -> None:
    page.locator(".models-control").or_(page.get_by_role("button", name="Schemas")).first.click()
    for each in page.locator("section.models .json-schema-2020-12-accordion").all():
        if each.is_visible():
            each.click()


def _open_details(page: Page) -> None:
    for each in page.locator("details > summary").all():
        each.click()


def _fill_in_wrongly(page: Page) -> None:
    """Send a form of a user or a password whose parts do not fit each other."""
    if (name := page.get_by_label("Username:")).count():
        name.fill("somebody else")
    if (old := page.get_by_label("Old password:")).count():
        old.fill("not-the-password")
    for number, each in enumerate(
        page.locator("input[name^=new_password], input[name^=password]").all()
    ):
        each.fill(f"password-{number}")
    page.locator(".submit-row [type=submit]").first.click()
    page.locator(".errornote").wait_for()


def _save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator(".messagelist").wait_for()


def _delete_ticked(page: Page) -> None:
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option("delete_selected")
    page.get_by_role("button", name="Run the selected action").or_(
        page.get_by_role("button", name="Go")
    ).click()
    page.get_by_text("Are you sure").first.wait_for()


def _ask_to_discard(page: Page) -> None:
    page.locator("input[name=letter]").first.check()
    page.get_by_role("button", name="Discard the ticked ones").click()
    page.get_by_text("deleted for good").wait_for()


def _show_content(page: Page) -> None:
    page.get_by_role("button", name="Show the content").click()
    page.locator(".audit-content").wait_for()


def _log_out(page: Page) -> None:
    page.get_by_role("button", name="Log out").click()
    page.get_by_text("Thanks for spending").wait_for()


def _log_in_wrongly(page: Page) -> None:
    page.get_by_label("Username:").fill("nobody")
    page.get_by_label("Password:").fill("a-wrong-password")
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("Please enter the correct").wait_for()


API = {
    "send": Shown("/", "The same with curl"),
    "send-refused": Shown("/", "The same with curl", _is_refused),
    "contract": Shown(f"/messages/{long_names.CONTRACT}/", "The same with curl"),
    "docs": Shown("/docs/", "Send a message"),
    "docs-operations": Shown("/docs/", "Send a message", _expand),
    "docs-authorize": Shown("/docs/", "Send a message", _authorize),
    "docs-schemas": Shown("/docs/", "Send a message", _open_schemas),
    "nowhere": Shown("/nowhere", "There is nothing at this path"),
    "error-400": Shown("/error/400", "not acceptable"),
    "error-csrf": Shown("/error/403_csrf", "was not accepted"),
    "error-500": Shown("/error/500", "request-1"),
    "error-503": Shown("/error/database_unavailable", "does not answer"),
    "login": Shown("/admin/login/", "Password"),
    "login-wrong": Shown("/admin/login/", "Password", _log_in_wrongly),
}
PAGES_OF_THE_ADMIN = {
    "index": Shown("/admin/", "Dead letters"),
    "index-open": Shown("/admin/", "Dead letters", _open_details),
    "clients": Shown(f"{EVENTS}clients/", long_names.CLIENT),
    "client": Shown(f"{EVENTS}clients/{long_names.CLIENT}/", "Newest events"),
    "client-open": Shown(f"{EVENTS}clients/{long_names.CLIENT}/", "Newest events", _open_details),
    "events": Shown(EVENTS, long_names.CLIENT),
    "events-failed": Shown(f"{EVENTS}?kind__exact=failed", long_names.CLIENT),
    "events-batch": Shown(f"{EVENTS}?q={long_names.BATCH_KEY}", long_names.BATCHED_ID),
    "events-none": Shown(f"{EVENTS}?kind__exact=refused&since=1h", "No event fits"),
    "event": Shown(f"{EVENTS}1/change/", long_names.CLIENT),
    "event-stored": Shown(f"{EVENTS}4/change/", long_names.CLIENT),
    "message": Shown(f"{EVENTS}message/{long_names.MESSAGE_ID}/", "Timeline"),
    "message-batched": Shown(f"{EVENTS}message/{long_names.BATCHED_ID}/", "All messages of this"),
    "message-failed": Shown(
        f"{EVENTS}message/{long_names.FAILED_ID}/", "attempt to store it failed"
    ),
    "message-waiting": Shown(f"{EVENTS}message/{long_names.WAITING_ID}/", "among the 1 dead"),
    "message-unknown": Shown(f"{EVENTS}message/{UNKNOWN_ID}/", "no such message"),
    "unstored": Shown(f"{EVENTS}waiting/", long_names.CLIENT),
    "dead-letters": Shown("/admin/uploader/deadletterentry/", long_names.REASON),
    "letter": Shown(
        f"/admin/uploader/deadletterentry/letter/{long_names.MESSAGE_ID}/", "SQS deletes it in"
    ),
    "letter-content": Shown(
        f"/admin/uploader/deadletterentry/letter/{long_names.MESSAGE_ID}/",
        "SQS deletes it in",
        _show_content,
    ),
    "letter-unknown": Shown(
        f"/admin/uploader/deadletterentry/letter/{UNKNOWN_ID}/", "No dead letter with this id"
    ),
    "discard": Shown("/admin/uploader/deadletterentry/", long_names.REASON, _ask_to_discard),
    "users": Shown(USERS, NOBODY),
    "users-delete": Shown(USERS, NOBODY, _delete_ticked),
    "user-add": Shown(f"{USERS}add/", "Username"),
    "user-add-wrong": Shown(f"{USERS}add/", "Username", _fill_in_wrongly),
    "user": Shown(f"{USERS}2/change/", NOBODY),
    "user-saved": Shown(f"{USERS}2/change/", NOBODY, _save),
    "user-password": Shown(f"{USERS}2/password/", NOBODY),
    "user-history": Shown(f"{USERS}2/history/", "Change history"),
    "user-delete": Shown(f"{USERS}2/delete/", "Are you sure"),
    "groups": Shown(GROUPS, "Operators"),
    "group-add": Shown(f"{GROUPS}add/", "Permissions"),
    "group": Shown(f"{GROUPS}1/change/", "Permissions"),
    "group-history": Shown(f"{GROUPS}1/history/", "Change history"),
    "group-delete": Shown(f"{GROUPS}1/delete/", "Are you sure"),
    "password": Shown("/admin/password_change/", "Old password"),
    "password-wrong": Shown("/admin/password_change/", "Old password", _fill_in_wrongly),
    "password-done": Shown("/admin/password_change/done/", "Your password was changed"),
    "not-found": Shown("/admin/nowhere/", "nothing at this address"),
}
FOR_NOBODY = {
    "nobody-index": Shown("/admin/", "permission"),
    "forbidden": Shown(EVENTS, "may not"),
}


@pytest.fixture
def contract_module() -> str:
    return "tests.browser.long_names"


@pytest.fixture
def full_site(site: Services) -> Services:
    """A site with the events, the dead letter and the users of this module."""
    for code in (long_names.EVENTS, _a_user(NOBODY)):
        done = site.manage("shell", "--no-imports", "-c", code)
        assert done.returncode == 0, done.stderr
    message = factories.message(client=long_names.CLIENT)
    site.queue.client.send_message(
        QueueUrl=site.queue.dlq_url, MessageBody=factories.kombu_envelope(message.encode())
    )
    return site


def _a_user(name: str) -> str:
    return f"""
from django.contrib.auth.models import User
User.objects.create_user({name!r}, password={ADMIN[1]!r}, is_staff=True)
"""


def _log_in(page: Page, name: str) -> None:
    page.goto("/admin/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(ADMIN[1])
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/admin/")


@pytest.fixture
def faults_of(
    page: Page, full_site: Services, faults: Callable[[Page], list[str]], picture
) -> Callable[[dict[str, Shown]], list[str]]:
    """Return what looks at pages, at each width and in each theme, and lists their faults."""

    def look(pages: dict[str, Shown]) -> list[str]:
        found = []
        page.route("**/error/*", _show_error)
        for name, shown in pages.items():
            page.set_viewport_size({"width": WIDTHS[0], "height": 900})
            page.goto(shown.address)
            page.get_by_text(shown.text).locator("visible=true").first.wait_for()
            shown.act(page)
            for width, theme in product(WIDTHS, THEMES):
                page.set_viewport_size({"width": width, "height": 900})
                page.emulate_media(color_scheme=theme)
                page.evaluate(AT_REST)
                picture(page, f"every-{name}-{width}-{theme}")
                found += [f"{name}, {width}, {theme}: {fault}" for fault in faults(page)]
        return found

    return look


@pytest.fixture
def faults(violations: Callable[[Page], str], too_wide: Callable[[Page], int]):
    """Return what lists the faults of a page as it is shown now."""

    def look(page: Page) -> list[str]:
        wide = too_wide(page)
        return [
            *([f"{wide} pixels too wide"] if wide > 0 else []),
            *page.evaluate(TOO_NARROW),
            *page.evaluate(TWICE),
            *violations(page),
        ]

    return look


def test_pages_of_the_api(faults_of):
    faults = faults_of(API)
    assert not faults, "\n".join(faults)


def test_pages_of_the_admin(page, full_site, faults_of):
    _log_in(page, ADMIN[0])
    faults = faults_of(PAGES_OF_THE_ADMIN)
    assert not faults, "\n".join(faults)


def test_pages_of_who_leaves(page, full_site, faults_of):
    """Last, because nothing else is to be seen afterwards."""
    _log_in(page, ADMIN[0])
    faults = faults_of({"logged-out": Shown("/admin/", "Dead letters", _log_out)})
    assert not faults, "\n".join(faults)


def test_pages_for_who_may_see_nothing(page, full_site, faults_of):
    _log_in(page, NOBODY)
    faults = faults_of(FOR_NOBODY)
    assert not faults, "\n".join(faults)
