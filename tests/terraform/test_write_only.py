"""Parameters whose value Terraform writes and does not keep: what else may change of them."""

import re
from collections.abc import Iterator

from tests.terraform.conftest import ROOT

_RESOURCE = re.compile(
    r'^resource "aws_ssm_parameter" "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL
)


def parameters() -> Iterator[tuple[str, str]]:
    """Yield name and text of each parameter. `terraform fmt` ends a block at the left margin."""
    for path in sorted((ROOT / "terraform").rglob("*.tf")):
        yield from _RESOURCE.findall(path.read_text())


def ignored(text: str) -> set[str]:
    return {
        name.strip()
        for found in re.findall(r"ignore_changes\s*=\s*\[(.*?)\]", text)
        for name in found.split(",")
    }


def test_a_new_description_writes_no_empty_secret() -> None:
    """The provider's update writes the value it has in the state, and of these it has none."""
    secret = {name: text for name, text in parameters() if "value_wo " in text}

    assert set(secret) == {"this", "url"}
    assert {name: ignored(text) for name, text in secret.items()} == {
        "this": {"description"},
        "url": {"description"},
    }


def test_a_new_description_writes_no_old_image() -> None:
    images = [text for name, text in parameters() if name == "image"]

    assert [ignored(text) for text in images] == [{"insecure_value", "description"}]
