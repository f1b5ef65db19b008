"""The pages of this repository, as a Markdown parser sees them."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
_parser = MarkdownIt("commonmark", {"linkify": False}).enable("table")


@dataclass(frozen=True)
class Fence:
    """A block of code, with the language behind its backticks."""

    language: str
    code: str
    line: int


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def tokens(self) -> list[Token]:
        return list(_walk(_parser.parse(self.path.read_text())))

    @cached_property
    def fences(self) -> list[Fence]:
        return [
            Fence(token.info.strip(), token.content, token.map[0] + 1 if token.map else 0)
            for token in self.tokens
            if token.type == "fence"
        ]

    @cached_property
    def code_spans(self) -> list[str]:
        return [token.content for token in self.tokens if token.type == "code_inline"]

    @cached_property
    def links(self) -> list[str]:
        """Targets of links and pictures."""
        targets = [token.attrGet("href") or token.attrGet("src") for token in self.tokens]
        return [str(target) for target in targets if target]

    @cached_property
    def anchors(self) -> set[str]:
        """The names that GitHub gives to headings."""
        seen: Counter[str] = Counter()
        found = set()
        for heading, inline in zip(self.tokens, self.tokens[1:], strict=False):
            if heading.type == "heading_open":
                slug = _slug(inline)
                found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
                seen[slug] += 1
        return found


def section(page: Page, heading: str) -> str:
    """Return the text under a heading, up to the next one of its level."""
    text = page.path.read_text()
    level = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert level is not None, f"{page} has no heading {heading}"
    rest = text[level.end() :]
    end = re.search(rf"^#{{1,{len(level[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def _walk(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _walk(token.children or [])


def _slug(inline: Token) -> str:
    text = "".join(
        part.content for part in inline.children or () if part.type in {"text", "code_inline"}
    )
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


@cache
def files() -> frozenset[str]:
    """Return the paths of all files that are in the repository or are about to be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return frozenset(path for path in listed.splitlines() if (ROOT / path).exists())


@cache
def pages() -> list[Page]:
    """Return all Markdown files of the repository."""
    return [Page(ROOT / path) for path in sorted(files()) if path.endswith(".md")]


def page(path: str) -> Page:
    return Page(ROOT / path)
