"""A server that answers byte for byte what a test says, or breaks the connection at any point."""

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

#: What is done with a connection once a request has been read, or before it is (see `Wire`).
Behaviour = Callable[[socket.socket], None]


def answer(
    status: int = 200, body: bytes | str = b"{}", *headers: str, length: int | None = None
) -> Behaviour:
    """Answer, by default with the right Content-Length."""
    content = body.encode() if isinstance(body, str) else body
    if length is None:
        length = len(content)
    return raw(
        "\r\n".join(
            [f"HTTP/1.1 {status} Whatever", f"Content-Length: {length}", *headers, "", ""]
        ).encode()
        + content
    )


def refusal(status: int, code: str, *headers: str) -> Behaviour:
    """Refuse as SQS does."""
    body = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": "because"})
    return answer(status, body, "x-amzn-RequestId: r", *headers)


def raw(sent: bytes) -> Behaviour:
    return lambda connection: connection.sendall(sent)


def then(*behaviours: Behaviour) -> Behaviour:
    def do(connection: socket.socket) -> None:
        for behaviour in behaviours:
            behaviour(connection)

    return do


def close(connection: socket.socket) -> None:
    # Another reference, such as that of a thread that reads, would keep it open.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def end(connection: socket.socket) -> None:
    """End from another thread than the one that serves the connection.

    Closing would free the number of its socket for the next one, which that thread may still read.
    """
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang(_connection: socket.socket) -> None:
    """Leave it open without a word."""


class Wire:
    """Does what `behaviours` say with one request after the other, and the last for all further.

    With `unread` it does so as soon as a connection is there, before any request. With
    `certificate` (a PEM file with its key) it speaks TLS.
    """

    def __init__(
        self, *behaviours: Behaviour, unread: bool = False, certificate: Path | None = None
    ) -> None:
        self.behaviours: Sequence[Behaviour] = behaviours
        #: Head and body of each request, and how many connections there were.
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.connections = 0
        #: The last body that each connection has brought.
        self.last: dict[socket.socket, bytes] = {}
        self.open: list[socket.socket] = []
        self._unread = unread
        self._context: ssl.SSLContext | None = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        close(self._listener)
        for connection in self.open:
            close(connection)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            with self._lock:
                self.connections += 1
                self.open.append(connection)
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
                self.open.append(connection)
            while self._unread or self._read(connection):
                with self._lock:
                    number = min(len(self.requests), len(self.behaviours)) - 1
                self.behaviours[number](connection)
                if self._unread:
                    return

    def _read(self, connection: socket.socket) -> bool:
        """Read one request; return whether there was one."""
        # Without a file around the socket, which would keep it open.
        received = b""
        while b"\r\n\r\n" not in received:
            if not (more := connection.recv(65_536)):
                return False
            received += more
        head, _, body = received.partition(b"\r\n\r\n")
        lines = (line.partition(":") for line in head.decode().splitlines()[1:])
        headers = {name.lower(): value.strip() for name, _, value in lines}
        while len(body) < int(headers.get("content-length", 0)):
            if not (more := connection.recv(65_536)):
                return False
            body += more
        with self._lock:
            self.requests.append((headers, body))
            self.last[connection] = body
        return True
