"""Sends accepted messages to SQS, and returns only once SQS has confirmed them."""

import os
import time
from functools import cache
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from kombu.exceptions import KombuError
from kombu.messaging import Producer

from cpsite.aws import QueueRefused
from cpsite.queue.client import MessageTooLong, SendFailed, SendUnconfirmed
from cpsite.queue.connection import SERIALIZER, publishing_connection, queue, queue_name
from cpsite.queue.group_commit import NotSent
from validator import metrics
from validator.circuit_breaker import CircuitBreaker
from validator.exceptions import MessageTooLarge, QueueNotAsked, QueueUnavailable

#: Errors that mean: no answer from SQS.
_FAILURES: Final = (BotoCoreError, KombuError, OSError, SendFailed, SendUnconfirmed)

# Kept, because a label's lookup costs more than the count itself.
_seconds_of: Final = cache(metrics.publish_seconds.labels)


@cache
def _producer() -> Producer:
    """Return this process's producer. All threads share its channel and client."""
    channel = publishing_connection(observe_batch=metrics.publish_batch_size.observe).channel()
    # Created now: Kombu creates it on first use, and concurrent first uses create several.
    channel.sqs(queue().name)
    return Producer(channel, auto_declare=False)


def _routing_key() -> str:
    return queue_name(settings.SQS_QUEUE_URL)


@cache
def _breaker() -> CircuitBreaker:
    return CircuitBreaker(longest_try_seconds=settings.SQS_PUBLISH_TIMEOUT_SECONDS)


# A forked child must not share the parent's sockets.
os.register_at_fork(after_in_child=_producer.cache_clear)


def publish_message(body: str) -> None:
    """Send one encoded message to the queue and wait until SQS has confirmed it.

    Takes at most SQS_PUBLISH_TIMEOUT_SECONDS, and fails at once while the circuit breaker is open.
    Raises QueueUnavailable when there is no confirmation; SQS may have the message all the same,
    unless it is QueueNotAsked. Raises MessageTooLarge when it is too long for SQS.
    """
    call = _breaker().begin()
    if call is None:
        raise QueueNotAsked
    started = time.perf_counter()
    result = "failed"
    try:
        _producer().publish(body, routing_key=_routing_key(), serializer=SERIALIZER, retry=False)
        result = "ok"
        call.succeeded()
    except MessageTooLong as exc:
        raise MessageTooLarge from exc
    except (ClientError, QueueRefused) as exc:
        # SQS answers at once, even if with a refusal, and may accept the next message.
        call.succeeded()
        raise QueueUnavailable from exc
    except NotSent as exc:
        # The message never reached SQS, so this says nothing about the state of SQS.
        raise QueueNotAsked from exc
    except _FAILURES as exc:
        call.failed()
        raise QueueUnavailable from exc
    finally:
        _seconds_of(result).observe(time.perf_counter() - started)


def check() -> None:
    """Readiness probe: raises when SQS does not return the queue's attributes."""
    client = _producer().channel.sqs(queue().name)
    client.get_queue_attributes(QueueUrl=settings.SQS_QUEUE_URL, AttributeNames=["QueueArn"])


def warm_up() -> None:
    """Create the client before the first request needs it; this takes about 0.2 s."""
    _producer()
