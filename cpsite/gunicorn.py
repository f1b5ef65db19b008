"""gunicorn's configuration: `gunicorn --config python:cpsite.gunicorn cpsite.wsgi`.

Values that differ between machines come from the environment variables named beside them.
"""

# Patch before anything else imports what is patched. Each request then runs in a greenlet, and a
# process switches to another one whenever a request waits. That costs a quarter less than threads
# (docs/adr/0007).
from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from environs import Env, EnvError, validate

if TYPE_CHECKING:
    from cpsite.observability.resource_limits import Limits
    from cpsite.web.in_flight import Service

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cpsite.settings")
os.environ["CPSITE_SERVICE"] = "validator"

# Set before prometheus_client is imported: at its import it decides whether processes share their
# values. A fresh directory, because files left behind by an earlier run would be counted again.
_metrics_directory = tempfile.mkdtemp(prefix="cpsite-metrics-")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = _metrics_directory

try:
    # While SQLite waits for a lock, no other request of the process can run.
    os.environ.setdefault("SQLITE_TIMEOUT_SECONDS", "0.5")
    os.environ.setdefault("DATABASE_POOL_SIZE", "8")
    from django.conf import settings

    from cpsite import listening

    env = Env()
    host = env.str("HOST", "127.0.0.1")
    bind = listening.address(host, env.int("PORT", 8000))  # HOST, PORT
    listening.require("HOST", host)
    listening.require("METRICS_HOST", settings.METRICS_HOST)
    # WEB_CONCURRENCY: processes, one for each vCPU. Only requests of the same process share a
    # batch, so batches are fullest with few processes that each serve many requests.
    workers = env.int("WEB_CONCURRENCY", 2, validate=[validate.Range(min=1)])
    # WEB_CONNECTIONS: concurrent connections of a process. Further clients wait to be accepted, and
    # idle connections are closed to make room.
    worker_connections = env.int("WEB_CONNECTIONS", 512, validate=[validate.Range(min=1)])
    # MAX_HEADER_BYTES: bytes of one header with its name.
    max_header_bytes = env.int(
        "MAX_HEADER_BYTES", 16_384, validate=[validate.Range(min=1_024, max=65_536)]
    )
    # gunicorn's own log lines get the same format as ours.
    logconfig_dict = settings.LOGGING
except EnvError as exc:
    shutil.rmtree(_metrics_directory, ignore_errors=True)
    sys.exit(f"cpsite: configuration error: {exc}")

wsgi_app = "cpsite.wsgi:application"
# A gevent worker with client timeouts, bounded shutdown, and error answers that quote no request.
worker_class = "cpsite.web.worker.Worker"
# No access log: every message already has a log line with its outcome.
logger_class = "cpsite.web.worker.Logger"
# Longer than an ALB's idle timeout (60 s by default). Otherwise gunicorn could close a connection
# on which the ALB has just sent a request.
keepalive = 75
# A worker is replaced after so many seconds without a heartbeat from its main loop.
timeout = 30
# Seconds of a graceful stop, for requests in progress. The last five (RESERVED_SECONDS in
# cpsite/web/worker.py) are reserved for ending them and writing the audit log. ECS kills after 30.
graceful_timeout = 20
limit_request_line = 2048
limit_request_fields = 64
# All headers together may be twice as long as one (cpsite/web/request_head.py).
limit_request_field_size = max_header_bytes
# No header of a client becomes a variable of WSGI's, such as SCRIPT_NAME, or its scheme: by default
# gunicorn lets peers on loopback set them. Django reads what proxies say (TRUSTED_PROXIES).
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
# Nothing here uses gunicorn's control socket.
control_socket_disable = True
# A heartbeat file on a slow disk can stall a worker.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - gunicorn makes it private


def on_starting(server: Any) -> None:
    """Load the application once for all workers; exit without a traceback if checks fail."""
    import gc

    from django.core.management.base import SystemCheckError

    try:
        import cpsite.wsgi  # noqa: F401 - its import runs the checks
    except SystemCheckError as exc:
        shutil.rmtree(_metrics_directory, ignore_errors=True)
        sys.exit(f"cpsite: {exc}")
    from django.urls import get_resolver

    from cpsite import aws
    from cpsite.observability import processes

    _require_memory(server.cfg)
    with suppress(OSError):  # not Linux: there are no process metrics either
        processes.booted_at()
    # Import here, once, what the first request to each worker would otherwise import.
    get_resolver().url_patterns  # noqa: B018
    reads_tokens = settings.SERVES_API and settings.API_TOKENS_PARAMETER
    aws.preload("sqs", *(["ssm"] if reads_tokens else []))
    # Workers share the memory of what is loaded here until it is written to. A garbage collection
    # writes to every object that it examines, so freeze exempts these.
    gc.collect()
    gc.freeze()


@cache
def _limits() -> "Limits":
    """Return the service's limits, found once in the master and inherited by the workers."""
    from cpsite.observability import resource_limits

    return resource_limits.find()


def _service(cfg: Any) -> "Service":
    """Return what the memory of the service depends on."""
    from cpsite.web.in_flight import Service

    return Service(
        processes=cfg.workers,
        connections=cfg.worker_connections,
        header_bytes=cfg.limit_request_field_size,
    )


def _require_memory(cfg: Any) -> None:
    """Exit with what to change if the service's memory is too small for its configuration."""
    needed = _service(cfg).memory_needed(settings.MAX_BODY_BYTES)
    if _limits().memory_bytes < needed:
        shutil.rmtree(_metrics_directory, ignore_errors=True)
        sys.exit(
            f"cpsite: configuration error: WEB_CONCURRENCY={cfg.workers}, "
            f"WEB_CONNECTIONS={cfg.worker_connections} and MAX_BODY_BYTES="
            f"{settings.MAX_BODY_BYTES} need {needed / 2**20:.0f} MiB of memory, and there are "
            f"{_limits().memory_bytes / 2**20:.0f} (docs/scaling.md#memory)."
        )


def post_worker_init(worker: Any) -> None:
    """Open the metrics port, and warm up so that the first request is not slow."""
    from cpsite.observability import metrics
    from cpsite.web import audit_days, in_flight, queue_watch
    from cpsite.web.worker import WAITING_SHARE

    places = int(worker.cfg.worker_connections * WAITING_SHARE)
    bytes_in_flight = _service(worker.cfg).limit(_limits().memory_bytes)
    worker.in_flight = in_flight.InFlight(bytes_in_flight, places)
    name = "validator" if settings.SERVES_API else "admin"
    service = metrics.Service(name, _limits(), master=worker.ppid)
    metrics.serve(settings.METRICS_HOST, settings.VALIDATOR_METRICS_PORT, service)
    queue_watch.start(Path(_metrics_directory))
    audit_days.start(Path(_metrics_directory))
    if settings.SERVES_API:
        from validator import warm_up

        warm_up.warm_up()


def worker_exit(_server: Any, _worker: Any) -> None:
    """Write the audit events that are still in memory."""
    from django.db import connection

    from cpsite.audit.recorder import recorder

    recorder.close()
    if settings.DATABASE_POOL_SIZE and connection.vendor == "postgresql":
        connection.close_pool()  # type: ignore[attr-defined] # PostgreSQL's wrapper has it


def child_exit(_server: Any, worker: Any) -> None:
    """Count the exit and drop the worker's gauges. Its counters stay in the sums."""
    from prometheus_client.multiprocess import mark_process_dead

    from validator import metrics

    metrics.worker_exits_total.inc()
    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_server: Any) -> None:
    shutil.rmtree(_metrics_directory, ignore_errors=True)
