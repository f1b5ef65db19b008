"""Types of command-line arguments that more than one command takes."""

from argparse import ArgumentTypeError


def positive(text: str) -> int:
    """Read a whole number above 0. Raises ArgumentTypeError, which becomes a usage error."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number
