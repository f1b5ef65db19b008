"""`manage.py check_uploader`: the container's health check."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from uploader import heartbeat

#: Seconds. The longest honest pause is a failed receive (two attempts of the poll and 8 s of
#: timeouts) and the longest back-off after it (30 s).
MAX_AGE = 90


class Command(BaseCommand):
    help = (
        "Exit 0 when the uploader on this machine has made progress lately (a receive, even an "
        "empty or failed one, or a message), else 1."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--max-age",
            type=float,
            default=MAX_AGE,
            metavar="SECONDS",
            help="how long ago the last progress may be (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.UPLOADER_HEARTBEAT_FILE
        age = heartbeat.age(path)
        if age is None:
            raise CommandError(f"No uploader is running here: {path} has no heartbeat.")
        if age > options["max_age"]:
            raise CommandError(f"The uploader's last progress was {age:.0f} s ago.")
        self.stdout.write(f"The uploader's last progress was {age:.0f} s ago.")
