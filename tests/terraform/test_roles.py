"""What holds for every role, whichever module makes it."""

import re

from tests.terraform.conftest import ROOT, Infrastructure


def test_a_boundary_reaches_every_role() -> None:
    """An account that demands a permissions boundary refuses a role without one."""
    found = []
    for path in sorted((ROOT / "terraform").rglob("*.tf")):
        for name, text in re.findall(
            r'^resource "aws_iam_role" "(\w+)" \{\n(.*?)^\}',
            path.read_text(),
            re.MULTILINE | re.DOTALL,
        ):
            found.append(name)
            assert re.search(r"permissions_boundary\s*= var\.permissions_boundary_arn", text), name
        for module, text in re.findall(
            r'^module "(\w+)" \{\n(.*?)^\}', path.read_text(), re.MULTILINE | re.DOTALL
        ):
            source = re.search(r'source\s*= "\S*/(\w+)"', text)
            assert source
            if source.group(1) in ("task", "service", "network", "delivery", "monitoring"):
                assert "permissions_boundary_arn" in text, (path.name, module)

    assert sorted(found) == ["deploy", "execution", "flow_logs", "task"]


def test_without_one_roles_are_as_they_were(infrastructure: Infrastructure) -> None:
    for role in infrastructure.of_type("aws_iam_role").values():
        assert role["permissions_boundary"] is None
