"""Every link of every page leads somewhere."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.markdown import ROOT, Page, files, pages

#: What a page may link to without TLS: `make run` on the reader's machine.
LOCAL = {"127.0.0.1", "localhost"}


def problem_of(page: Page, target: str) -> str | None:
    """Return what is wrong with a link, or None. Nothing outside of the repository is asked."""
    link = urlsplit(target)
    if link.scheme or link.netloc:
        local = link.scheme == "http" and link.hostname in LOCAL
        well_formed = link.scheme == "https" and "." in (link.hostname or "") and " " not in target
        return None if local or well_formed else "is neither https nor well-formed"
    found = page.path if not link.path else (page.path.parent / unquote(link.path)).resolve()
    if not _is_ours(found):
        return "leads to no file of the repository"
    if link.fragment and found.suffix == ".md" and link.fragment not in Page(found).anchors:
        return "names no heading there"
    return None


def _is_ours(path: Path) -> bool:
    if not path.is_relative_to(ROOT):
        return False
    relative = path.relative_to(ROOT).as_posix()
    return relative in files() or any(name.startswith(f"{relative}/") for name in files())


@pytest.mark.parametrize("page", pages(), ids=str)
def test_links(page):
    problems = {
        target: problem
        for target in page.links
        if (problem := problem_of(page, target)) is not None
    }
    assert not problems


def test_each_picture_is_linked():
    pictures = {path for path in files() if path.startswith("docs/images/")}
    linked = {
        (page.path.parent / unquote(urlsplit(target).path)).resolve().relative_to(ROOT).as_posix()
        for page in pages()
        for target in page.links
        if target.endswith(".png")
    }
    assert pictures
    assert pictures <= linked


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("docs/operations.md", None),
        ("docs/adr/", None),
        ("docs/operations.md#dead-letters", None),
        ("#try-it", None),
        ("https://semver.org", None),
        ("http://127.0.0.1:8000/", None),
        ("docs/no-such-page.md", "leads to no file of the repository"),
        ("../elsewhere.md", "leads to no file of the repository"),
        ("var/cpsite.sqlite3", "leads to no file of the repository"),
        ("docs/operations.md#no-such-heading", "names no heading there"),
        ("#no-such-heading", "names no heading there"),
        ("http://example.com", "is neither https nor well-formed"),
        ("https://", "is neither https nor well-formed"),
        ("mailto:somebody@example.com", "is neither https nor well-formed"),
    ],
)
def test_what_a_link_may_be(target, problem):
    assert problem_of(Page(ROOT / "README.md"), target) == problem


def test_pages_are_found():
    assert {"README.md", "docs/operations.md", "terraform/README.md"} <= {str(p) for p in pages()}
