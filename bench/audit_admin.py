"""Time the admin's pages over a large audit log.

    .venv/bin/python -m bench.audit_admin --rows 1000000
    DATABASE_URL=postgresql://… .venv/bin/python -m bench.audit_admin --rows 20000000 --days 90

It uses a scratch SQLite database, or that of DATABASE_URL, which must be empty. It prints the
median of several requests for each page, with a tenth of the rows and with all of them. A ratio
well above 1 means that the page's cost grows with the table. With --no-fill it measures what such a
run has left in DATABASE_URL.
"""

import argparse
import hashlib
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any


def _digest(text: str) -> uuid.UUID:
    """Return an id that looks random, as PostgreSQL's md5 makes the same one."""
    return uuid.UUID(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest())


def _batch(number: int) -> str:
    """Return the key of the batch of a message, as PostgreSQL makes it."""
    return f"messages/2026/11/24/{_digest(str(number // OF_A_BATCH)).hex}.ndjson.gz"


#: Messages of a batch.
OF_A_BATCH = 100
LIST = "/admin/audit/auditevent/"
#: Number of the message that is looked for: one of the newest.
NUMBER = 242
MESSAGE = _digest(str(NUMBER))
#: Most of their cost is the figures, which are cached for ten seconds.
FIRST_LOOKS = ("dashboard", "newest, with figures", "clients")
PAGES = {
    "dashboard": "dashboard/",
    "newest, with figures": "",
    "clients": "clients/",
    "client's page": "clients/client-3/",
    "newest": "",
    "kind = refused": "?kind__exact=refused",
    "kind = refused, last hour": "?kind__exact=refused&since=1h",
    "last 24 hours": "?since=24h",
    "client": "?client=client-3",
    "reason": "?reason=reason_2",
    "reason, last 24 hours": "?reason=reason_2&since=24h",
    "client and kind, nothing found": "?client=client-3&kind__exact=refused",
    "message": f"message/{MESSAGE}/",
    "accepted, not stored": "waiting/",
    "search: client": "?q=client-3",
    "search: beginning of an id": f"?q={str(MESSAGE)[:4]}",
    "search: address": "?q=203.0.7.107",
    "search: X-Request-ID": f"?q={_digest(f'r{NUMBER}')}",
    "search: key of a batch": f"?q={_batch(NUMBER)}",
    "search: nothing found": "?q=nothing-like-it",
    "page 150": "?p=150",
}
REPEATS = 7
#: Events of a second, without --days. A million fill six days; the figures cover one.
RATE = 2

