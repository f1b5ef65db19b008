"""Writes, as Markdown for a comment or a summary, what would change in each environment.

    python .github/scripts/plan_comment.py DIRECTORY >comment.md

DIRECTORY holds a directory for each environment, named plan-dev or the like, with the plan.txt
that terraform_plan.sh wrote, or with none where no plan was made.
"""

import re
import sys
from pathlib import Path
from typing import Final

#: GitHub's limit for a comment is 65,536 characters. Shared by all environments.
LIMIT: Final = 60_000


def comment(plans: dict[str, str | None]) -> str:
    """Return the comment for the plans by environment; None is one that was not made."""
    room = LIMIT // max(1, len(plans))
    return "\n".join(
        ["## What Terraform would change", *(_section(*one, room) for one in plans.items())]
    )


def _section(environment: str, plan: str | None, room: int) -> str:
    if plan is None:
        return (
            f"\n### {environment}: not planned\n\nThe GitHub environment `{environment}-plan` has "
            "no way into AWS, or the plan failed: see the run."
        )
    found = re.search(r"^(Plan: .*|No changes\..*)$", plan, re.MULTILINE)
    text = plan if len(plan) <= room else f"{plan[:room]}\n… cut: the run's log has the rest"
    # A fence that nothing in the plan can end.
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return (
        f"\n### {environment}: {found.group(1) if found else 'see below'}\n\n"
        "<details><summary>the plan</summary>\n\n"
        f"{fence}text\n{text.rstrip()}\n{fence}\n\n</details>"
    )


def read(directory: Path) -> dict[str, str | None]:
    """Return the plans below the directory, by environment."""
    found = {}
    for place in sorted(directory.glob("plan-*")):
        file = place / "plan.txt"
        found[place.name.removeprefix("plan-")] = file.read_text() if file.is_file() else None
    return found


if __name__ == "__main__":
    print(comment(read(Path(sys.argv[1]))))
