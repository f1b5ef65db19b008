"""A network between a client and the validator that fails as networks do, once for each request."""

import http.client
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

#: What happens to a request that is not just passed on.
LOSE_ANSWER: Final = "the validator has the request, the client gets no answer"
CUT_ANSWER: Final = "the validator has the request, the client gets half of the answer"


@dataclass(frozen=True)
class Answer:
    """What is answered instead of asking the validator."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


Fault = Answer | str


@dataclass(frozen=True)
class Request:
    """A POST that arrived."""

    at: float
    key: str | None
    body: bytes


class FaultyProxy:
    """Passes requests on to the validator, but does `faults` to the first POSTs, in order."""

    def __init__(self, port_of_validator: int, faults: list[Fault], *, forever: bool) -> None:
        self._upstream = port_of_validator
        self._faults = faults
        self._forever = forever
        self._lock = threading.Lock()
        self.posts: list[Request] = []

    def take(self, request: Request) -> Fault | None:
        """Note a POST; return what happens to it."""
        with self._lock:
            self.posts.append(request)
            if self._forever:
                return self._faults[0]
            return self._faults.pop(0) if self._faults else None

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """Return the validator's answer as it goes over the wire."""
        connection = http.client.HTTPConnection("127.0.0.1", self._upstream, timeout=30)
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        content = answer.read()
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        lines += [f"{name}: {value}" for name, value in answer.getheaders()]
        connection.close()
        return "\r\n".join([*lines, "", ""]).encode() + content


@contextmanager
def faulty_proxy(
    port: int, port_of_validator: int, *faults: Fault, forever: bool = False
) -> Iterator[FaultyProxy]:
    """Serve a FaultyProxy on `port`; with `forever` the one fault happens to each request."""
    proxy = FaultyProxy(port_of_validator, list(faults), forever=forever)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            key = self.headers["Idempotency-Key"]
            fault = proxy.take(Request(time.monotonic(), key, body))
            if isinstance(fault, Answer):
                self._answer(fault)
                return
            wire = proxy.ask("POST", self.path, dict(self.headers), body)
            if fault == LOSE_ANSWER:
                wire = b""
            elif fault == CUT_ANSWER:
                wire = wire[:-10]
            self.wfile.write(wire)
            self.close_connection = fault is not None

        def do_GET(self) -> None:
            self.wfile.write(proxy.ask("GET", self.path, dict(self.headers), b""))

        def _answer(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
