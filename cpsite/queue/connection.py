"""The one place that knows Kombu's options: connections to the queue for either service.

The endpoint comes from AWS_ENDPOINT_URL, which boto3 reads itself, and credentials from boto3's
chain: a URL with credentials would end up in logs, and could not hold a task role's.
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

#: Name of the kombu serializer for what `Message.encode()` has made.
SERIALIZER = "cpsite"

# Kombu JSON-encodes what it is given; ours is JSON already, and must stay byte for byte the same.
register(
    SERIALIZER,
    str,
    None,  # what is received is not decoded by Kombu, and its own JSON decoder stays
    content_type=CONTENT_TYPE,
    content_encoding="utf-8",
)

#: botocore waits up to this long, in seconds, before the second of two attempts
#: (retry mode "standard": a random share of 2 ** (attempt - 1)).
_BACKOFF_SECONDS = 1.0

#: Seconds of a call that hold two attempts of 1.5 seconds each and the wait between them.
_LONG_ENOUGH_FOR_TWO_SECONDS = 4.0

#: Share of the publish timeout that a message may wait while the batch before it is under way.
_TURN_SHARE = 0.25


#: Of boto3's clients. What it checks is made by Kombu and us, and tested; and without a fixed user
#: agent it composes one for each request. Together that is a tenth of a call.
_CLIENT_CONFIG = {
    "max_pool_connections": 64,
    "parameter_validation": False,
    "user_agent": f"cpsite/{__version__}",
}


def queue_name(url: str) -> str:
    """Return an SQS queue's name: the last part of its URL."""
    return urlsplit(url).path.rpartition("/")[2]


def queue() -> Queue:
    """Return the queue of accepted messages; it is declared in Terraform, never from here."""
    name = queue_name(settings.SQS_QUEUE_URL)
    return Queue(name, exchange=None, routing_key=name, no_declare=True)


def publishing_connection(
    *, observe_batch: Callable[[int], object] = lambda _size: None
) -> Connection:
    """Return a connection whose every send ends within SQS_PUBLISH_TIMEOUT_SECONDS.

    Sends of several threads share batches; `observe_batch` is told the size of each.
    """
    call_seconds = settings.SQS_PUBLISH_TIMEOUT_SECONDS * (1 - _TURN_SHARE)
    # A second attempt is worth having only where the first one is given enough time.
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

    Its client serves `max_pool_connections` threads at a time, which acknowledge in parallel.
    """
    return _connection(
        wait_time_seconds=wait_time_seconds,
        connect_timeout=3.0,
        # Longer than the poll, or a quiet queue would look like a dead one.
        read_timeout=wait_time_seconds + 5.0,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=max_pool_connections,
    )


def _connection(
    sends: SendOptions | None = None, *, wait_time_seconds: int = 0, **client_config: Any
) -> Connection:
    return Connection(
        # Without a URL, Kombu would take localhost for the endpoint.
        "sqs://",
        transport=Transport,
        transport_options={
            # With the URL given, Kombu needs neither ListQueues nor CreateQueue.
            "predefined_queues": {
                queue_name(settings.SQS_QUEUE_URL): {"url": settings.SQS_QUEUE_URL}
            },
            # Lean encoding: base64 twice over would make a message 1.6 times longer.
            "body_encoding": "utf-8",
            "sqs_base64_encoding": False,
            "wait_time_seconds": wait_time_seconds,
            # Kombu adds ApproximateReceiveCount to what is asked for.
            "fetch_message_attributes": ["SentTimestamp"],
            # SQS itself waits for messages; Kombu need not sleep in between.
            "polling_interval": 0,
            "client-config": {**_CLIENT_CONFIG, **client_config},
            SEND_OPTIONS: sends,
        },
    )
