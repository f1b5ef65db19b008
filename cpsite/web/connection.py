"""A client's connection, on which nothing is waited for without a bound.

gunicorn sets no time limit for a client to send a body or to receive an answer. It reads an unread
body to its end. And it serves no other client while one client always has another request ready.
"""

import errno
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import gevent
from greenlet import getcurrent, greenlet

#: Seconds that a body may take from its first read to its end, and that it may stall.
BODY_SECONDS: Final = 20.0
STALL_SECONDS: Final = 5.0
#: Seconds that a client may take to receive a piece of an answer, which may be a whole file.
ANSWER_SECONDS: Final = 60.0
#: Longest unread rest of a body, in bytes, that is read in order to keep the connection.
UNWANTED_BYTES: Final = 65_536
#: Seconds of work after which a connection lets the others run.
TURN_SECONDS: Final = 0.05


class WaitOver(BaseException):
    """Thrown into a connection whose wait is to end. Not an error, so not an Exception."""


class ClientTooSlow(TimeoutError):
    """Thrown into a request whose client takes too long."""

    def __init__(self) -> None:
        # gunicorn treats EPIPE as a client that has disconnected, and does not log it.
        super().__init__(errno.EPIPE, "The client takes too long.")


class Waits:
    """The connections that wait for their client. Each enters this context while it waits.

    One timer for each wait would be a large part of gevent's cost of a request.
    """

    def __init__(self, seconds: float, over: type[BaseException]) -> None:
        self._seconds = seconds
        self._over = over
        #: When each wait began (monotonic clock).
        self._begun: dict[greenlet, float] = {}

    def __enter__(self) -> None:
        self.enter(time.monotonic())

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, _traceback: object
    ) -> bool:
        self.leave()
        return isinstance(exc, WaitOver)

    def enter(self, begun: float) -> None:
        """Add this connection to those that wait, with `begun` as the start of its wait."""
        self._begun[getcurrent()] = begun

    def leave(self) -> None:
        del self._begun[getcurrent()]

    def __iter__(self) -> Iterator[float]:
        return iter(self._begun.values())

    def begun_before(self, moment: float) -> Iterator[greenlet]:
        """Return the connections that have waited since before `moment` (monotonic clock)."""
        return (waiting for waiting, begun in self._begun.items() if begun < moment)

    def end_overdue(self) -> None:
        """End the waits that have lasted too long. Must run in gevent's hub."""
        self.end(begun_before=time.monotonic() - self._seconds)

    def end(self, *, begun_before: float) -> None:
        """End the waits that began before that time, unless what they wait for has just arrived.

        Must run in gevent's hub, so that nothing happens between the check and the throw.
        """
        for waiting in list(self.begun_before(begun_before)):
            if waiting in self._begun:
                waiting.throw(self._over)


class BodyUnreadable(OSError):
    """The body has no length, or a longer one than its path takes. Nobody may read it."""


class Body:
    """The body of a request, which must arrive within BODY_SECONDS.

    Only a body within the limit of its path can be read. The connection is not kept if reading
    failed or a long rest of the body is unread.
    """

    def __init__(self, req: Any, sock: "Client", waits: Waits) -> None:
        self._req, self._body, self._sock, self._waits = req, req.body, sock, waits
        self._must_close = req.must_close
        self._begun: float | None = None
        #: Whether reading has failed. gunicorn reads this attribute, too.
        self.failed = False
        self._decide()

    @property
    def is_read(self) -> bool:
        return not self.failed and getattr(self._body.reader, "length", None) == 0

    def read(self, size: int | None = None) -> Any:
        return self._wait_for(self._body.read, size)

    def readline(self, size: int | None = None) -> Any:
        return self._wait_for(self._body.readline, size)

    def readlines(self, size: int | None = None) -> Any:
        return self._wait_for(self._body.readlines, size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _wait_for(self, read: Callable[[int | None], Any], size: int | None) -> Any:
        if self._left() > self._req.readable_bytes:
            self.failed = True
            raise BodyUnreadable
        if self._begun is None:
            self._begun = time.monotonic()
        self._waits.enter(self._begun)
        self._sock.read_until = self._begun + BODY_SECONDS
        self._sock.settimeout(STALL_SECONDS)
        try:
            return read(size)
        except BaseException:
            self.failed = True
            raise
        finally:
            self._sock.settimeout(None)
            self._sock.read_until = math.inf
            self._waits.leave()
            self._decide()

    def _left(self) -> float:
        """Return how many bytes are unread; infinity for a chunked body."""
        return float(getattr(self._body.reader, "length", math.inf))

    def _decide(self) -> None:
        """Tell gunicorn, before it answers, whether the connection can be kept."""
        left = self._left()
        cannot_be_read = self.failed or left > min(UNWANTED_BYTES, self._req.readable_bytes)
        self._req.must_close = self._must_close or cannot_be_read


class Client:
    """A client's socket. A write to it waits for the client for at most ANSWER_SECONDS."""

    def __init__(self, sock: Any, waits: Waits) -> None:
        self._sock, self._waits = sock, waits
        #: When the body that is being read must have arrived (monotonic clock).
        self.read_until = math.inf
        #: Fewest bytes to ask for at a time.
        self.fewest_bytes = 0
        #: What is to be sent together, None while each write is sent at once.
        self._gathered: list[bytes] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, size: int) -> bytes:
        """Receive a piece. Nothing else ends a read, or interrupts it, while data is ready."""
        if time.monotonic() > self.read_until:
            raise ClientTooSlow
        give_turn()
        received: bytes = self._sock.recv(max(size, self.fewest_bytes))
        return received

    def send(self, *args: Any) -> Any:
        with self._waits:
            return self._sock.send(*args)

    def sendall(self, data: bytes) -> None:
        if self._gathered is not None:
            self._gathered.append(data)
            return
        with self._waits:
            self._sock.sendall(data)

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Send at the end of the context, at once, what was written in it."""
        pieces: list[bytes] = []
        self._gathered = pieces
        try:
            yield
        finally:
            self._gathered = None
        self.sendall(b"".join(pieces))

    def sendfile(self, *args: Any, **options: Any) -> Any:
        with self._waits:
            return self._sock.sendfile(*args, **options)


def give_turn() -> None:
    """Let other connections run if this one has run for long."""
    if time.time() - gevent.get_hub().loop.now() > TURN_SECONDS:
        gevent.sleep(0)
