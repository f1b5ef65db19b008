"""Helpers for commands: argument types, tables, and a clean stop on signals."""

import os
import signal
from argparse import ArgumentTypeError
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType


def positive(text: str) -> int:
    """Read a whole number above 0. Raises ArgumentTypeError, which becomes a usage error."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Collection[str] = ()
) -> Iterator[str]:
    """Yield the lines of a table with its header; the columns in `numbers` are aligned right."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        cells = [
            cell.rjust(width) if name in numbers else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()


@contextmanager
def stopped_by_signals(
    stop: Callable[[int], object], *, again: Callable[[int], object], notice: str
) -> Iterator[None]:
    """Call `stop` with the number of the first SIGTERM or SIGINT, and `again` for each later one.

    The first signal also prints `notice` to standard error. Both functions run in a signal handler
    and must take no lock: the interrupted code may hold it.
    """
    is_stopping = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        if is_stopping:
            again(number)
            return
        is_stopping = True
        stop(number)
        # Not logged, because logging takes a lock. Standard error may be closed.
        with suppress(OSError):
            os.write(2, f"{notice}\n".encode())

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
