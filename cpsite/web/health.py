"""Liveness and readiness for the load balancer.

Live means that the process answers. Ready means that it can do its work now: accept messages, or,
where it serves the admin alone, show its pages. A required probe checks what it needs for that. The
API accepts messages without the database, so there that probe is optional
(docs/adr/0002-readiness-without-the-database.md).
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

logger = logging.getLogger(__name__)

#: Seconds for which results of probes are reused, so that health checks cause little load.
CACHE_SECONDS = 5.0
#: Seconds that an optional probe may take. A load balancer waits 5 by default, for all probes.
OPTIONAL_SECONDS = 1.0


@dataclass
class Readiness:
    """The probes and their last results. A probe is a function that raises when it fails.

    Those in `required` end in bounded time by themselves. Those in `optional` are given up after
    OPTIONAL_SECONDS.
    """

    required: dict[str, Callable[[], object]] = field(default_factory=dict)
    optional: dict[str, Callable[[], object]] = field(default_factory=dict)
    #: Names of optional probes without which this process is of no use all the same.
    needed: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _results: dict[str, str] = field(default_factory=dict)
    _valid_until: float = 0.0
    #: Threads of optional probes that have not returned.
    _hanging: dict[str, threading.Thread] = field(default_factory=dict)

    def results(self) -> dict[str, str]:
        """Return "ok" or "unavailable" for each probe, at most CACHE_SECONDS old."""
        with self._lock:
            if time.monotonic() >= self._valid_until:
                self._results = {
                    name: _result(name, probe) for name, probe in self.required.items()
                } | {name: self._result_in_time(name) for name in self.optional}
                self._valid_until = time.monotonic() + CACHE_SECONDS
            return self._results

    def _result_in_time(self, name: str) -> str:
        """Run an optional probe in a thread: it may hang, and the health check must not."""
        if (thread := self._hanging.pop(name, None)) and thread.is_alive():
            self._hanging[name] = thread
            return "unavailable"
        results: list[str] = []
        thread = threading.Thread(
            target=lambda: results.append(_result(name, self.optional[name])), daemon=True
        )
        thread.start()
        thread.join(OPTIONAL_SECONDS)
        if thread.is_alive():
            self._hanging[name] = thread
        return results[0] if results else "unavailable"

    def is_ready(self, results: Mapping[str, str]) -> bool:
        """Whether none of the probes that this process needs has failed."""
        return all(results[name] == "ok" for name in self.required.keys() | self.needed)

    def forget(self) -> None:
        """Make the next call of `results` run the probes again."""
        self._valid_until = 0.0


def _result(name: str, probe: Callable[[], object]) -> str:
    try:
        probe()
    except Exception as exc:  # noqa: BLE001 - whatever fails, the answer is "unavailable"
        logger.warning("probe_failed", extra={"probe": name, "error": type(exc).__name__})
        return "unavailable"
    return "ok"


def _select_one() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()  # this thread's own, and its last use


readiness = Readiness(optional={"database": _select_one})


def safe(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Allow GET and HEAD; answer other methods with the API's 405."""

    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        if request.method in {"GET", "HEAD"}:
            return view(request)
        detail = f'Method "{request.method}" not allowed.'
        return JsonResponse(
            {"code": "method_not_allowed", "detail": detail},
            status=405,
            headers={"Allow": "GET, HEAD"},
        )

    # These views change nothing, so they need no protection against forged requests.
    return csrf_exempt(answer)


@safe
def live(_request: HttpRequest) -> JsonResponse:
    """Answer 200: this process serves requests."""
    return JsonResponse({"status": "ok"})


@safe
def ready(_request: HttpRequest) -> JsonResponse:
    """Answer 200 if the process can do its work, else 503; both with the result of each probe."""
    results = readiness.results()
    if not readiness.is_ready(results):
        return JsonResponse({"status": "unavailable", "checks": results}, status=503)
    has_failed = any(result != "ok" for result in results.values())
    return JsonResponse({"status": "degraded" if has_failed else "ok", "checks": results})
