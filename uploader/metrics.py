"""The uploader's own metrics.

All label values are set to 0 at the start: Prometheus sees no increase in a series that begins with
its first event.
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
    "uploader_stored_bytes_total", "Bytes written to S3, as stored (batches are compressed)."
)
acknowledge_failures_total = Counter(
    "uploader_acknowledge_failures_total",
    "Stored messages that SQS did not delete. Each is delivered again and stored unchanged.",
)
conflicting_messages_total = Counter(
    "uploader_conflicting_messages_total",
    "Messages stored with another content than was accepted or stored before, by the audit log.",
)
visibility_extensions_total = Counter(
    "uploader_visibility_extensions_total",
    "Messages hidden for longer after being in flight for half of the visibility timeout.",
)
upload_seconds = Histogram(
    "uploader_upload_seconds",
    "Duration of one write to the storage, by result: stored, failed.",
    ["result"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
message_age_seconds = Histogram(
    "uploader_message_age_seconds",
    "Time from the acceptance of a message to its storage in S3.",
    # Closest around the promise of five minutes: what is late should be seen to get worse.
    buckets=(
        *(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 360, 420, 480, 600, 720, 900, 1800),
        *(3600, 21600, 86400),
    ),
)
in_flight = Gauge(
    "uploader_in_flight", "Messages received and not yet stored or returned to the queue."
)
oldest_message_age_seconds = Gauge(
    "uploader_oldest_message_age_seconds",
    "Age of the oldest message of the last receive, since it was sent; 0 after an empty receive.",
)
storage_available = Gauge(
    "uploader_storage_available",
    "1, or 0 while consecutive writes fail and messages stay in flight until they succeed.",
)
storage_available.set(1)
last_progress_timestamp_seconds = Gauge(
    "uploader_last_progress_timestamp_seconds",
    "When all parts of the worker last made progress (Unix time). Not updated while one is stuck.",
)

for _result in ("messages", "empty", "failed"):
    receives_total.labels(_result)
for _result in ("stored", "failed", "undecodable", "released"):
    messages_total.labels(_result)
for _result in ("stored", "failed"):
    upload_seconds.labels(_result)
