#!/usr/bin/env python
"""Django's command line. A configuration error is reported in one line, without a traceback."""

import os
import sys

from environs import EnvError

from cpsite.cli import readers_may_leave

#: Commands that run in the uploader's processes. They load its apps, but not the validator's.
UPLOADER_COMMANDS = {"run_uploader", "check_uploader"}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cpsite.settings")
    if UPLOADER_COMMANDS.intersection(sys.argv[1:2]):
        os.environ["CPSITE_SERVICE"] = "uploader"
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        with readers_may_leave():
            execute_from_command_line(sys.argv)
    except (EnvError, ImproperlyConfigured) as exc:
        sys.exit(f"cpsite: configuration error: {exc}")


if __name__ == "__main__":
    main()
