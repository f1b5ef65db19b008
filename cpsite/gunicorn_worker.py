"""gunicorn's gevent worker, but silent about what it could not read, and quick to stop.

What it takes for a broken request may be the rest of a message whose Content-Length was too short,
token and all. gunicorn quotes it in its log and in the answer; this worker names the kind of error.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, Final

import gevent
from greenlet import greenlet
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


class Worker(GeventWorker):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Connections that wait for a request, by the timeout that ends the wait.
        self._waiting: dict[gevent.Timeout, greenlet] = {}

    def run(self) -> None:
        gevent.spawn(self._hang_up)
        super().run()

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Bound the wait for the next request of a connection."""
        # False: its end is no error.
        with gevent.Timeout(self.cfg.keepalive, False) as timeout:  # type: ignore[arg-type]
            self._waiting[timeout] = gevent.getcurrent()
            try:
                yield
            finally:
                del self._waiting[timeout]

    def _hang_up(self) -> None:
        """At a stop, close connections without a request, for which gunicorn would wait."""
        while self.alive:
            gevent.sleep(_NOTICE_SECONDS)
        gevent.sleep(LINGER_SECONDS)
        while True:
            for timeout in list(self._waiting):
                gevent.get_hub().loop.run_callback(self._end_wait, timeout)
            gevent.sleep(_NOTICE_SECONDS)

    def _end_wait(self, timeout: gevent.Timeout) -> None:
        """End a wait as if its time were over, unless a request has just come.

        Runs in gevent's hub, so that nothing happens between the question and the throw.
        """
        if waiting := self._waiting.get(timeout):
            waiting.throw(timeout)

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
