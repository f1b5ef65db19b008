"""The uploader's own metrics.

All label values are there from the start, at 0: Prometheus sees no increase in a series that is
born with its first event. Those of the queues come with SQS's first answer.
"""

from prometheus_client import Counter, Gauge, Histogram

receives_total = Counter(
    "uploader_receives_total", "Receives from SQS by result: messages, empty, failed.", ["result"]
)
messages_total = Counter(
    "uploader_messages_total",
    "Deliveries by result: stored, failed (to be retried), undecodable, released (at a stop).",
    ["result"],
)
redeliveries_total = Counter(
    "uploader_redeliveries_total", "Deliveries of messages that had been delivered before."
)
stored_bytes_total = Counter(
    "uploader_stored_bytes_total", "Bytes written to S3, as they are there (batches compressed)."
)
acknowledge_failures_total = Counter(
    "uploader_acknowledge_failures_total",
    "Stored messages that SQS did not delete; each is delivered and stored again, unchanged.",
)
visibility_extensions_total = Counter(
    "uploader_visibility_extensions_total",
    "Messages that were kept hidden because they were in hand for half of the queue's timeout.",
)
upload_seconds = Histogram(
    "uploader_upload_seconds",
    "Time to write one object.",
    ["result"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
message_age_seconds = Histogram(
    "uploader_message_age_seconds",
    "From a message's acceptance to its object in S3.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400),
)
in_flight = Gauge("uploader_in_flight", "Messages received and not yet stored or given back.")
queue_messages = Gauge(
    "uploader_queue_messages",
    "Approximate number of messages, by queue (messages, dead_letters) and state (visible, "
    "in_flight, delayed).",
    ["queue", "state"],
)
oldest_message_age_seconds = Gauge(
    "uploader_oldest_message_age_seconds",
    "Age of the oldest message of the last receive, counted from its sending; 0 after an empty "
    "one.",
)
storage_available = Gauge(
    "uploader_storage_available",
    "1, or 0 while writes have failed one after the other and messages are held for its return.",
)
storage_available.set(1)
last_progress_timestamp_seconds = Gauge(
    "uploader_last_progress_timestamp_seconds",
    "When all parts of the worker were last seen to go on (Unix time); not set anew while one of "
    "them is stuck.",
)

for _result in ("messages", "empty", "failed"):
    receives_total.labels(_result)
for _result in ("stored", "failed", "undecodable", "released"):
    messages_total.labels(_result)
for _result in ("stored", "failed"):
    upload_seconds.labels(_result)
