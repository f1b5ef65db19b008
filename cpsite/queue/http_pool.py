"""HTTP connections to SQS that are kept for the next call.

What urllib3 does around http.client takes longer than the call itself (docs/adr/0026), so only the
answer is read by http.client. As in urllib3, a kept connection that the other side has closed is
noticed, and an early answer is read although the rest of the request could not be sent. Head and
body are one packet. Errors are botocore's.
"""

import http.client
import os
import socket
import ssl
import weakref
from collections.abc import Mapping
from contextlib import closing, suppress
from functools import cached_property
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import create_urllib3_context

#: Bytes of the longest answer: ten messages of 1 MiB, each byte of which JSON may write as six.
ANSWER_BYTES: Final = 64 * 2**20


class Answer(NamedTuple):
    """What the server has answered, whatever the status."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class HttpPool:
    """Connections to the server at `url`, each for one call at a time. Thread-safe.

    `trusted` is the file of the certificate authorities. Times are in seconds: `read_timeout` is
    the longest silence of the server. At most `kept` connections stay open between calls.
    """

    def __init__(
        self, url: str, *, trusted: str, connect_timeout: float, read_timeout: float, kept: int
    ) -> None:
        self._url = url
        parts = urlsplit(url)
        self._is_tls = parts.scheme == "https"
        self._address = (str(parts.hostname), parts.port or (443 if self._is_tls else 80))
        self._host = parts.netloc
        self._trusted = trusted
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._kept = kept
        self._idle: list[socket.socket] = []
        _pools.add(self)

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send `POST /` and return the answer. Raises BotoCoreError if there is none."""
        connection = self._take()
        try:
            answer, is_reusable = self._exchange(connection, body, headers)
        except BaseException:
            connection.close()
            raise
        if is_reusable and len(self._idle) < self._kept:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def forget(self) -> None:
        """Begin without connections, in a forked process: the parent goes on using them."""
        self._idle = []

    def _take(self) -> socket.socket:
        """Return the connection used last, or a new one if none is left."""
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if _is_silent(connection):
                    return connection
                connection.close()
        return self._connect()

    def _connect(self) -> socket.socket:
        connection = None
        try:
            connection = socket.create_connection(self._address, self._connect_timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._is_tls:
                return self._tls.wrap_socket(connection, server_hostname=self._address[0])
        except Exception as exc:  # noqa: BLE001 - whatever it is, the call has failed
            if connection:
                connection.close()
            raise self._as_botocore_error(exc, is_connected=connection is not None) from None
        return connection

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context: ssl.SSLContext = create_urllib3_context()
        context.check_hostname = True
        try:
            context.load_verify_locations(self._trusted)
        except OSError as exc:
            raise ssl.SSLError(f"{self._trusted}: {exc.strerror}") from exc
        return context

    def _exchange(
        self, connection: socket.socket, body: bytes, headers: Mapping[str, str]
    ) -> tuple[Answer, bool]:
        """Return the answer, and whether the connection may be used again."""
        try:
            request = self._head(body, headers) + body
            connection.settimeout(self._read_timeout)
            # A server may answer and close before it has read all of a request.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(request)
            with closing(http.client.HTTPResponse(connection, method="POST")) as response:
                response.begin()
                content = response.read(ANSWER_BYTES + 1)
                is_reusable = response.isclosed() and not response.will_close
        except Exception as exc:  # noqa: BLE001 - whatever it is, the call has failed
            raise self._as_botocore_error(exc, is_connected=True) from None
        if len(content) > ANSWER_BYTES:
            raise HTTPClientError(error="the answer is too long")
        return Answer(response.status, response.headers, content), is_reusable

    def _head(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        fields = {
            "host": self._host,
            "accept-encoding": "identity",
            "content-length": str(len(body)),
            **{name.lower(): value for name, value in headers.items()},
        }
        lines = [f"{name}: {value}" for name, value in fields.items()]
        if any("\n" in line or "\r" in line for line in lines):
            raise ValueError
        return "\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode()

    def _as_botocore_error(self, exc: Exception, *, is_connected: bool) -> BotoCoreError:
        """Return what botocore raises in this case, as its retries and our callers know it."""
        about: dict[str, Any] = {"endpoint_url": self._url, "error": exc}
        if isinstance(exc, ssl.SSLError):
            return SSLError(**about)
        if isinstance(exc, TimeoutError):
            return ReadTimeoutError(**about) if is_connected else ConnectTimeoutError(**about)
        if isinstance(exc, (OSError, http.client.HTTPException)):
            if is_connected:
                return ConnectionClosedError(**about)
            return EndpointConnectionError(**about)
        # Not its text, which may quote a header.
        return HTTPClientError(error=type(exc).__name__)


def _is_silent(connected: socket.socket) -> bool:
    """Whether a kept connection has nothing to read: no end, no reset, no answer to no call."""
    connected.settimeout(0)
    try:
        # The plain socket's method: TLS has no such flag. It asks neither poll nor gevent's hub.
        socket.socket.recv(connected, 1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


_pools: Final[weakref.WeakSet[HttpPool]] = weakref.WeakSet()


def _forget_connections() -> None:
    for pool in list(_pools):
        pool.forget()


os.register_at_fork(after_in_child=_forget_connections)
