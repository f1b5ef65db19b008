"""`manage.py prune_audit --older-than 90d`."""

import re
import sys
from argparse import ArgumentTypeError
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone
from tqdm import tqdm  # type: ignore[import-untyped]

from cpsite.audit.models import AuditEvent
from cpsite.cli import positive

_UNITS = {"d": "days", "h": "hours"}
_PROGRESS_EVERY = 20


def age(text: str) -> timedelta:
    """Read `90d` or `12h`. Raises ArgumentTypeError, which argparse turns into a usage error."""
    match = re.fullmatch(r"([0-9]{1,5})([dh])", text)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is not an age such as 90d (days) or 12h (hours)")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


class Command(BaseCommand):
    help = (
        "Delete audit events older than an age, oldest first, in batches that lock few rows for "
        "a short time. Safe to interrupt and to run again. Exit status: 0 when done, 2 for a "
        "wrong option, 130 when interrupted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than",
            type=age,
            required=True,
            metavar="AGE",
            help="delete what is older than this: 90d, 12h",
        )
        parser.add_argument(
            "--batch-size",
            type=positive,
            default=1_000,
            metavar="N",
            help="rows to delete at a time (default: %(default)s)",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="count what would be deleted, delete nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        before = timezone.now() - options["older_than"]
        if options["dry_run"]:
            count = AuditEvent.objects.filter(occurred_at__lt=before).count()
            self.stdout.write(f"{count} events are from before {before:%Y-%m-%d %H:%M} UTC.")
            return
        deleted = 0
        try:
            deleted = self._prune(before, options["batch_size"])
        except KeyboardInterrupt:
            self.stderr.write("Interrupted; run again to go on.")
            raise SystemExit(130) from None
        self.stdout.write(f"Deleted {deleted} events from before {before:%Y-%m-%d %H:%M} UTC.")

    def _prune(self, before: datetime, batch_size: int) -> int:
        """Delete batch by batch: with a bar on a terminal, else with a line now and then."""
        is_terminal = self.stderr.isatty()
        # Counting costs a part of what deleting costs. Only a progress bar needs it.
        total = AuditEvent.objects.filter(occurred_at__lt=before).count() if is_terminal else None
        deleted, batches = 0, 0
        with tqdm(
            total=total, unit=" events", file=sys.stderr, disable=not is_terminal, leave=False
        ) as bar:
            while count := AuditEvent.objects.prune_batch(before=before, limit=batch_size):
                deleted, batches = deleted + count, batches + 1
                bar.update(count)
                if not is_terminal and batches % _PROGRESS_EVERY == 0:
                    self.stderr.write(f"{deleted} deleted so far")
        return deleted
