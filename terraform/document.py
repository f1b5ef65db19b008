# ruff: noqa: INP001 - a script, in no package
"""Write the tables of inputs and outputs into the README of each module.

`python terraform/document.py` writes, `--check` fails where a table is not what the code says.
Reads what `terraform fmt` writes: a block begins and ends at the left margin.
"""

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BEGIN = "<!-- tables by document.py -->"
END = "<!-- end of tables -->"

_BLOCK = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
#: An argument of a block, with the lines that belong to it.
_ARGUMENT = re.compile(r"^  (\w+)\s*= (.*?)(?=^  \w|\Z)", re.MULTILINE | re.DOTALL)


def blocks(directory: Path, kind: str) -> list[tuple[str, dict[str, str]]]:
    """Return name and arguments of each variable or output, in the order of the alphabet."""
    found = []
    for path in sorted(directory.glob("*.tf")):
        for block_kind, name, body in _BLOCK.findall(path.read_text()):
            if block_kind == kind:
                # Nested blocks (validations) come after the arguments.
                arguments = body.split("\n  validation {")[0]
                found.append((name, {k: v.strip() for k, v in _ARGUMENT.findall(arguments)}))
    return sorted(found)


def tables(directory: Path) -> str:
    lines = []
    if inputs := blocks(directory, "variable"):
        lines += ["## Inputs", ""]
        lines += ["| name | type | default | meaning |", "| --- | --- | --- | --- |"]
        for name, block in inputs:
            default = f"`{_one_line(block['default'])}`" if "default" in block else "required"
            kind = _one_line(block["type"])
            lines.append(f"| `{name}` | `{kind}` | {default} | {_text(block)} |")
        lines.append("")
    if outputs := blocks(directory, "output"):
        lines += ["## Outputs", "", "| name | meaning |", "| --- | --- |"]
        lines += [f"| `{name}` | {_text(block)} |" for name, block in outputs]
        lines.append("")
    return "\n".join(lines)


def _text(block: dict[str, str]) -> str:
    return block["description"].strip('"').replace("|", "\\|").replace('\\"', '"')


def _one_line(value: str) -> str:
    """Make one line of an expression, of an object's type the names of what is in it."""
    head, is_object, _ = value.partition("({")
    if is_object:
        names = re.findall(r"^    (\w+)\s+=", value, re.MULTILINE)
        return f"{head}({{ {', '.join(names)} }})" + ")" * head.count("(")
    return re.sub(r"\s+", " ", value).replace("|", "\\|")


def documented(directory: Path) -> str:
    """Return the README as it should be: what people wrote, and our tables between the marks."""
    text = (directory / "README.md").read_text()
    before, mark, rest = text.partition(BEGIN)
    if not mark or END not in rest:
        raise SystemExit(f"{directory}/README.md needs the lines {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{tables(directory)}\n{END}{rest.partition(END)[2]}"


def main() -> int:
    check = sys.argv[1:] == ["--check"]
    stale = []
    for directory in sorted({path.parent for path in HERE.rglob("*.tf")}):
        if ".terraform" in directory.parts:
            continue
        path, text = directory / "README.md", documented(directory)
        if path.read_text() == text:
            continue
        stale.append(str(path.relative_to(HERE)))
        if not check:
            path.write_text(text)
    if check and stale:
        sys.stderr.write(f"Stale, run `python terraform/document.py`: {', '.join(stale)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
