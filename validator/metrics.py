"""The validator's own metrics; HTTP metrics are django-prometheus's.

All label values are set to 0 at the start: Prometheus sees no increase in a series that begins with
its first event.
"""

from typing import Final

from prometheus_client import Counter, Histogram

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

for _result in ("valid", "missing", "unknown", "unavailable"):
    tokens_total.labels(_result)
for _result in ("accepted", "repeated", *REFUSALS, *FAILURES):
    messages_total.labels(_result)
for _reason in FIELD_CODES:
    contract_errors_total.labels(_reason)
for _result in ("ok", "failed"):
    publish_seconds.labels(_result)
