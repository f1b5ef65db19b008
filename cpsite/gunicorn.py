"""gunicorn's configuration: `gunicorn --config python:cpsite.gunicorn cpsite.wsgi`.

The values that differ between machines come from the environment variable named beside them.
"""

# First of all, before anything else has bound what is replaced here: requests of a process take
# turns whenever one of them waits, which costs a quarter less than threads do (docs/adr/0007).
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

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cpsite.settings")
os.environ["CPSITE_SERVICE"] = "validator"

# Must stand in the environment before prometheus_client is imported, which is when it decides
# whether values are shared between processes. A fresh directory, because files that an earlier
# run left behind would be counted again.
_metrics_directory = tempfile.mkdtemp(prefix="cpsite-metrics-")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = _metrics_directory

try:
    # SQLite waits for a lock where no other request can take its turn.
    os.environ.setdefault("SQLITE_TIMEOUT_SECONDS", "0.5")
    os.environ.setdefault("DATABASE_POOL_SIZE", "8")
    from django.conf import settings

    env = Env()
    bind = f"{env.str('HOST', '127.0.0.1')}:{env.int('PORT', 8000)}"  # HOST, PORT
    # WEB_CONCURRENCY: processes. One for each vCPU: batches form inside a process, so few processes
    # with much concurrency each make the fullest ones.
    workers = env.int("WEB_CONCURRENCY", 2, validate=[validate.Range(min=1)])
    # WEB_CONNECTIONS: clients of a process that are connected at a time; others wait to be
    # accepted, and idle ones make room for them. Bounds the memory that bodies under way can take,
    # each a few times MAX_BODY_BYTES.
    worker_connections = env.int("WEB_CONNECTIONS", 512, validate=[validate.Range(min=1)])
    # gunicorn's own lines in the same format as ours.
    logconfig_dict = settings.LOGGING
except EnvError as exc:
    shutil.rmtree(_metrics_directory, ignore_errors=True)
    sys.exit(f"cpsite: configuration error: {exc}")

wsgi_app = "cpsite.wsgi:application"
# gevent, but with nothing of a request in its error lines, and quick to stop.
worker_class = "cpsite.web.worker.Worker"
# Every message has a log line of ours with its outcome.
logger_class = "cpsite.web.worker.Logger"
# Longer than an ALB's idle timeout (60 s by default), so that it is never the ALB which finds a
# connection closed under a request it has just sent.
keepalive = 75
# Seconds without a sign of life from a worker's main loop after which it is replaced.
timeout = 30
# Seconds of a stop: for requests under way, but for the last five (RESERVED_SECONDS of the worker
# class), which are for writing the audit log. ECS kills after 30.
graceful_timeout = 20
limit_request_line = 2048
limit_request_fields = 64
# Bytes of one. Together they bound what a connection can make us hold before it has said anything.
limit_request_field_size = 4096
# Serves nothing that we use.
control_socket_disable = True
# A heartbeat file on a slow disk can stall a worker.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - gunicorn makes it private


def on_starting(_server: Any) -> None:
    """Load the application once for all workers, and tell a wrong configuration plainly."""
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

    _limits()
    with suppress(OSError):  # no Linux: there will be no such metrics either
        processes.booted_at()
    # What the first request would import, in each process anew.
    get_resolver().url_patterns  # noqa: B018
    aws.preload("sqs", *(["ssm"] if settings.API_TOKENS_PARAMETER else []))
    # Workers share the memory of what is loaded here for as long as nobody writes to it, and a
    # garbage collection writes to all that it looks at.
    gc.collect()
    gc.freeze()


@cache
def _limits() -> "Limits":
    """Find the service's limits once, in the master: the workers inherit what was found."""
    from cpsite.observability import resource_limits

    return resource_limits.find()


def post_worker_init(worker: Any) -> None:
    """Open the metrics port, and pay for the first request before it comes."""
    from cpsite.observability import metrics
    from validator import warm_up

    service = metrics.Service("validator", _limits(), master=worker.ppid)
    metrics.serve(settings.METRICS_HOST, settings.VALIDATOR_METRICS_PORT, service)
    warm_up.warm_up()


def worker_exit(_server: Any, _worker: Any) -> None:
    """Write the audit events that are still in memory."""
    from django.db import connection

    from cpsite.audit.recorder import recorder

    recorder.close()
    if settings.DATABASE_POOL_SIZE and connection.vendor == "postgresql":
        connection.close_pool()  # type: ignore[attr-defined] # PostgreSQL's wrapper has it


def child_exit(_server: Any, worker: Any) -> None:
    """Count it, and drop its gauges; its counters stay in the sums."""
    from prometheus_client.multiprocess import mark_process_dead

    from validator import metrics

    metrics.worker_exits_total.inc()
    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_server: Any) -> None:
    shutil.rmtree(_metrics_directory, ignore_errors=True)
