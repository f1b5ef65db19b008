"""A retried request is one message: the Idempotency-Key header.

After the IETF draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key):
the first request with a key claims it; what comes with it later is answered with the first one's
message, or told that it is under way (409) or belongs to other data (422). A unique constraint of
the database decides who is first, so that it holds for all processes and hosts.

A claim whose request has died is taken over when its time is up. The message is then published
once more under the same id and time of acceptance, which is the same object in S3.
"""

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from typing import Any, Final, TypeVar

import django.db
from django.conf import settings
from django.db import IntegrityError, connection

from cpsite.message import Message
from validator.circuit_breaker import CircuitBreaker
from validator.exceptions import (
    IdempotencyInProgress,
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    IdempotencyUnavailable,
)
from validator.models import IdempotencyRecord, in_seconds

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Printable ASCII, as it is or as the string of the draft (RFC 8941, section 3.3.3).
_KEY: Final = re.compile(r'("?)([\x21\x23-\x7e]{1,255})\1')
#: Seconds that a claim outlives the longest publish.
_MARGIN_SECONDS: Final = 5.0
#: Longest time in seconds that the database may take before another request tries it.
_DATABASE_SECONDS: Final = 15.0
#: Seconds between two deletions of what has expired, in each process that is given keys.
PRUNE_INTERVAL: Final = 60.0
PRUNE_BATCH: Final = 1_000
#: Tries to claim a key whose record vanishes or changes hands at the same moment.
_ATTEMPTS: Final = 3


def read_key(header: str | None) -> str | None:
    """Return the key of an Idempotency-Key header, or None where there is no header.

    Raises IdempotencyKeyInvalid.
    """
    if header is None:
        return None
    match = _KEY.fullmatch(header.strip())
    if match is None:
        raise IdempotencyKeyInvalid
    return match[2]


@dataclass(frozen=True, slots=True)
class Claim:
    """A key, and the message that it stands for from now on."""

    record_id: int
    message: Message
    #: True when SQS has the message already, by an earlier request.
    is_repeat: bool = False

    def confirm(self) -> None:
        """Note that SQS has the message."""
        self._update(is_queued=True)

    def release(self) -> None:
        """Let the next request with the key try again at once."""
        self._update(claimed_until=in_seconds(0))

    def _update(self, **changes: object) -> None:
        """Change the record. A failure is logged: the claim ends by itself when its time is up."""
        records = IdempotencyRecord.objects.filter(
            # Not by the id alone: after its time another message may have the key.
            id=self.record_id,
            message_id=self.message.message_id,
        )
        try:
            _ask(lambda: records.update(**changes))
        except IdempotencyUnavailable:
            logger.warning(
                "idempotency_not_noted", extra={"message_id": str(self.message.message_id)}
            )


def claim(key: str, message: Message) -> Claim:
    """Claim a client's key for `message`, or find out what it stands for already.

    The claim's message is the one to publish, which may be that of an earlier request. Raises
    IdempotencyKeyReused, IdempotencyInProgress or IdempotencyUnavailable.
    """
    pruner.prune_aside()
    values = _values(key, message)
    for _ in range(_ATTEMPTS):
        found = _ask(lambda: _insert(values) or _find(values))
        if isinstance(found, int):
            return Claim(found, message)
        if found is not None and (claimed := _settle(found, values, message)):
            return claimed
    raise IdempotencyInProgress


def _values(key: str, message: Message) -> dict[str, Any]:
    """Return the record's fields, as the first request with a key writes them."""
    return {
        "client": message.client,
        "key_sha256": sha256(key.encode()).hexdigest(),
        "data_sha256": sha256(json.dumps(message.data, sort_keys=True).encode()).hexdigest(),
        "message_id": message.message_id,
        "accepted_at": message.accepted_at,
        "is_queued": False,
        "claimed_until": in_seconds(settings.SQS_PUBLISH_TIMEOUT_SECONDS + _MARGIN_SECONDS),
        "expires_at": in_seconds(settings.IDEMPOTENCY_KEY_SECONDS),
    }


def _insert(values: Mapping[str, Any]) -> int | None:
    """Return the id of a new record, or None when the key has one."""
    record = IdempotencyRecord(**values)
    try:
        record.save(force_insert=True)
    except IntegrityError:
        return None
    return record.pk


def _find(values: Mapping[str, Any]) -> IdempotencyRecord | None:
    records = IdempotencyRecord.objects.with_now()
    return records.filter(client=values["client"], key_sha256=values["key_sha256"]).first()


def _settle(found: IdempotencyRecord, values: Mapping[str, Any], message: Message) -> Claim | None:
    """Claim a key that has a record; None when another request was quicker.

    Raises IdempotencyKeyReused, IdempotencyInProgress or IdempotencyUnavailable.
    """
    if found.is_expired:
        return Claim(found.pk, message) if _ask(lambda: found.start_afresh(values)) else None
    if found.data_sha256 != values["data_sha256"]:
        raise IdempotencyKeyReused
    first = replace(message, message_id=found.message_id, accepted_at=found.accepted_at)
    if found.is_queued:
        return Claim(found.pk, first, is_repeat=True)
    if found.is_claimed:
        raise IdempotencyInProgress
    return Claim(found.pk, first) if _ask(lambda: found.take_over(values)) else None


def _ask(question: Callable[[], T]) -> T:
    """Ask the database. Raises IdempotencyUnavailable, at once while it is known to be away."""
    if not _breaker().may_try():
        raise IdempotencyUnavailable
    try:
        answer = question()
    except django.db.Error as exc:
        _breaker().failed()
        raise IdempotencyUnavailable from exc
    finally:
        # To the pool: what follows may wait for SQS. Inside a transaction we are in a test.
        if not connection.in_atomic_block:
            connection.close()
    _breaker().succeeded()
    return answer


@cache
def _breaker() -> CircuitBreaker:
    return CircuitBreaker(longest_try_seconds=_DATABASE_SECONDS)


class Pruner:
    """Deletes records whose time is over, now and then, beside the requests."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock() + PRUNE_INTERVAL

    def prune_aside(self) -> None:
        """Start to delete when it is time."""
        now = self._clock()
        if now >= self._next:
            self._next = now + PRUNE_INTERVAL
            threading.Thread(target=self.prune, name="idempotency", daemon=True).start()

    def prune(self) -> None:
        """Delete all that has expired, in batches that lock few rows for a short time."""
        try:
            while _ask(lambda: IdempotencyRecord.objects.prune_batch(PRUNE_BATCH)) == PRUNE_BATCH:
                pass
        except IdempotencyUnavailable:
            logger.warning("idempotency_not_pruned")


pruner: Final = Pruner()
