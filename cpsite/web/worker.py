"""gevent worker with client timeouts, bounded shutdown, and error answers that quote no request.

What looks like a malformed request may be the rest of a message whose Content-Length was too short,
with its token. gunicorn quotes it in its log and its answer. This worker names only the kind of
error.

A client occupies no more than its own connection, and only for a bounded time
(`cpsite/web/connection.py`). What a process cannot answer in time it refuses at once
(`cpsite/web/load_shedding.py`).
"""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from http import HTTPStatus
from itertools import chain
from typing import Any, Final

import gevent
from gevent.server import StreamServer
from greenlet import getcurrent, greenlet
from gunicorn import glogging, util
from gunicorn.http import wsgi
from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.parser import RequestParser
from gunicorn.workers import ggevent
from gunicorn.workers.ggevent import GeventWorker

from cpsite.web import bodies, connection, fallback_answers, refusals
from cpsite.web.connection import Body, Client, ClientTooSlow, WaitOver, Waits, give_turn
from cpsite.web.in_flight import InFlight
from cpsite.web.load_shedding import TICK_SECONDS, LoadShedder
from cpsite.web.request_head import HEADERS_AT_MOST, HeaderRepeated, HostUnreadable, Request
from cpsite.web.request_ids import identifier_of
from cpsite.web.response import Response

# gunicorn has no settings for them.
RequestParser.mesg_class = Request
wsgi.Response = Response

_STATUSES: Final[dict[type[Exception], HTTPStatus]] = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
}

#: Seconds for which a stopping worker still accepts requests on open connections: a load balancer
#: may just be sending one.
LINGER_SECONDS: Final = 2.0
#: Seconds after which a stopping worker cuts off bodies and answers that are still in progress.
STOP_SECONDS: Final = 4.0
#: Seconds of the graceful timeout that are not for requests: one until a stop is noticed, one
#: between two checks of the requests, one to end them, and two to write the audit log. At the end
#: of the graceful timeout gunicorn kills the worker.
RESERVED_SECONDS: Final = 5
#: Age in seconds from which a body or an answer may be ended to make room for other clients.
CROWDED_SECONDS: Final = 1.0
#: Seconds for which a body may wait for room before it is refused: time enough to end the slow
#: ones that take it. Clients that come back at once would otherwise cost more than those they
#: compete with.
ROOM_SECONDS: Final = 2.0
#: Share of a process's connections that may wait for room at a time.
WAITING_SHARE: Final = 0.5
#: Seconds after which a client may try again that was refused for lack of room.
RETRY_AFTER_SECONDS: Final = 1
#: Share of a process's connections from which each is closed after its next answer. What is left
#: lets others in at once, who would wait to be accepted if all were in use.
CROWDED_SHARE: Final = 0.9
#: Seconds from which a message that waits for its client, for its body or to take its answer, is no
#: work in progress. The body of any other has come and waits for its turn, or comes soon.
_IDLE_SECONDS: Final = 0.3
#: Messages in progress for each connection that is accepted at a time, after the first one.
_BUSY_PER_ACCEPT: Final = 2
#: Bytes and seconds for which a client may go on sending before its connection is closed. Closing
#: with unread bytes would reset it, and the client would lose the answer that says why.
_DRAIN_BYTES: Final = 8_388_608
_DRAIN_SECONDS: Final = 2.0
#: Bytes that are read of it at a time. With gunicorn's 4,096, reading was a third of the work of a
#: refusal.
_DRAIN_PIECE_BYTES: Final = 32_768
#: Seconds between two checks for overdue waits and for a stop of the worker.
_NOTICE_SECONDS: Final = 0.25


class Logger(glogging.Logger):
    """gunicorn's logger without access lines, which it would format for each request."""

    def access(self, *_args: Any) -> None:
        pass


