"""What a deployment costs is a sum on one page, which others repeat."""

import re

import pytest

from cpsite.settings import BASE_DIR


def _text(name):
    return (BASE_DIR / name).read_text()


@pytest.fixture
def sums():
    """The sums of dev and prod, in dollars a month."""
    return re.search(
        r"\*\*sum\*\* \|.*?about (\d+)\*\* \|.*?about (\d+)\*\*", _text("docs/deployment.md")
    ).groups()


def test_the_sums_are_the_same_on_every_page(sums):
    dev, prod = sums
    assert f"A deployment costs from ${dev} a" in _text("README.md")
    assert f"${dev} to ${prod} a month" in _text("docs/comparison.md")
    assert f"the ${prod} of prod" in _text("docs/comparison.md")


def test_the_sums_are_those_of_their_rows(sums):
    table = _text("docs/deployment.md").split("## What it costs")[1].split("| **sum**")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| ")][2:]
    # Of a range the lower end.
    dev = [float(re.match(r"[ \d.]+", row[2])[0]) for row in rows]
    prod = [float(row[4]) for row in rows]
    assert [str(round(sum(dev))), str(round(sum(prod)))] == list(sums)
