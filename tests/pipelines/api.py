"""A stand-in for the API behind its load balancer, which answers as it is told."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Method, path and Authorization to status and body.
Answers = Callable[[str, str, str | None], tuple[int, dict[str, Any]]]


def healthy(method: str, path: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
    """Answer as docs/api.md says, for whatever message comes with a token."""
    if path.startswith("/health/"):
        return 200, {"status": "ok"}
    if (method, path) == ("GET", "/"):
        return 200, {"service": "cpsite", "example": '{"any": 1.10}'}
    if path != "/":
        return 404, {"code": "not_found", "detail": "There is nothing at this path."}
    if authorization is None:
        return 401, {"code": "token_missing", "detail": "A token is needed."}
    return 202, {"message_id": "6b1f1d5e-46d5-4c7c-9e5e-0d3f8f4f7c11", "status": "queued"}


@contextmanager
def served(answers: Answers) -> Iterator[str]:
    """Serve it on a free port; yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = answers(self.command, self.path, self.headers.get("Authorization"))
            payload = json.dumps(body).encode()
            self.send_response(status)
            if status == 301:
                self.send_header("Location", "https://elsewhere.example/")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
