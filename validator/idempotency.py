"""The Idempotency-Key header: a request and its retries create only one message.

It follows the IETF draft "The Idempotency-Key HTTP Header Field"
(draft-ietf-httpapi-idempotency-key). The first request with a key claims it. Later requests with
the key get the message of the first one; a 409 while the first one is in progress; or a 422 if
their data differs. The database decides which request was first, by a unique constraint, so this
holds across all processes and hosts.

If a request dies, its claim expires and a later request takes it over. That request publishes the
message again with the same id and time of acceptance, which is the same object in S3.
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
from django.db.models import QuerySet

from cpsite.json_text import Number
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

#: Printable ASCII, bare or as the quoted string of the draft (RFC 8941, section 3.3.3). No comma:
#: servers and proxies join two headers of a name by one (RFC 9110, section 5.3).
_KEY: Final = re.compile(r'("?)([\x21\x23-\x2b\x2d-\x7e]{1,255})\1')
#: Seconds between the longest publish and the expiry of a claim.
_MARGIN_SECONDS: Final = 5.0
#: How far the database's clock and our monotonic one may drift apart while a claim lasts, in
#: seconds: NTP may slow the one down, and SQLite tells whole milliseconds.
_DRIFT_SECONDS: Final = 1.0
#: Longest duration, in seconds, of a trial call to the database (see `CircuitBreaker`).
_DATABASE_SECONDS: Final = 15.0
#: Seconds between two deletions of expired records, in each process that receives keys.
PRUNE_INTERVAL: Final = 60.0
PRUNE_BATCH: Final = 1_000
#: Attempts to claim a key whose record is deleted or claimed by others at the same time.
_ATTEMPTS: Final = 3


def read_key(header: str | None) -> str | None:
    """Return the key in an Idempotency-Key header, or None without a header.

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
    """A claimed key, and the message that belongs to it from now on."""

    record_id: int
    message: Message
    #: True when SQS already has the message, from an earlier request.
    is_repeat: bool = False
    #: When this request gave the key to its own message (monotonic clock). None if the message is
    #: an earlier request's, which may have sent it, or may be another request's by now.
    given_at: float | None = None

    def confirm(self) -> None:
        """Record that SQS has the message."""
        self._update(is_queued=True)

    def release(self) -> None:
        """End the claim, so that the next request with the key can retry at once.

        A second ago, because on SQLite a sum with this moment is later than this moment: they are
        compared as texts, and the sum has more digits (Django 5.2: `Now`, `django_format_dtdelta`).
        """
        self._update(claimed_until=in_seconds(-1))

    def free(self) -> None:
        """End the claim of a message that was not sent, so that its key may stand for another one.

        If an earlier request may have sent the message, its key stays.
        """
        if self.given_at is None:
            self.release()
            return
        # Not if another request has taken the claim over: that was after the end of ours, and has
        # put the key's expiry off by as much. Its own claim may have ended since.
        left = _record_seconds() - (time.monotonic() - self.given_at)
        ours = {"is_queued": False, "expires_at__lte": in_seconds(left + _DRIFT_SECONDS)}
        self._write(lambda record: record.filter(**ours).delete())

    def _update(self, **changes: object) -> None:
        self._write(lambda record: record.update(**changes))

    def _write(self, write: Callable[[QuerySet[IdempotencyRecord]], object]) -> None:
        """Change the record. A failure is only logged, because the claim expires by itself."""
        record = IdempotencyRecord.objects.filter(
            # The id is not enough: once the key has expired, it may belong to another message.
            id=self.record_id,
            message_id=self.message.message_id,
        )
        try:
            _query(lambda: write(record))
        except IdempotencyUnavailable:
            logger.warning(
                "idempotency_not_noted", extra={"message_id": str(self.message.message_id)}
            )


def _claim_seconds() -> float:
    """Return for how long a request has a key to itself, in seconds."""
    return float(settings.SQS_PUBLISH_TIMEOUT_SECONDS) + _MARGIN_SECONDS


def _record_seconds() -> float:
    """Return for how long a key is known after it was claimed, in seconds.

    Its time begins when its message may have been published, not with the claim.
    """
    return _claim_seconds() + float(settings.IDEMPOTENCY_KEY_SECONDS)


