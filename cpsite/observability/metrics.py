"""Metrics of both services, and the internal port that serves them.

Each service defines its own metrics in its `metrics.py`. Label values come from bounded sets.
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

from cpsite import listening
from cpsite.observability.processes import ServiceProcesses
from cpsite.observability.resource_limits import Limits

audit_write_failures_total = Counter(
    "audit_write_failures_total",
    "Audit events that did not reach the database; each is in the log as audit_event_lost.",
)


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        host, port = address
        self.address_family = listening.family(host)
        super().__init__((listening.bare(host), port), handler)

    def server_bind(self) -> None:
        # Not WSGIServer's, which would look up the host's name in DNS.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()


class _SharedServer(_Server):
    # All gunicorn workers listen on the same port, and each can answer for all of them.
    allow_reuse_port = True


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited name
        """Log nothing: scrapes are too frequent."""


@dataclass(frozen=True)
class Service:
    """A service's build and resource limits, as a collector for a prometheus_client registry.

    `master` is the id of the master process if the service has several: then these share their
    values in PROMETHEUS_MULTIPROC_DIR. Without it the service is this process alone.
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
    """Return what to expose: the values of all processes of the service."""
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

    All processes of a service with a master can share the port. Raises OSError if it is in use.
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
