"""The pictures of README.md and docs/. `make pictures` writes them anew, into docs/images."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests import factories
from tests.browser.conftest import open_page
from tests.browser.test_admin import A_DAY
from tests.end_to_end.conftest import ROOT, Services
from tests.waiting import wait_for

TOKEN = "alice-token-1"
SIZE = {"width": 1030, "height": 800}
#: Shown at half of its pixels: sharp on screens of today.
SCALE = 2


@pytest.fixture
def page(browser: Browser, site: Services) -> Iterator[Page]:
    yield from open_page(browser, site, SIZE, scale=SCALE)


@pytest.fixture
def keep(page, tmp_path):
    """Return what writes a picture of the page: into DOCS_PICTURES, where that is set."""
    chosen = os.environ.get("DOCS_PICTURES")

    def write(name: str, *, height: int) -> None:
        path = Path(chosen or tmp_path) / name
        width = page.viewport_size["width"]
        page.screenshot(path=path, clip={"x": 0, "y": 0, "width": width, "height": height})
        if chosen:
            _with_palette(path)
        assert path.stat().st_size > 10_000

    return write


def _with_palette(path: Path) -> None:
    """Write a PNG with 256 colours: a third of its bytes, and no difference to be seen."""
    # Only here: running the tests does not need it.
    from PIL import Image

    with Image.open(path) as image:
        colours = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    colours.save(path, optimize=True)


def _stored(site: Services) -> str:
    """Return the id of a message that is stored."""
    message_id = site.post(factories.fields())[1]["message_id"]
    wait_for(lambda: ("stored", message_id) in site.audit(), "the audit log")
    return message_id


def test_page_send(page, keep):
    page.goto("/")
    page.get_by_label("Token", exact=True).fill(TOKEN)
    for name, text in factories.fields(field2=" ", field4="").items():
        page.get_by_label(name).fill(text)
    page.get_by_role("button", name="Send").click()
    page.get_by_text("400").first.wait_for()
    page.evaluate("scrollTo(0, 0)")
    keep("page-send.png", height=800)


def test_page_message(page, site, log_in, keep):
    site.uploader()
    message_id = _stored(site)
    log_in(page)
    page.goto(f"/admin/audit/auditevent/message/{message_id}/")
    page.get_by_role("heading", name="Timeline").wait_for()
    keep("page-message.png", height=520)


def test_page_audit(page, site, log_in, keep):
    done = site.manage("shell", "--no-imports", "-c", A_DAY)
    assert done.returncode == 0, done.stderr
    site.uploader()
    site.post(factories.fields(), token="nobodys")
    _stored(site)
    log_in(page)
    page.set_viewport_size({"width": 1280, "height": 960})
    page.goto("/admin/audit/auditevent/")
    page.get_by_role("heading", name="The last 24 hours").wait_for()
    keep("page-audit.png", height=960)


def test_each_picture_of_the_pages_is_made_here():
    tests = [name.removeprefix("test_") for name in globals() if name.startswith("test_page_")]
    pictures = {path.name for path in (ROOT / "docs" / "images").iterdir()}
    assert pictures == {f"{name.replace('_', '-')}.png" for name in tests}
