"""Helpers for commands: argument types, tables, a clean stop on signals, a quiet end of a pipe."""

import os
import signal
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final, TextIO, cast

#: Exit code of a command whose output is no longer read: what shells report for SIGPIPE.
UNREAD: Final = 128 + signal.SIGPIPE


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


@contextmanager
def readers_may_leave(*, exit_code: int | None = UNREAD) -> Iterator[None]:
    """End the process quietly, with `exit_code`, once nobody reads its standard output any more.

    `command | head -1` is the usual case. With None, for what serves, the process goes on and what
    nobody reads is dropped; on standard error that is always so.

    The signal SIGPIPE would also end a process whose connection a server has closed, and an OSError
    would look like one of a call to AWS. So these two streams alone are watched, and SystemExit
    lets the command clean up as at any other end.
    """
    before = sys.stdout, sys.stderr
    sys.stdout = _watched(sys.stdout, exit_code)
    sys.stderr = _watched(sys.stderr, None)
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                # What a pipe has not taken yet would fail after our end, with a traceback.
                sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = before


def _watched(stream: TextIO | None, exit_code: int | None) -> TextIO:
    # A stream that was closed before the start is None, and takes everything.
    return cast("TextIO", None if stream is None else _Watched(stream, exit_code))


class _Watched:
    """A stream that notices that its reader has gone.

    From then on it writes to nowhere. With an `exit_code`, the write that has noticed raises
    SystemExit.
    """

    def __init__(self, stream: TextIO, exit_code: int | None) -> None:
        self._stream = stream
        self._exit_code = exit_code

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._noticing():
            return self._stream.write(text)
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        with self._noticing():
            self._stream.writelines(lines)

    def flush(self) -> None:
        with self._noticing():
            self._stream.flush()

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            if self._exit_code is not None:
                raise SystemExit(self._exit_code) from None