def claim(key: str, message: Message) -> Claim:
    """Claim a client's key for `message`, or return the message that already belongs to it.

    Publish the claim's message, which may be the message of an earlier request. Raises
    IdempotencyKeyReused, IdempotencyInProgress or IdempotencyUnavailable.
    """
    pruner.prune_aside()
    values = _values(key, message)
    for _ in range(_ATTEMPTS):
        asked_at = time.monotonic()
        found = _query(lambda: _insert(values) or _find(values))
        if isinstance(found, int):
            return Claim(found, message, given_at=_given_at(asked_at))
        if found is not None and (claimed := _settle(found, values, message)):
            return claimed
    raise IdempotencyInProgress


def _given_at(asked_at: float) -> float | None:
    """Return when a key that was asked for then was given to our message, at the latest.

    None if it was so long ago that the claim may be another request's by now.
    """
    now = time.monotonic()
    # One second for the drift that `free` allows for, one for a drift the other way.
    return now if now - asked_at < _claim_seconds() - 2 * _DRIFT_SECONDS else None


def _values(key: str, message: Message) -> dict[str, Any]:
    """Return the fields of the record that the first request with a key writes."""
    return {
        "client": message.client,
        "key_sha256": sha256(key.encode()).hexdigest(),
        "data_sha256": _digest(message),
        "message_id": message.message_id,
        "accepted_at": message.accepted_at,
        "is_queued": False,
        "claimed_until": in_seconds(_claim_seconds()),
        "expires_at": in_seconds(_record_seconds()),
    }


def _digest(message: Message) -> str:
    """Return a digest of what a message says: white space and the order of names do not count."""
    text = json.dumps(message.data, sort_keys=True, default=_number)
    return sha256(f"{message.contract}{text}".encode()).hexdigest()


def _number(value: Number) -> dict[str, str]:
    return {"number": value.text}


def _insert(values: Mapping[str, Any]) -> int | None:
    """Create a record and return its id, or None if the key already has one."""
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
    """Claim a key that has a record. Return None if another request was faster.

    Raises IdempotencyKeyReused, IdempotencyInProgress or IdempotencyUnavailable.
    """
    if found.is_expired:
        asked_at = time.monotonic()
        if not _query(lambda: found.start_afresh(values)):
            return None
        return Claim(found.pk, message, given_at=_given_at(asked_at))
    if found.data_sha256 != values["data_sha256"]:
        raise IdempotencyKeyReused
    first = replace(message, message_id=found.message_id, accepted_at=found.accepted_at)
    if found.is_queued:
        return Claim(found.pk, first, is_repeat=True)
    if found.is_claimed:
        raise IdempotencyInProgress
    return Claim(found.pk, first) if _query(lambda: found.take_over(values)) else None


def _query(query: Callable[[], T]) -> T:
    """Run a query. Raises IdempotencyUnavailable: at once while the circuit breaker is open."""
    call = _breaker().begin()
    if call is None:
        raise IdempotencyUnavailable
    try:
        answer = query()
    except django.db.Error as exc:
        call.failed()
        raise IdempotencyUnavailable from exc
    finally:
        # Back to the pool, because the request may wait for SQS next. Only tests run this
        # in a transaction.
        if not connection.in_atomic_block:
            connection.close()
    call.succeeded()
    return answer


@cache
def _breaker() -> CircuitBreaker:
    return CircuitBreaker(longest_try_seconds=_DATABASE_SECONDS)


class Pruner:
    """Deletes expired records from time to time, in a thread beside the requests."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock() + PRUNE_INTERVAL

    def prune_aside(self) -> None:
        """Start a deletion in a thread if one is due."""
        now = self._clock()
        if now >= self._next:
            self._next = now + PRUNE_INTERVAL
            try:
                threading.Thread(target=self.prune, name="idempotency", daemon=True).start()
            except RuntimeError:  # the system is out of threads: the request goes on without
                logger.exception("idempotency_not_pruned")

    def prune(self) -> None:
        """Delete all expired records, in batches that lock few rows for a short time."""
        try:
            while _query(lambda: IdempotencyRecord.objects.prune_batch(PRUNE_BATCH)) == PRUNE_BATCH:
                pass
        except IdempotencyUnavailable:
            logger.warning("idempotency_not_pruned")


pruner: Final = Pruner()