#: What `_events` makes, made by PostgreSQL: the messages from %(first)s to before %(last)s.
_FILL = """
INSERT INTO audit_auditevent (occurred_at, kind, message_id, client, source_ip, reason, object_key,
    payload_sha256, accepted_at, attempts, duration_ms, request_id)
SELECT at + stored * interval '0.4 s',
    CASE WHEN refused THEN 'refused' WHEN stored = 1 THEN 'stored' ELSE 'accepted' END,
    CASE WHEN NOT refused THEN id END,
    'client-' || number %% 20,
    CASE WHEN stored = 0 THEN ('203.0.' || number %% 13 || '.' || number %% 250)::inet END,
    CASE WHEN refused THEN 'reason_' || number / 100 %% 7 ELSE '' END,
    CASE WHEN stored = 1 AND NOT refused
        THEN 'messages/2026/11/24/' || md5((number / %(of_a_batch)s)::text) || '.ndjson.gz'
        ELSE '' END,
    CASE WHEN refused THEN '' ELSE repeat(md5(number::text), 2) END,
    CASE WHEN NOT refused THEN at END,
    CASE WHEN stored = 1 THEN 1 END, 12,
    CASE WHEN stored = 0 THEN md5('r' || number)::uuid::text END
FROM (
    SELECT number, stored, md5(number::text)::uuid AS id, number %% 100 = 7 AS refused,
        %(now)s::timestamptz - number * %(seconds)s * interval '1 s' AS at
    FROM generate_series(%(first)s, %(last)s - 1) number, generate_series(0, 1) stored
) messages
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--days", type=float, help=f"which they fill; default: {RATE} a second")
    parser.add_argument("--no-fill", action="store_true", help="measure what is there")
    options = parser.parse_args()
    days = options.days or options.rows / RATE / 86_400
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("DATABASE_URL", f"sqlite:///{scratch}/audit.sqlite3")
        os.environ |= {"DJANGO_SETTINGS_MODULE": "cpsite.settings", "LOG_LEVEL": "ERROR"}
        import django

        django.setup()
        if options.no_fill:
            _print({"as it is": _times()})
        else:
            _measure(options.rows, timedelta(days=days))


def _measure(rows: int, span: timedelta) -> None:
    from django.core.management import call_command
    from django.utils import timezone

    call_command("migrate", verbosity=0)
    now, few, of_each = timezone.now(), rows // 10, span / rows * 2
    _make_days_since(now - span)
    _fill(now, of_each, 0, few)
    small = _times()
    _fill(now, of_each, few, rows)
    _print({f"{few:,}": small, f"{rows:,}": _times()})


def _print(columns: dict[str, dict[str, float]]) -> None:
    from django.db import connection

    print(f"{connection.vendor}, median of {REPEATS} requests, in ms")
    print(f"{'page':<32}" + "".join(f"{title:>12}" for title in columns))
    for page in PAGES:
        print(f"{page:<32}" + "".join(f"{times[page]:>12.1f}" for times in columns.values()))


def _make_days_since(first: datetime) -> None:
    """Make the days that a table has which is as old as that."""
    from cpsite.audit.partitions import (
        DAY,
        EARLIER,
        TABLE,
        bounds,
        midnight,
        name_of,
        read_partitions,
        run,
    )

    earlier = next(iter(read_partitions()), None)
    if earlier is None or earlier.end is None:
        return
    day = midnight(first)
    run(f"DROP TABLE {EARLIER}")
    run(f"CREATE TABLE {EARLIER} PARTITION OF {TABLE} {bounds(None, day)}")
    while day < earlier.end:
        run(f"CREATE TABLE {name_of(day)} PARTITION OF {TABLE} {bounds(day, day + DAY)}")
        day += DAY


def _fill(now: datetime, of_each: timedelta, start: int, stop: int) -> None:
    """Write the events from `start` to before `stop`, two of a message, one message `of_each`."""
    from django.db import connection

    from cpsite.audit.models import AuditEvent

    for first in range(start // 2, stop // 2, 100_000):
        last = min(first + 100_000, stop // 2)
        if connection.vendor == "sqlite":
            AuditEvent.objects.bulk_create(_events(now, of_each, first, last), batch_size=2_000)
            continue
        seconds = of_each.total_seconds()
        with connection.cursor() as cursor:
            cursor.execute(
                _FILL,
                {
                    "now": now,
                    "seconds": seconds,
                    "first": first,
                    "last": last,
                    "of_a_batch": OF_A_BATCH,
                },
            )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM ANALYZE")


def _events(now: datetime, of_each: timedelta, first: int, last: int) -> Iterator[Any]:
    """Make the two events of each message; every message is stored, or refused twice."""
    from cpsite.audit.models import AuditEvent, Kind

    for number in range(first, last):
        is_refused, accepted_at = number % 100 == 7, now - number * of_each
        for kind in (Kind.ACCEPTED, Kind.STORED):
            is_first = kind == Kind.ACCEPTED
            yield AuditEvent(
                kind=Kind.REFUSED if is_refused else kind,
                message_id=None if is_refused else _digest(str(number)),
                client=f"client-{number % 20}",
                source_ip=f"203.0.{number % 13}.{number % 250}" if is_first else None,
                reason=f"reason_{number // 100 % 7}" if is_refused else "",
                request_id=str(_digest(f"r{number}")) if is_first else None,
                object_key="" if is_first or is_refused else _batch(number),
                accepted_at=None if is_refused else accepted_at,
                occurred_at=accepted_at + timedelta(seconds=0 if is_first else 0.4),
            )


def _times() -> dict[str, float]:
    from django.contrib.auth.models import User
    from django.test import Client

    user, _ = User.objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    return {page: _median(client, page) for page in PAGES}


def _median(client: Any, page: str) -> float:
    from django.core.cache import cache

    times = []
    for _ in range(REPEATS):
        if page in FIRST_LOOKS:
            cache.clear()
        started = time.perf_counter()
        answer = client.get(LIST + PAGES[page])
        times.append((time.perf_counter() - started) * 1000)
        # In a small log the beginning of an id is one message's, whose page it leads to.
        if answer.status_code not in {200, 302}:
            raise SystemExit(f"{page}: status {answer.status_code}")
    return statistics.median(times)


if __name__ == "__main__":
    main()
