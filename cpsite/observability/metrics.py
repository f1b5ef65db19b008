"""Metrics that both services have, and the internal port that serves them.

Each service's own metrics stand in its `metrics.py`. Label values come from bounded sets.
"""

import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.conf import settings
from prometheus_client import REGISTRY, CollectorRegistry, Counter, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from cpsite.observability.processes import ServiceProcesses
from cpsite.observability.resource_limits import Limits

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


@dataclass(frozen=True)
class Service:
    """What a service says of itself, as a collector for a registry of prometheus_client.

    With a `master`, the id of a process, the service is that one and its children, and has shared
    its values in PROMETHEUS_MULTIPROC_DIR; else it is this process alone.
    """

    name: str
    limits: Limits
    master: int | None = None

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily(
            "cpsite_build_info",
            "1, with the service and the revision (CPSITE_REVISION) that it runs.",
            labels=["service", "revision"],
        )
        build.add_metric([self.name, settings.CPSITE_REVISION], 1)
        yield build
        yield GaugeMetricFamily(
            "cpsite_cpu_limit_cores",
            "CPU that the service may use: of its task, its cgroup or the machine.",
            value=self.limits.cpu_cores,
        )
        yield GaugeMetricFamily(
            "cpsite_memory_limit_bytes",
            "Memory that the service may use: of its task, its cgroup or the machine.",
            value=self.limits.memory_bytes,
        )


def registry(service: Service) -> CollectorRegistry:
    """Return what to expose: all processes' values where there are several, else our own."""
    exposed = CollectorRegistry()
    exposed.register(service)
    if service.master is None:
        exposed.register(REGISTRY)
    else:
        MultiProcessCollector(exposed)  # type: ignore[no-untyped-call]
        exposed.register(ServiceProcesses(service.master))
    return exposed


def serve(host: str, port: int, service: Service) -> WSGIServer:
    """Serve `/metrics` at `host:port` from a daemon thread; port 0 takes any free one.

    Each process of a service with a master may serve there. Raises OSError when the port is taken.
    """
    server = make_server(
        host,
        port,
        make_wsgi_app(registry(service)),
        server_class=_Server if service.master is None else _SharedServer,
        handler_class=_SilentHandler,
    )
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
