"""A reverse proxy in front of one AWS service, which disturbs some of the calls."""

import asyncio
import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.chaos import http1
from tests.chaos.dialects import Dialect
from tests.chaos.faults import Fault, Injector
from tests.chaos.http1 import Message

#: Longest head of a message.
_HEAD_BYTES = 1 << 18
#: Seconds of a slow answer, at least and at most.
SLOW_SECONDS = (0.2, 3.0)
#: Seconds for which a call is left without an answer, where nobody hangs up before.
HANG_SECONDS = 40.0

#: Closes with a reset instead of an orderly end.
_RESET = struct.pack("ii", 1, 0)

_BROKEN = (OSError, EOFError, asyncio.IncompleteReadError)


@dataclass(frozen=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def reset(self) -> None:
        peer = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.writer.transport.abort()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


class Proxy:
    """Runs in a thread of its own for as long as its context lasts."""

    def __init__(self, upstream: str, dialect: Dialect, injector: Injector) -> None:
        address = urlsplit(upstream)
        self._upstream = (address.hostname, address.port)
        self._dialect = dialect
        self.injector = injector
        self.port = 0
        self._idle: list[_Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        server = self._loop.run_until_complete(
            asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_HEAD_BYTES)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(self._wait_for_tasks())
        for connection in self._idle:
            connection.writer.transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _wait_for_tasks(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve_connection(_Connection(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_connection(self, client: _Connection) -> None:
        try:
            while request := await http1.read_request(client.reader, client.writer):
                await self._serve(request, client)
                if client.writer.is_closing():
                    return
        except _BROKEN:
            pass  # either side is gone; the other one notices
        finally:
            client.writer.transport.abort() if client.writer.is_closing() else client.writer.close()

    async def _serve(self, request: Message, client: _Connection) -> None:
        """Serve one call, or what is left of it. A connection that is to end is closed."""
        fault = self.injector.choose(self._dialect.possible(request))
        if fault is Fault.HANG:
            await self._hang(client)
        if fault in {Fault.HANG, Fault.RESET_BEFORE}:
            client.reset()
            return
        try:
            answer = await self._answer(fault, request)
        except _BROKEN:
            client.reset()
            return
        await self._give(answer, client, fault)

    async def _answer(self, fault: Fault | None, request: Message) -> Message:
        rng = self.injector.rng
        if fault in self._dialect.answers:
            return rng.choice(self._dialect.answers[fault])
        match fault:
            case Fault.PARTIAL | Fault.UNMENTIONED | Fault.REDELIVERY:
                tampered = self._dialect.tamper(fault, request, rng)
                forwarded = tampered.request
                return tampered.finish(await self._forward(forwarded) if forwarded else None)
            case _:
                answer = await self._forward(request)
                self._dialect.saw(request, answer)
                return answer

    async def _give(self, answer: Message, client: _Connection, fault: Fault | None) -> None:
        if fault is Fault.RESET_AFTER:
            client.reset()
            return
        if fault is Fault.SLOW:
            shortest, longest = SLOW_SECONDS
            # Mostly short: each call that others wait for delays all of them.
            share = self.injector.rng.random() ** 2
            await asyncio.sleep(shortest + share * (longest - shortest))
        data = answer.encode()
        if fault is Fault.TRUNCATED:
            await client.send(data[: self.injector.rng.randint(1, len(data) - 1)])
            client.writer.close()
            return
        await client.send(data)

    async def _forward(self, request: Message) -> Message:
        """Have the real service do it. Its connections are used again."""
        connection = await self._connect()
        try:
            await connection.send(request.encode())
            answer = await http1.read_answer(connection.reader, to=request.method)
        except BaseException:
            connection.writer.transport.abort()
            raise
        if answer.header("connection").lower() == "close" or connection.reader.at_eof():
            connection.writer.close()
        else:
            self._idle.append(connection)
        return answer

    async def _connect(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not (connection.reader.at_eof() or connection.writer.is_closing()):
                return connection
            connection.writer.close()
        reader, writer = await asyncio.open_connection(*self._upstream, limit=_HEAD_BYTES)
        return _Connection(reader, writer)

    async def _hang(self, client: _Connection) -> None:
        """Wait until the client hangs up, the faults are over, or it has been long enough."""
        until = self._loop.time() + HANG_SECONDS
        gone = self._loop.create_task(client.reader.read(1))
        try:
            while self.injector.is_on and self._loop.time() < until and not gone.done():
                await asyncio.wait({gone}, timeout=0.2)
        finally:
            gone.cancel()
