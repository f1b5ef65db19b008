"""Lines of progress on stderr."""

import sys
import time

_STARTED = time.monotonic()


def report(*parts: str) -> None:
    """Print the seconds since the start and the parts as one line."""
    line = "  ".join(part.ljust(14) for part in parts).rstrip()
    print(f"{time.monotonic() - _STARTED:5.0f} s  {line}", file=sys.stderr, flush=True)
