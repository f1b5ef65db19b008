"""What the stands have in common: an HTTP server in threads of this process."""

import http.server
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self


@dataclass
class Request:
    """One request that a stand has received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)


@dataclass
class Answer:
    """What a stand answers. `hangs`: it reads the request and never answers."""

    status: int = 200
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False


class Stand:
    """A server that answers each request with `answer(request)`, and keeps the requests.

    With `certificate` (a PEM file with its key) it speaks TLS.
    """

    content_type: ClassVar[str] = "application/xml"

    def __init__(self, certificate: Path | None = None) -> None:
        self.requests: list[Request] = []
        self._closing = threading.Event()
        stand = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def do_any(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, self.rfile.read(size))
                stand.requests.append(request)
                answer = stand.answer(request)
                if answer.hangs:
                    stand._closing.wait(600)
                    self.close_connection = True
                    return
                content = answer.text.encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if "Content-Type" not in answer.headers:
                    self.send_header("Content-Type", stand.content_type)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_CONNECT = do_any  # noqa: N815

            def log_message(self, *_args: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True)

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
