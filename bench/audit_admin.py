"""Time the admin's pages over a large audit log.

    .venv/bin/python -m bench.audit_admin --rows 1000000

It uses a scratch SQLite database, or that of DATABASE_URL, which must be empty. It prints the
median of several requests for each page, with a tenth of the rows and with all of them. A ratio
well above 1 means that the page's cost grows with the table.
"""

import argparse
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

LIST = "/admin/audit/auditevent/"
MESSAGE = uuid.UUID(int=4242)
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
    "search: beginning of an id": "?q=00000000-0000-0000-0000-0000000010",
    "search: address": "?q=203.0.113.7",
    "search: X-Request-ID": "?q=request-4245",
    "search: nothing found": "?q=nothing-like-it",
    "page 150": "?p=150",
}
REPEATS = 7
#: Events of a second. A million fill six days; the figures above the list cover one day.
RATE = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1_000_000, help="default: %(default)s")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("DATABASE_URL", f"sqlite:///{scratch}/audit.sqlite3")
        os.environ |= {"DJANGO_SETTINGS_MODULE": "cpsite.settings", "LOG_LEVEL": "ERROR"}
        import django

        django.setup()
        _measure(rows)


def _measure(rows: int) -> None:
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    few = rows // 10
    _fill(0, few)
    small = _times()
    _fill(few, rows)
    large = _times()
    print(f"{connection.vendor}, median of {REPEATS} requests, in ms")
    print(f"{'page':<32}{few:>12,}{rows:>12,}{'ratio':>8}")
    for page, before in small.items():
        print(f"{page:<32}{before:>12.1f}{large[page]:>12.1f}{large[page] / before:>8.2f}")


def _fill(start: int, stop: int) -> None:
    from django.db import connection

    from cpsite.audit.models import AuditEvent

    for first in range(start, stop, 2_000):
        AuditEvent.objects.bulk_create(_events(first, min(first + 2_000, stop)), batch_size=2_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _events(start: int, stop: int) -> Iterator[Any]:
    from django.utils import timezone

    from cpsite.audit.models import AuditEvent, Kind

    kinds = [Kind.ACCEPTED, Kind.STORED, Kind.ACCEPTED, Kind.STORED, Kind.REFUSED]
    now = timezone.now()
    for number in range(start, stop):
        kind, pair = kinds[number % 5], number % 5 // 2
        yield AuditEvent(
            kind=kind,
            # Every message is stored, so that the search for unstored ones takes longest.
            message_id=None if kind == Kind.REFUSED else uuid.UUID(int=number // 5 * 2 + pair),
            client=f"client-{number % 20}",
            reason=f"reason_{number % 7}" if kind == Kind.REFUSED else "",
            source_ip=None if kind == Kind.STORED else f"203.0.113.{number % 200}",
            request_id=None if kind == Kind.STORED else f"request-{number}",
            occurred_at=now - timedelta(seconds=number / RATE),
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
        if answer.status_code != 200:
            raise SystemExit(f"{page}: status {answer.status_code}")
    return statistics.median(times)


if __name__ == "__main__":
    main()
