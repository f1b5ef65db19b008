#!/usr/bin/env python
"""Django's command line, with configuration mistakes told in one line instead of a traceback."""

import os
import sys

from environs import EnvError


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cpsite.settings")
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except EnvError as exc:
        sys.exit(f"cpsite: configuration error: {exc}")


if __name__ == "__main__":
    main()
