"""`manage.py contract`: describes the contracts, and compares them with earlier ones."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from validator.compatibility import refused_now
from validator.contracts import ContractInvalid, contracts


class Command(BaseCommand):
    help = (
        "Print the contracts as JSON: names, paths, prefixes of their objects, and fields with "
        "kinds and bounds. Readers of the messages and terraform/ use it. With --against, print "
        "instead what an earlier description accepts and these contracts refuse. Exit status: 1 "
        "when that is anything, or when a contract is not valid."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        action = parser.add_mutually_exclusive_group()
        action.add_argument("--file", type=Path, metavar="FILE", help="write to FILE instead")
        action.add_argument(
            "--against",
            type=Path,
            metavar="FILE",
            help="compare with FILE, such as one from: "
            "git show main:terraform/contract.json > before.json",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            description = {"contracts": [contract.describe() for contract in contracts()]}
        except ContractInvalid as exc:
            raise CommandError(f"The contract is not valid: {exc}.") from None
        if options["against"]:
            self._compare(_read(options["against"]), description)
        elif options["file"]:
            options["file"].write_text(_written(description))
        else:
            self.stdout.write(_written(description), ending="")

    def _compare(self, before: Any, now: Any) -> None:
        try:
            lines = refused_now(before, now)
        except (KeyError, TypeError, AttributeError, ArithmeticError):
            raise CommandError("The file is not what `manage.py contract` prints.") from None
        for line in lines:
            self.stdout.write(line)
        if lines:
            raise CommandError(
                f"{len(lines)} of these changes refuse what was accepted. Make it another "
                "contract, or change over as docs/changing-the-contract.md says."
            )
        self.stdout.write("Whatever was accepted still is.")


def _read(path: Path) -> Any:
    try:
        found = json.loads(path.read_text())
        if isinstance(found, dict) and isinstance(found.get("contracts"), list):
            return found
    except (OSError, ValueError) as exc:
        raise CommandError(f"{path} cannot be read: {exc}.") from None
    raise CommandError(f"{path} is not what `manage.py contract` prints.")


def _written(description: Any) -> str:
    return json.dumps(description, indent=2, ensure_ascii=False) + "\n"
