"""The validator's own metrics; HTTP metrics are django-prometheus's."""

from prometheus_client import Counter, Histogram

tokens_total = Counter(
    "validator_tokens_total",
    "Token checks by result: valid, missing, unknown, unavailable.",
    ["result"],
)
messages_total = Counter(
    "validator_messages_total",
    "Requests to POST / by result: accepted, repeated (by its key), or the code of the refusal.",
    ["result"],
)
publish_batch_size = Histogram(
    "validator_publish_batch_size",
    "Messages that shared one send to SQS, of the ten it takes at most.",
    buckets=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
)
publish_seconds = Histogram(
    "validator_publish_seconds",
    "Time from handing a message to the publisher to SQS's confirmation or the failure.",
    ["result"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
