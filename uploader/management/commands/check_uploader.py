"""`manage.py check_uploader`: the container's health check."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from uploader import heartbeat

#: Seconds. The worker says each second that all of it goes on, and says nothing once a part has
#: been silent for a minute (uploader/heartbeat.py): a stuck one shows after a minute and a half.
MAX_AGE = 30


class Command(BaseCommand):
    help = (
        "Exit 0 when all parts of the uploader on this machine go on, else 1: when a receive, an "
        "upload or a thread is stuck, or the process is."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--max-age",
            type=float,
            default=MAX_AGE,
            metavar="SECONDS",
            help="how long ago the last sign of life may be (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.UPLOADER_HEARTBEAT_FILE
        age = heartbeat.age(path)
        if age is None:
            raise CommandError(f"No uploader is running here: {path} has no heartbeat.")
        if age > options["max_age"]:
            raise CommandError(f"The uploader's last sign of life was {age:.0f} s ago.")
        self.stdout.write(f"The uploader's last sign of life was {age:.0f} s ago.")
