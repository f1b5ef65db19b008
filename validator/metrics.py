"""The validator's own metrics. Those of HTTP for pages are django-prometheus's.

All label values are set to 0 at the start: Prometheus sees no increase in a series that begins with
its first event.
"""

from functools import cache
from http import HTTPStatus
from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from prometheus_client import Counter, Histogram

from cpsite.web.bodies import declared_length
from validator import exceptions
from validator.exceptions import CONTRACT_BROKEN, FIELD_CODES, INTERNAL_ERROR

_SERVER_ERROR: Final = 500

#: Results of `messages_total` for refused requests (4xx), and for failures on our side (5xx).
REFUSALS: Final = (
    CONTRACT_BROKEN,
    *(kind.default_code for kind in exceptions.REFUSALS if kind.status_code < _SERVER_ERROR),
)
FAILURES: Final = (
    *(kind.default_code for kind in exceptions.REFUSALS if kind.status_code >= _SERVER_ERROR),
    INTERNAL_ERROR,
)

request_seconds = Histogram(
    "validator_request_seconds",
    "Time to answer a request that sends a message, by the status of the answer.",
    ["status"],
    # django-prometheus's, but the last ones: no request takes longer than its timeouts.
    buckets=(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 25),
)
request_bytes = Histogram(
    "validator_request_bytes",
    "Length of the body of a request that sends a message, by its Content-Length.",
    buckets=(256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576),
)
tokens_total = Counter(
    "validator_tokens_total",
    "Token checks by result: valid, missing, unknown, unavailable.",
    ["result"],
)
messages_total = Counter(
    "validator_messages_total",
    "Requests to POST / by result: accepted, repeated (same key), or the code of the error.",
    ["result"],
)
contract_messages_total = Counter(
    "validator_contract_messages_total",
    "Requests to send a message, by the path's contract and result: accepted, repeated, refused.",
    ["contract", "result"],
)
contract_errors_total = Counter(
    "validator_contract_errors_total",
    "Requests that broke the contract, by the first error of a field (required, blank, …).",
    ["reason"],
)
worker_exits_total = Counter(
    "validator_worker_exits_total",
    "gunicorn workers that have exited, for any reason. Each is replaced.",
)
publish_batch_size = Histogram(
    "validator_publish_batch_size",
    "Messages in one send to SQS, at most ten.",
    buckets=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
)
publish_seconds = Histogram(
    "validator_publish_seconds",
    "Time to publish a message, until SQS confirms it or the publish fails.",
    ["result"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

_of_status: Final = cache(request_seconds.labels)


def observe_answer(request: HttpRequest, response: HttpResponseBase, *, seconds: float) -> None:
    """Count a request that sends a message, and its answer."""
    _of_status(response.status_code).observe(seconds)
    request_bytes.observe(declared_length(request))


for _status in (
    HTTPStatus.ACCEPTED,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    *(kind.status_code for kind in exceptions.REFUSALS),
):
    _of_status(int(_status))
for _result in ("valid", "missing", "unknown", "unavailable"):
    tokens_total.labels(_result)
for _result in ("accepted", "repeated", *REFUSALS, *FAILURES):
    messages_total.labels(_result)
for _reason in FIELD_CODES:
    contract_errors_total.labels(_reason)
for _result in ("ok", "failed"):
    publish_seconds.labels(_result)
