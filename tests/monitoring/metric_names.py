"""Names of all metrics that there are: those of the code, of its libraries, and of the rules."""

import os
import re
from functools import cache
from typing import Final

from prometheus_client import REGISTRY

from cpsite.observability import metrics
from cpsite.observability.processes import ServiceProcesses
from cpsite.observability.resource_limits import Limits
from cpsite.web import queue_watch as _queues  # noqa: F401 - its import makes them
from cpsite.web.middleware import PrometheusAfterMiddleware
from tests.monitoring.configuration import groups
from uploader import metrics as _uploader  # noqa: F401
from validator import metrics as _validator  # noqa: F401

#: Of Prometheus and Alertmanager, which the live test scrapes.
OF_THE_MONITORING: Final = {
    "up",
    "alertmanager_notifications_failed_total",
    "prometheus_notifications_dropped_total",
    "prometheus_notifications_errors_total",
    "prometheus_tsdb_head_series",
    "prometheus_tsdb_retention_limit_bytes",
    "prometheus_tsdb_storage_blocks_bytes",
}

#: What ours and theirs begin with, as far as expressions name them.
_NAME: Final = re.compile(
    r"\b(?:up\b|(?:cpsite[:_]|validator_|uploader_|audit_|process_|django_|prometheus_|alertmanager_)"
    r"[a-z0-9_:]+)"
)


@cache
def of_the_code() -> frozenset[str]:
    """Return the names under which a scrape of the services has samples."""
    PrometheusAfterMiddleware(lambda _request: None)
    service = metrics.Service("validator", Limits(cpu_cores=1, memory_bytes=1))
    collected = [*service.collect(), *ServiceProcesses(os.getpid()).collect()]
    return frozenset(REGISTRY._names_to_collectors) | {
        sample.name for metric in collected for sample in metric.samples
    }


def of_the_rules() -> frozenset[str]:
    """Return the names that recording rules make."""
    return frozenset(
        rule["record"] for rules in groups().values() for rule in rules if "record" in rule
    )


def known() -> frozenset[str]:
    """Return all names that an expression may ask for."""
    return of_the_code() | of_the_rules() | OF_THE_MONITORING


def named_in(expression: str) -> set[str]:
    """Return the names of metrics in an expression of PromQL."""
    # Neither label values nor the names of labels.
    bare = re.sub(r'"[^"]*"', '""', expression)
    return set(_NAME.findall(bare))
