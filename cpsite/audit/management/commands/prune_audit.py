"""`manage.py prune_audit --older-than 90d`."""

import re
import sys
from argparse import ArgumentTypeError
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm  # type: ignore[import-untyped]

from cpsite.audit import partitions
from cpsite.audit.access import actor_of_shell
from cpsite.audit.models import AuditEvent, Kind
from cpsite.cli import positive

_UNITS = {"d": "days", "h": "hours"}
_PROGRESS_EVERY = 20
#: What the column takes.
_MOST = 2**31 - 1


def age(text: str) -> timedelta:
    """Read `90d` or `12h`. Raises ArgumentTypeError, which argparse turns into a usage error."""
    match = re.fullmatch(r"([0-9]{1,5})([dh])", text)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is not an age such as 90d (days) or 12h (hours)")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


class Command(BaseCommand):
    help = (
        "Delete audit events older than an age, oldest first. On PostgreSQL whole days are "
        "dropped: events of the day into which that age falls stay until it is over. Where there "
        "are no days, rows go in batches that lock few of them for a short time. An event `pruned` "
        "says who did it, and how many events went. Safe to interrupt and to run again. Exit "
        "status: 0 when done, 1 while another session changes days, 2 for a wrong option, 130 when "
        "interrupted."
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
            self._count(before)
            return
        self._deleted = 0
        try:
            self._drop_days(before)
            if until := partitions.end_of_rows(before):
                self._delete_rows(until, options["batch_size"])
        except partitions.BusyError:
            raise CommandError("Another session is changing the days. Run it again.") from None
        except KeyboardInterrupt:
            self.stderr.write("Interrupted; run again to go on.")
            raise SystemExit(130) from None
        finally:
            self._record()
        self.stdout.write(
            f"Deleted {self._deleted} events from before {before:%Y-%m-%d %H:%M} UTC."
        )

    def _count(self, before: datetime) -> None:
        count = 0
        for day in partitions.expired(before):
            events = partitions.count_events(day)
            self.stdout.write(f"{day.name} would be dropped, with about {events} events.")
            count += events
        if until := partitions.end_of_rows(before):
            count += AuditEvent.objects.filter(occurred_at__lt=until).count()
        self.stdout.write(f"{count} events are from before {before:%Y-%m-%d %H:%M} UTC.")

    def _drop_days(self, before: datetime) -> None:
        """Drop the days that are over; say so of each one."""
        partitions.ensure_ahead()  # what nobody has made days for is then a partition as well
        with partitions.alone():
            for day in partitions.expired(before):
                events = partitions.count_events(day)
                partitions.drop(day)
                self._deleted += events
                self.stderr.write(f"{day.name} dropped, with about {events} events")

    def _delete_rows(self, before: datetime, batch_size: int) -> None:
        """Delete batch by batch: with a bar on a terminal, else with a line now and then."""
        is_terminal = self.stderr.isatty()
        # Counting costs a part of what deleting costs. Only a progress bar needs it.
        total = AuditEvent.objects.filter(occurred_at__lt=before).count() if is_terminal else None
        batches = 0
        with tqdm(
            total=total, unit=" events", file=sys.stderr, disable=not is_terminal, leave=False
        ) as bar:
            while count := AuditEvent.objects.prune_batch(before=before, limit=batch_size):
                self._deleted, batches = self._deleted + count, batches + 1
                bar.update(count)
                if not is_terminal and batches % _PROGRESS_EVERY == 0:
                    self.stderr.write(f"{self._deleted} deleted so far")

    def _record(self) -> None:
        """Leave an event of who has deleted how many; of those of dropped days, about how many."""
        if self._deleted:
            number = min(self._deleted, _MOST)
            AuditEvent.objects.create(kind=Kind.PRUNED, actor=actor_of_shell(), row_count=number)