class _Server(StreamServer):
    """Accepts the more connections at a time, the more messages are in progress.

    Of several processes, gunicorn lets each accept one in each turn of its event loop, so that an
    idle one leaves the next to another. But a turn of a busy process is long. Connections would
    wait for seconds, and the kernel would drop further ones.
    """

    def __init__(self, *args: Any, load: LoadShedder, **options: Any) -> None:
        self._load = load
        self._least = StreamServer.max_accept
        super().__init__(*args, **options)

    @property
    def max_accept(self) -> int:
        """How many connections gevent accepts in this turn, at most."""
        return max(self._least, self._load.in_progress // _BUSY_PER_ACCEPT)

    @max_accept.setter
    def max_accept(self, least: int) -> None:
        self._least = least


class Worker(GeventWorker):
    #: Set by `cpsite.gunicorn.post_worker_init`.
    in_flight: InFlight

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle = Waits(self.cfg.keepalive, WaitOver)
        self._bodies = Waits(connection.BODY_SECONDS, ClientTooSlow)
        self._answers = Waits(connection.ANSWER_SECONDS, ClientTooSlow)
        self._connections = 0
        self._load = LoadShedder(self.cfg.worker_connections)
        #: The connections whose message is in progress.
        self._messages: set[greenlet] = set()

    def run(self) -> None:
        # This changes the worker's own copy only: the rest of the time is for `worker_exit`.
        graceful = max(1, self.cfg.graceful_timeout - RESERVED_SECONDS)
        self.cfg.set("graceful_timeout", graceful)
        gevent.spawn(self._end_waits)
        gevent.spawn(self._watch_load)
        ggevent.StreamServer = partial(_Server, load=self._load)  # there is no setting for it
        super().run()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection to its end."""
        self._connections += 1
        try:
            super().handle(listener, Client(client, self._answers), addr)
        finally:
            self._connections -= 1

    def timeout_ctx(self) -> Waits:
        """Return the context in which gunicorn waits for the next request of a connection."""
        return self._idle

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Serve one request. Raises StopIteration when its connection must be closed."""
        req.must_close = req.must_close or self._is_crowded or not self.alive
        is_message = req.method == "POST" and bodies.takes_messages(req.path)
        if is_message and not self._load.has_room:
            self._shed(req, sock, addr)
        else:
            self._handle_in_memory(listener_name, req, sock, addr, is_message=is_message)
        # Without this, a client that sends requests without a pause would let no other one run.
        give_turn()

    def _handle_in_memory(
        self, listener_name: Any, req: Any, sock: Any, addr: Any, *, is_message: bool
    ) -> None:
        """Serve one request if its body fits into memory."""
        length = req.readable_bytes
        if not self.in_flight.add(length, ROOM_SECONDS):
            self._refuse_without_room(req, sock, addr)
            raise StopIteration
        body = req.body = Body(req, sock, self._bodies)
        try:
            with self._counted() if is_message else nullcontext():
                super().handle_request(listener_name, req, sock, addr)
        except StopIteration:
            if not body.is_read:
                self._drain(sock)
            raise
        finally:
            self.in_flight.remove(length)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count a message as in progress."""
        self._messages.add(getcurrent())
        self._load.begin()
        try:
            yield
        finally:
            self._load.end()
            self._messages.discard(getcurrent())

    @property
    def _is_crowded(self) -> bool:
        crowded: bool = self._connections >= CROWDED_SHARE * self.worker_connections
        return crowded

    def _shed(self, req: Any, sock: Any, addr: Any) -> None:
        """Answer 503 before the body is read, and keep the connection if that is possible."""
        Body(req, sock, self._bodies)  # decides that
        # A client that waits for 100 may send its body all the same, or not.
        must_close = req.should_close() or any(name == "EXPECT" for name, _ in req.headers)
        cause = "saturated" if self._load.is_saturated else "connections"
        is_sent = self._refuse_overloaded(req, sock, addr, cause=cause, must_close=must_close)
        if must_close or not is_sent:  # a part of it may have been sent
            self._drain(sock)
            raise StopIteration

    def _refuse_without_room(self, req: Any, sock: Any, addr: Any) -> None:
        """Answer 503 before the body is read."""
        self._refuse_overloaded(req, sock, addr, cause="memory", must_close=True)
        self._drain(sock)

    def _refuse_overloaded(
        self, req: Any, sock: Any, addr: Any, *, cause: str, must_close: bool
    ) -> bool:
        """Answer 503; return whether all of it was sent."""
        given = (value for name, value in req.headers if name == "X-REQUEST-ID")
        request_id = identifier_of(",".join(given))
        is_sent = self._answer(
            sock,
            HTTPStatus.SERVICE_UNAVAILABLE,
            fallback_answers.OVERLOADED,
            f"Retry-After: {RETRY_AFTER_SECONDS}\r\n",
            request_id=request_id,
            must_close=must_close,
        )
        refusals.note(
            refusals.OVERLOADED, refusals.from_peer(addr), cause=cause, request_id=request_id
        )
        return is_sent

    def _end_slow_bodies(self) -> None:
        self._bodies.end(begun_before=time.monotonic() - CROWDED_SECONDS)

    def _answer(
        self,
        sock: Any,
        status: HTTPStatus,
        answer: fallback_answers.Body,
        headers: str = "",
        *,
        request_id: str,
        must_close: bool = True,
    ) -> bool:
        """Send an answer that no view has made. Return whether all of it was sent."""
        body = json.dumps(answer).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            f"Connection: {'close' if must_close else 'keep-alive'}\r\n"
            f"X-Request-ID: {request_id}\r\n{headers}"
            "Cache-Control: no-store\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            sock.sendall(head.encode("ascii") + body)
        except OSError:  # the client may have disconnected, or not read it in time
            return False
        return True

    def _drain(self, sock: Any) -> None:
        sock.fewest_bytes = _DRAIN_PIECE_BYTES
        with self._idle:
            util.close_graceful(sock, _DRAIN_SECONDS, _DRAIN_BYTES)

    def _watch_load(self) -> None:
        while True:
            gevent.sleep(TICK_SECONDS)
            self._load.tick(idle=self._idle_messages())

    def _idle_messages(self) -> int:
        """Return how many of the messages in progress wait for their client."""
        moment = time.monotonic() - _IDLE_SECONDS
        waiting = chain(self._bodies.begun_before(moment), self._answers.begun_before(moment))
        return sum(each in self._messages for each in waiting)

    def _end_waits(self) -> None:
        """End overdue waits; at a stop end all of them, because gunicorn would wait for them."""
        run_in_hub = gevent.get_hub().loop.run_callback
        while self.alive:
            gevent.sleep(_NOTICE_SECONDS)
            run_in_hub(self._end_overdue)
            if self.in_flight.is_waited_for:
                run_in_hub(self._end_slow_bodies)
            if self._connections >= self.worker_connections:
                run_in_hub(self._make_room)
        stopped = time.monotonic()
        gevent.sleep(LINGER_SECONDS)
        while True:
            run_in_hub(lambda: self._idle.end(begun_before=math.inf))
            if time.monotonic() - stopped >= STOP_SECONDS:
                run_in_hub(lambda: self._end_requests(begun_before=math.inf))
            gevent.sleep(_NOTICE_SECONDS)

    def _end_overdue(self) -> None:
        for waits in (self._idle, self._bodies, self._answers):
            waits.end_overdue()

    def _end_requests(self, *, begun_before: float) -> None:
        self._bodies.end(begun_before=begun_before)
        self._answers.end(begun_before=begun_before)

    def _make_room(self) -> None:
        """End the longest tenth of the waits, because no further connection can be accepted.

        A health check matters more than an idle connection, and a message more than a slow one.
        """
        begun = sorted([*self._idle, *self._bodies, *self._answers])
        if not begun:
            return
        youngest = begun[: 1 + self.worker_connections // 10][-1]
        after = math.nextafter(youngest, math.inf)
        self._idle.end(begun_before=after)
        self._end_requests(begun_before=min(after, time.monotonic() - CROWDED_SECONDS))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer a request that reaches no view, in the API's error shape, and close."""
        if isinstance(exc, ParseException):
            reason = refusals.UNREADABLE
            status = _STATUSES.get(type(exc), HTTPStatus.BAD_REQUEST)
            answer = fallback_answers.unreadable(self._what_to_do(exc))
        else:
            reason = refusals.FAILED
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            answer = fallback_answers.INTERNAL_ERROR
        request_id = identifier_of("")  # what could not be read has none
        self._answer(client, status, answer, request_id=request_id)
        refusals.note(
            reason,
            refusals.from_peer(addr),
            error=type(exc).__name__,
            status=status.value,
            request_id=request_id,
        )
        if reason == refusals.UNREADABLE:
            with suppress(OSError):
                self._drain(client)

    def _what_to_do(self, exc: ParseException) -> str | None:
        """Return what the answer says about an unreadable request. It quotes nothing of it."""
        if isinstance(exc, HostUnreadable):
            return "The request needs a Host header with the name of the service, and a port."
        if isinstance(exc, HeaderRepeated):
            return f"The header {exc.name.title()} occurs twice: send it once."
        if isinstance(exc, LimitRequestLine):
            return f"The request line is longer than {self.cfg.limit_request_line} bytes."
        if isinstance(exc, LimitRequestHeaders):
            longest = self.cfg.limit_request_field_size
            return (
                f"A header is longer than {longest} bytes with its name, all headers together are "
                f"longer than {HEADERS_AT_MOST * longest}, or there are more than "
                f"{self.cfg.limit_request_fields}."
            )
        return None
