"""Metrics that both services have, and the internal port that serves them.

Each service's own metrics stand in its `metrics.py`. Label values come from bounded sets.
"""

import os
import socketserver
import threading
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import REGISTRY, CollectorRegistry, Counter, make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector

audit_write_failures_total = Counter(
    "audit_write_failures_total",
    "Audit events that did not reach the database; each is in the log as audit_event_lost.",
)


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # WSGIServer would look up our own name in DNS here.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()


class _SharedServer(_Server):
    # Every gunicorn worker listens on the same port, and each can answer for all of them.
    allow_reuse_port = True


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited name
        """Scrapes are not worth a line."""


def registry() -> CollectorRegistry:
    """Return what to expose: all processes' values where there are several, else our own."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return shared


def serve(host: str, port: int, *, shared: bool = False) -> WSGIServer:
    """Serve `/metrics` at `host:port` from a daemon thread; port 0 takes any free one.

    With `shared` the other processes of a service may serve there as well. Raises OSError when
    the port is taken.
    """
    server = make_server(
        host,
        port,
        make_wsgi_app(registry()),
        server_class=_SharedServer if shared else _Server,
        handler_class=_SilentHandler,
    )
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
