"""Lines on stderr that tell what is going on."""

import sys
import time

_STARTED = time.monotonic()


def report(*parts: str) -> None:
    """Print the parts as one line, after the seconds since the start."""
    line = "  ".join(part.ljust(14) for part in parts).rstrip()
    print(f"{time.monotonic() - _STARTED:5.0f} s  {line}", file=sys.stderr, flush=True)
