"""Connections to the queue for both services. No other module sets Kombu's options.

The endpoint comes from AWS_ENDPOINT_URL, which boto3 reads itself, and credentials from boto3's
chain. A broker URL with credentials would end up in logs, and cannot hold those of a task role.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.serialization import register

from cpsite import __version__
from cpsite.message import CONTENT_TYPE
from cpsite.queue.client import SendOptions
from cpsite.queue.transport import SEND_OPTIONS, Transport

#: Name of the Kombu serializer for the output of `Message.encode()`.
SERIALIZER = "cpsite"

# Kombu would encode the body as JSON. It is JSON already and must not change by a byte.
register(
    SERIALIZER,
    str,
    None,  # no decoder: Kombu keeps its own for JSON, and received bodies are not decoded with it
    content_type=CONTENT_TYPE,
    content_encoding="utf-8",
)

#: botocore waits up to this long, in seconds, before the second of two attempts
#: (retry mode "standard": a random share of 2 ** (attempt - 1)).
_BACKOFF_SECONDS = 1.0

#: A call of so many seconds has time for two attempts of 1.5 seconds each and the wait between.
_LONG_ENOUGH_FOR_TWO_SECONDS = 4.0

#: Share of the publish timeout that a message may wait for the batch before it.
_TURN_SHARE = 0.25


#: Configuration of boto3's clients. Parameters need no validation: Kombu and tested code make them.
#: A fixed user agent saves composing one for each request. Both together save a tenth of a call.
_CLIENT_CONFIG = {
    "max_pool_connections": 64,
    "parameter_validation": False,
    "user_agent": f"cpsite/{__version__}",
}


def queue_name(url: str) -> str:
    """Return an SQS queue's name: the last part of its URL."""
    return urlsplit(url).path.rpartition("/")[2]


def queue() -> Queue:
    """Return the queue of accepted messages. Terraform creates it; Kombu must not declare it."""
    name = queue_name(settings.SQS_QUEUE_URL)
    return Queue(name, exchange=None, routing_key=name, no_declare=True)


def publishing_connection(
    *, observe_batch: Callable[[int], object] = lambda _size: None
) -> Connection:
    """Return a connection whose every send ends within SQS_PUBLISH_TIMEOUT_SECONDS.

    Sends of several threads share batches. `observe_batch` is called with the size of each batch.
    """
    call_seconds = settings.SQS_PUBLISH_TIMEOUT_SECONDS * (1 - _TURN_SHARE)
    # A second attempt is useful only if the first one still gets enough time.
    attempts = 2 if call_seconds >= _LONG_ENOUGH_FOR_TWO_SECONDS else 1
    attempt_seconds = (call_seconds - _BACKOFF_SECONDS * (attempts - 1)) / attempts
    connect_seconds = min(0.5, attempt_seconds / 2)
    return _connection(
        SendOptions(
            send_seconds=settings.SQS_PUBLISH_TIMEOUT_SECONDS,
            call_seconds=call_seconds,
            observe_batch=observe_batch,
        ),
        connect_timeout=connect_seconds,
        read_timeout=attempt_seconds - connect_seconds,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )


def consuming_connection(*, wait_time_seconds: int, max_pool_connections: int) -> Connection:
    """Return a connection whose receives wait up to `wait_time_seconds` for a message.

    `max_pool_connections` threads can acknowledge at the same time.
    """
    return _connection(
        wait_time_seconds=wait_time_seconds,
        connect_timeout=3.0,
        # Longer than the poll, or an empty queue would look like an unavailable one.
        read_timeout=wait_time_seconds + 5.0,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=max_pool_connections,
    )


def _connection(
    sends: SendOptions | None = None, *, wait_time_seconds: int = 0, **client_config: Any
) -> Connection:
    return Connection(
        # Without a URL, Kombu would use localhost as the endpoint.
        "sqs://",
        transport=Transport,
        transport_options={
            # With the queue's URL, Kombu calls neither ListQueues nor CreateQueue.
            "predefined_queues": {
                queue_name(settings.SQS_QUEUE_URL): {"url": settings.SQS_QUEUE_URL}
            },
            # Plain text: base64, applied twice by default, would make a message 1.6 times longer.
            "body_encoding": "utf-8",
            "sqs_base64_encoding": False,
            "wait_time_seconds": wait_time_seconds,
            # Kombu adds ApproximateReceiveCount by itself.
            "fetch_message_attributes": ["SentTimestamp"],
            # SQS's long poll waits for messages, so Kombu need not sleep between two polls.
            "polling_interval": 0,
            "client-config": {**_CLIENT_CONFIG, **client_config},
            SEND_OPTIONS: sends,
        },
    )
