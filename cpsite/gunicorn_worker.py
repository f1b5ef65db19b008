"""gunicorn's gevent worker, but silent about what it could not read, and quick to stop.

What it takes for a broken request may be the rest of a message whose Content-Length was too short,
token and all. gunicorn quotes it in its log and in the answer; this worker names the kind of error.
"""

import json
import math
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import gevent
from greenlet import getcurrent, greenlet
from gunicorn import glogging
from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.ggevent import GeventWorker

_STATUSES: Final[dict[type[Exception], HTTPStatus]] = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
}

#: Seconds for which a stopping worker still takes requests on open connections: a load balancer
#: may just be sending one.
LINGER_SECONDS: Final = 2.0
#: Seconds after which a wait looks whether the worker is to stop.
_NOTICE_SECONDS: Final = 0.25


class Logger(glogging.Logger):
    """gunicorn's logger, without access lines, which it would format for each request."""

    def access(self, *_args: Any) -> None:
        pass


class _Waits:
    """The connections that wait for a request, as a context that each enters for its wait.

    A timer for each wait would be a good part of what gevent costs a request.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        #: When each wait ends (monotonic clock). Oldest first, for all last equally long.
        self._ends: dict[greenlet, float] = {}

    def __enter__(self) -> None:
        self._ends[getcurrent()] = time.monotonic() + self._seconds

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, _traceback: object
    ) -> bool:
        del self._ends[getcurrent()]
        return isinstance(exc, _WaitOver)

    def end_oldest(self, number: int) -> None:
        """End so many of the waits that have lasted longest. Must run in gevent's hub."""
        oldest = list(self._ends.values())[:number]
        if oldest:
            self.end(before=math.nextafter(oldest[-1], math.inf))

    def end(self, *, before: float) -> None:
        """End the waits whose time ends `before`, unless their request has just come.

        Must run in gevent's hub, so that nothing happens between the question and the throw.
        """
        for waiting in [found for found, ends in self._ends.items() if ends < before]:
            if waiting in self._ends:
                waiting.throw(_WaitOver)


class _WaitOver(BaseException):
    """Thrown into a connection that has waited long enough. No error, so no Exception."""


class Worker(GeventWorker):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waits = _Waits(self.cfg.keepalive)
        self._connections = 0

    def run(self) -> None:
        gevent.spawn(self._end_waits)
        super().run()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection to its end."""
        self._connections += 1
        try:
            super().handle(listener, client, addr)
        finally:
            self._connections -= 1

    def timeout_ctx(self) -> _Waits:
        """Bound the wait for the next request of a connection, where it is entered."""
        return self._waits

    def _end_waits(self) -> None:
        """Close connections whose time is over; at a stop all, for which gunicorn would wait."""
        run_in_hub = gevent.get_hub().loop.run_callback
        while self.alive:
            gevent.sleep(_NOTICE_SECONDS)
            run_in_hub(lambda: self._waits.end(before=time.monotonic()))
            if self._connections >= self.worker_connections:
                # Nobody else is accepted: a health check is worth more than an idle connection.
                run_in_hub(lambda: self._waits.end_oldest(1 + self.worker_connections // 10))
        gevent.sleep(LINGER_SECONDS)
        while True:
            run_in_hub(lambda: self._waits.end(before=math.inf))
            gevent.sleep(_NOTICE_SECONDS)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer a request that reaches no view, in the API's error shape, and close."""
        if isinstance(exc, ParseException):
            status = _STATUSES.get(type(exc), HTTPStatus.BAD_REQUEST)
            detail = "This is not a request that we can read."
        else:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            detail = "Something went wrong on our side."
        self.log.warning(
            "request_unreadable", extra={"error": type(exc).__name__, "status": status.value}
        )
        code = "internal_error" if status == HTTPStatus.INTERNAL_SERVER_ERROR else "bad_request"
        body = json.dumps({"code": code, "detail": detail}).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with suppress(OSError):  # the client may be gone
            client.sendall(head.encode("ascii") + body)
