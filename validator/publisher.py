"""Puts accepted messages on the queue. What it returns from, SQS has."""

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
from validator.exceptions import MessageTooLarge, QueueUnavailable

#: What there is instead of an answer of SQS.
_FAILURES: Final = (BotoCoreError, KombuError, OSError, SendFailed, SendUnconfirmed)


@cache
def _producer() -> Producer:
    """Return this process's producer; its one channel and client serve all threads."""
    channel = publishing_connection(observe_batch=metrics.publish_batch_size.observe).channel()
    # Kombu creates the client on first use, once in each thread that comes at the same time.
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
    """Put one encoded message on the queue and wait until SQS has confirmed it.

    Takes at most SQS_PUBLISH_TIMEOUT_SECONDS, and no time while SQS is known to be away. Raises
    QueueUnavailable when there is no confirmation, in which case SQS may have the message all the
    same, and MessageTooLarge when SQS would not take it.
    """
    if not _breaker().may_try():
        raise QueueUnavailable
    started = time.perf_counter()
    result = "failed"
    try:
        _producer().publish(body, routing_key=_routing_key(), serializer=SERIALIZER, retry=False)
        result = "ok"
        _breaker().succeeded()
    except MessageTooLong as exc:
        raise MessageTooLarge from exc
    except (ClientError, QueueRefused) as exc:
        # SQS answers, if only to refuse: it may take the next one, and nobody waits in vain.
        _breaker().succeeded()
        raise QueueUnavailable from exc
    except NotSent as exc:
        # SQS was not asked, so it says nothing about SQS.
        raise QueueUnavailable from exc
    except _FAILURES as exc:
        _breaker().failed()
        raise QueueUnavailable from exc
    finally:
        metrics.publish_seconds.labels(result).observe(time.perf_counter() - started)


def check() -> None:
    """Readiness probe: raises when SQS does not answer for our queue."""
    client = _producer().channel.sqs(queue().name)
    client.get_queue_attributes(QueueUrl=settings.SQS_QUEUE_URL, AttributeNames=["QueueArn"])


def warm_up() -> None:
    """Create the client, about 0.2 s of work, before the first request needs it."""
    _producer()
