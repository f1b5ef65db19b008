"""`manage.py check_uploader`: the container's health check as a command."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from uploader import liveness


class Command(BaseCommand):
    help = liveness.HELP
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        liveness.add_max_age(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        verdict = liveness.look(
            liveness.heartbeat_file(settings.UPLOADER_HEARTBEAT_FILE), options["max_age"]
        )
        if not verdict.is_alive:
            raise CommandError(verdict.text)
        self.stdout.write(verdict.text)
