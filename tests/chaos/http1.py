"""HTTP/1.1 messages, as much of them as AWS's clients and emulators use."""

import asyncio
from dataclasses import dataclass, replace
from typing import Self

#: Statuses whose answers have no body, whatever their headers say.
_WITHOUT_BODY = {204, 304}


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer, whole."""

    start: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def answer(cls, status: int, reason: str, body: bytes, **headers: str) -> Self:
        named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return cls(f"HTTP/1.1 {status} {reason}", named, body)

    @property
    def method(self) -> str:
        return self.start.partition(" ")[0]

    @property
    def status(self) -> int:
        return int(self.start.split(" ", 2)[1])

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")

    def with_body(self, body: bytes) -> Self:
        return replace(self, body=body)

    def encode(self) -> bytes:
        """Return it as it goes over the wire, with the length of the body that it has now."""
        kept = [
            f"{name}: {value}\r\n"
            for name, value in self.headers
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "expect"}
        ]
        head = f"{self.start}\r\n{''.join(kept)}Content-Length: {len(self.body)}\r\n\r\n"
        return head.encode("latin-1") + self.body


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Message | None:
    """Return the next request of a connection, or None when there is none."""
    head = await _read_head(reader)
    if head is None:
        return None
    if head.header("expect"):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return head.with_body(await reader.readexactly(int(head.header("content-length") or 0)))


async def read_answer(reader: asyncio.StreamReader, *, to: str) -> Message:
    """Return the answer to a request whose method is `to`. Raises EOFError without one."""
    head = await _read_head(reader)
    while head is not None and head.status == 100:
        head = await _read_head(reader)
    if head is None:
        raise EOFError
    if to == "HEAD" or head.status in _WITHOUT_BODY:
        return head
    if head.header("transfer-encoding").lower() == "chunked":
        return head.with_body(await _read_chunks(reader))
    if length := head.header("content-length"):
        return head.with_body(await reader.readexactly(int(length)))
    return head.with_body(await reader.read())


async def _read_head(reader: asyncio.StreamReader) -> Message | None:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as exc:
        if exc.partial:
            raise
        return None
    start, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Message(start, tuple((name, value.strip()) for name, _, value in pairs), b"")


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    while (await reader.readline()).strip():
        pass  # trailers
    return b"".join(parts)
