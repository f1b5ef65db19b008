"""A real Chromium on the pages of a real validator, with a real uploader behind it.

`make browser-test`. PICTURES=directory also writes a picture of each page that a test calls
`picture` for.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.end_to_end.conftest import Services, database_url, services  # noqa: F401 - fixtures

#: What the machine may have; Playwright's own download is not used.
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ADMIN = ("operator", "a-password-for-tests")
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
#: WCAG 2.2 level A and AA.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.fail("no Chromium is installed (Debian: chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def contract_module() -> str:
    """The contracts of the site; a test may replace it."""
    return "tests.contract"


@pytest.fixture
def site(services: Services, contract_module: str) -> Services:  # noqa: F811
    """A validator that answers browsers, with one superuser (ADMIN)."""
    services.environment["CONTRACT_MODULE"] = contract_module
    services.manage("collectstatic", "--noinput", "--verbosity", "0")
    name, password = ADMIN
    services.environment["DJANGO_SUPERUSER_PASSWORD"] = password
    made = services.manage(
        "createsuperuser", "--noinput", "--username", name, "--email", "operator@example.com"
    )
    assert made.returncode == 0, made.stderr
    services.validator()
    return services


@pytest.fixture
def page(browser: Browser, site: Services) -> Iterator[Page]:
    """An empty page whose relative addresses are the site's. Fails on errors in its console."""
    yield from open_page(browser, site, DESKTOP)


@pytest.fixture
def phone(browser: Browser, site: Services) -> Iterator[Page]:
    """The same on a phone's screen."""
    yield from open_page(browser, site, PHONE)


def open_page(
    browser: Browser, site: Services, size: dict[str, int], scale: int = 1
) -> Iterator[Page]:
    """Open a page whose pictures have `scale` pixels for each of `size`; then judge its console."""
    context = browser.new_context(
        base_url=f"http://127.0.0.1:{site.port}",
        viewport=size,
        device_scale_factor=scale,
        accept_downloads=True,
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "requestfailed",
        lambda request: (
            None
            # What is not wanted any more: the page was left, or turned out to be a download.
            if request.failure == "net::ERR_ABORTED"
            else errors.append(f"{request.url}: {request.failure}")
        ),
    )
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((f"http://127.0.0.1:{site.port}/", "data:", "blob:"))
            else errors.append(f"asked elsewhere: {request.url}")
        ),
    )
    yield page
    context.close()
    assert not errors


@pytest.fixture
def log_in() -> Callable[[Page], None]:
    """Return what brings a page to the admin's index, logged in as ADMIN."""

    def log_in(page: Page) -> None:
        page.goto("/admin/")
        page.get_by_label("Username").fill(ADMIN[0])
        page.get_by_label("Password").fill(ADMIN[1])
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/admin/")

    return log_in


@pytest.fixture
def violations() -> Callable[[Page], list[str]]:
    """Return what lists the violations of WCAG 2.2 AA that axe finds on a page."""

    def find(page: Page) -> list[str]:
        found = Axe().run(
            page,
            options={"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]},
        )
        return [
            f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
            for each in found.response["violations"]
            for node in each["nodes"]
        ]

    return find


@pytest.fixture
def is_accessible(violations: Callable[[Page], list[str]]) -> Callable[[Page], None]:
    """Return what fails where axe finds a violation on a page."""

    def check(page: Page) -> None:
        found = violations(page)
        assert not found, "\n".join(found)

    return check


@pytest.fixture
def too_wide() -> Callable[[Page], int]:
    """Return what measures by how many pixels a page is wider than the screen."""

    def measure(page: Page) -> int:
        return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    return measure


@pytest.fixture
def fits(too_wide: Callable[[Page], int]) -> Callable[[Page], None]:
    """Return what fails where a page is wider than the screen."""

    def check(page: Page) -> None:
        wide = too_wide(page)
        assert wide <= 0, f"{page.url} is {wide} pixels too wide"

    return check


@pytest.fixture
def picture() -> Callable[[Page, str], None]:
    """Return what writes a picture of a page, when PICTURES names a directory."""
    directory = os.environ.get("PICTURES")

    def take(page: Page, name: str) -> None:
        if directory:
            Path(directory).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(directory) / f"{name}.png", full_page=True)

    return take
