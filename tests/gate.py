"""A way to an emulator that a test can shut."""

import socket
import socketserver
import threading
from contextlib import suppress
from urllib.parse import urlsplit


class Gate:
    """A port that leads to another one, for as long as it is open."""

    def __init__(self, endpoint: str, port: int) -> None:
        target = urlsplit(endpoint)
        gate = self

        class Forward(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                if not gate.is_open:
                    return
                address = (str(target.hostname), int(target.port or 0))
                with socket.create_connection(address) as upstream:
                    gate.connections |= {self.request, upstream}
                    back = threading.Thread(
                        target=_pump, args=(upstream, self.request), daemon=True
                    )
                    back.start()
                    _pump(self.request, upstream)
                    back.join(5)
                    gate.connections -= {self.request, upstream}

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

        self.is_open = True
        self.connections: set[socket.socket] = set()
        self.server = Server(("127.0.0.1", port), Forward)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def shut(self) -> None:
        """Let nobody through, and cut off who is inside."""
        self.is_open = False
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.shut()
        self.server.shutdown()
        self.server.server_close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(65_536):
            sink.sendall(block)
        sink.shutdown(socket.SHUT_WR)
