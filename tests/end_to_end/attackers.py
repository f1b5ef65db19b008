"""Hostile clients in a process of their own: `python -m tests.end_to_end.attackers PORT NAME…`.

One line says when each client has got an answer. They go on until standard input ends. For each
line of it, and at its end, a line of JSON has how often each got which status; 0 is a connection
that was closed without an answer.
"""

import http.client
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import chain, count
from typing import Final

from tests import factories

MALLORY: Final = "mallory-token-1"
#: Seconds between two requests of a client, so that the attackers leave the machine's processors to
#: what they attack.
PAUSE_SECONDS: Final = 1.0
#: A form that needs no session: Django takes any CSRF cookie of this form that the form repeats.
CSRF: Final = "c" * 32
FORM: Final = "Content-Type: multipart/form-data; boundary=x"
JSON: Final = "Content-Type: application/json"
#: Bytes that a client of endless bodies says it will send, and that it sends at a time.
ENDLESS: Final = 800_000_000
PIECE: Final = b"x" * 65_536


def _message(text: str) -> bytes:
    data = dict.fromkeys(factories.fields(), text)
    return json.dumps(factories.envelope(data=data), ensure_ascii=False).encode()


#: Messages of nearly MAX_BODY_BYTES: plain, and what takes the most memory (bench/memory.py).
LONG: Final = _message("x" * 65_000)
GROWING: Final = _message("x" * 29_000 + "\x7f" * 36_000 + "😀")

_lock = threading.Lock()


def _head(method: str, path: str, *headers: str) -> bytes:
    lines = (f"{method} {path} HTTP/1.1", "Host: localhost", *headers)
    return "\r\n".join([*lines, "", ""]).encode()


def _status(connection: socket.socket) -> int:
    """Return the status of the answer, 0 without one."""
    with suppress(OSError, http.client.HTTPException):
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()
        return answer.status
    return 0


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 600)


def _endless(port: int, path: str) -> Iterator[int]:
    """Send an upload without a token, for as long as it is read."""
    head = _head("POST", path, FORM, f"Cookie: csrftoken={CSRF}", f"Content-Length: {ENDLESS}")
    while True:
        with closing(_connect(port)) as connection:
            connection.sendall(head)
            with suppress(OSError):
                for _ in range(ENDLESS // len(PIECE)):
                    connection.sendall(PIECE)
            yield _status(connection)


def _unfinished(port: int) -> Iterator[int]:
    """Send the beginning of a form without a token that is as long as it may be."""
    head = _head(
        "POST",
        "/admin/login/",
        FORM,
        f"Cookie: csrftoken={CSRF}",
        "Content-Length: 32000",
    )
    while True:
        with closing(_connect(port)) as connection:
            connection.sendall(head + b"x")
            yield _status(connection)


def _long(port: int, message: bytes) -> Iterator[int]:
    """Send ordinary messages of the longest kind."""
    head = _head("POST", "/", JSON, f"Content-Length: {len(message)}")
    while True:
        with closing(_connect(port)) as connection:
            with suppress(OSError):
                connection.sendall(head + message)
            yield _status(connection)


def _login(port: int, number: int) -> Iterator[int]:
    """Log in with a wrong password, each time from another IPv6 network."""
    form = f"csrfmiddlewaretoken={CSRF}&username=root&password=a+guess"
    for each in count():
        head = _head(
            "POST",
            "/admin/login/",
            "Content-Type: application/x-www-form-urlencoded",
            f"Cookie: csrftoken={CSRF}",
            f"X-Forwarded-For: 2001:db8:{number:x}:{each % 65_536:x}::1",
            f"Content-Length: {len(form)}",
        )
        with closing(_connect(port)) as connection:
            connection.sendall(head + form.encode())
            yield _status(connection)


def _refused(port: int, body: bytes) -> Iterator[int]:
    """Send what is refused, as the owner of a token, on one connection and without a pause."""
    head = _head(
        "POST", "/", JSON, f"Authorization: Bearer {MALLORY}", f"Content-Length: {len(body)}"
    )
    while True:
        with closing(_connect(port)) as connection:
            status = 1
            while status:
                with suppress(OSError):
                    connection.sendall(head + body)
                status = _status(connection)
                yield status


#: The clients of each attack, which go on with their next request when asked.
ATTACKS: Final[dict[str, Callable[[int], list[Iterator[int]]]]] = {
    "endless": lambda port: [_endless(port, path) for path in ("/docs/", "/admin/login/", "/")],
    "unfinished": lambda port: [_unfinished(port) for _ in range(20)],
    "long": lambda port: [_long(port, LONG) for _ in range(130)],
    "growing": lambda port: [_long(port, GROWING) for _ in range(130)],
    "login": lambda port: [_login(port, number) for number in range(20)],
    "refused": lambda port: [_refused(port, body) for body in (b'{"token": "x"}', b"{", b"[]")],
}


class _Attack:
    """The clients of one attack, each in a thread of its own."""

    def __init__(self, name: str, port: int) -> None:
        self.counted: Counter[int] = Counter()
        self._pause = 0.0 if name == "refused" else PAUSE_SECONDS
        self._clients = ATTACKS[name](port)
        self._answered = 0

    @property
    def is_answered(self) -> bool:
        """Whether each client has got an answer."""
        return self._answered == len(self._clients)

    def start(self) -> None:
        for client in self._clients:
            threading.Thread(target=self._go_on, args=(client,), daemon=True).start()

    def _go_on(self, client: Iterator[int]) -> None:
        for number, status in enumerate(client):
            with _lock:
                self.counted[status] += 1
                self._answered += not number
            time.sleep(self._pause)


def main() -> None:
    port, names = int(sys.argv[1]), sys.argv[2:]
    attacks = {name: _Attack(name, port) for name in names}
    for attack in attacks.values():
        attack.start()
    while not all(attack.is_answered for attack in attacks.values()):
        time.sleep(0.1)
    print("All attacks are under way.", flush=True)
    for _ in chain(sys.stdin, ["the end"]):
        with _lock:
            counted = {name: attack.counted for name, attack in attacks.items()}
            print(json.dumps(counted), flush=True)


if __name__ == "__main__":
    main()
