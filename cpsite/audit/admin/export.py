"""CSV of audit events, streamed, so that an export of any size needs little memory."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from cpsite.audit.access import Access, record_access
from cpsite.audit.models import AuditEvent
from cpsite.database import release_connection

COLUMNS: Final = (
    "occurred_at",
    "kind",
    "message_id",
    "client",
    "source_ip",
    "reason",
    "object_key",
    "payload_sha256",
    "accepted_at",
    "attempts",
    "duration_ms",
    "actor",
    "row_count",
    "contract",
    "request_id",
    "fields_at_fault",
    "sqs_message_id",
)
#: Events that are read from the database at a time.
CHUNK: Final = 1_000


class _Echo:
    """A file for `csv.writer` whose `write` returns the line."""

    def write(self, line: str) -> str:
        return line


def _chunks(events: QuerySet[AuditEvent]) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the events, newest first, in chunks of COLUMNS and the id.

    Each chunk is a query of its own that goes on where the last one stopped. A cursor would keep a
    connection of the pool for as long as the reader takes, or sleeps.
    """
    ordered = events.order_by("-occurred_at", "-id")
    rest = ordered
    while chunk := list(rest.values_list(*COLUMNS, "id")[:CHUNK]):
        release_connection()
        yield chunk
        occurred_at, last_id = chunk[-1][0], chunk[-1][-1]
        rest = ordered.filter(occurred_at__lte=occurred_at).exclude(
            occurred_at=occurred_at, id__gte=last_id
        )
    release_connection()


def _lines(events: QuerySet[AuditEvent], actor: str, source_ip: str | None) -> Iterator[str]:
    """Yield the header and a line for each event. At the end, however it comes, leave a trace."""
    writer = csv.writer(_Echo())
    exported = 0
    try:
        yield writer.writerow(COLUMNS)
        for chunk in _chunks(events):
            for row in chunk:
                exported += 1
                yield writer.writerow(
                    value.isoformat() if hasattr(value, "isoformat") else value
                    for value in row[:-1]
                )
    finally:
        record_access(Access.EVENTS_EXPORTED, actor=actor, source_ip=source_ip, row_count=exported)


def csv_response(
    events: QuerySet[AuditEvent], *, actor: str, source_ip: str | None
) -> StreamingHttpResponse:
    """Return the events as a download, with times in ISO 8601 (UTC).

    Its name has the time: `audit-events-20261126T174501Z.csv`.

    `actor` at `source_ip` is who exports them, for the audit log.
    """
    name = f"audit-events-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv"
    return StreamingHttpResponse(
        _lines(events, actor, source_ip),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
