"""Reports messages that were stored with another content than was accepted, or stored before.

Whoever may send to the queue can send a message with an id that is known: its object replaces the
true one, or comes before it (docs/adr/0021). The audit log has the digest of each content, so a
query once a minute finds them. It costs no call to AWS, and no message waits for it.
"""

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import Error as DatabaseFailure
from django.db.models import Exists, OuterRef
from django.db.models.functions import Coalesce
from django.utils import timezone

from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.scope import holds_all_messages
from cpsite.database import release_connection
from cpsite.observability.notices import Notices
from uploader import metrics

logger = logging.getLogger(__name__)

#: Seconds between two queries.
INTERVAL: Final = 60.0
#: Events are written late: up to ten seconds are retried.
OVERLAP: Final = timedelta(seconds=60)
#: By how much events may be older than the time of acceptance that a message claims: two times of
#: one day, which a key holds, and clocks that differ by a day.
MARGIN: Final = timedelta(days=2)
_ANY_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Messages that one query reports.
LIMIT: Final = 100


class ConflictFinder:
    """Looks at the `stored` events since its last look, in a thread of its own."""

    def __init__(self) -> None:
        self._since = timezone.now() - OVERLAP
        #: Messages that were reported, each with the time of its last event.
        self._reported: dict[UUID, datetime] = {}
        self._notices = Notices(logger)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="conflicts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            try:
                self.look()
            except Exception:
                # An unexpected error must not end the thread.
                logger.exception("conflicts_failed_unexpectedly")
            finally:
                release_connection()

    def look(self) -> None:
        """Report each message once. Without the database, the next look goes back further.

        It finds nothing while the audit log holds no stored messages.
        """
        if not holds_all_messages():
            return
        now = timezone.now()
        try:
            found = list(_conflicts(self._since))
        except DatabaseFailure as exc:
            self._notices.warning("conflicts_unknown", error=type(exc).__name__)
            return
        for message_id, occurred_at, object_key in found:
            if message_id not in self._reported:
                metrics.conflicting_messages_total.inc()
                logger.error(
                    "message_stored_with_other_content",
                    extra={"message_id": str(message_id), "object_key": object_key},
                )
            self._reported[message_id] = occurred_at
        self._since = now - OVERLAP
        self._reported = {
            message_id: occurred_at
            for message_id, occurred_at in self._reported.items()
            if occurred_at >= self._since
        }


def _conflicts(since: datetime) -> list[tuple[UUID, datetime, str]]:
    """Return messages stored since then for which the audit log has another digest as well."""
    others = (
        AuditEvent.objects.filter(
            message_id=OuterRef("message_id"),
            kind__in=[Kind.ACCEPTED, Kind.STORED],
            # Spares PostgreSQL the days before. A message that replaces an object claims its day.
            occurred_at__gte=Coalesce(OuterRef("accepted_at"), _ANY_TIME) - MARGIN,
        )
        .exclude(payload_sha256="")
        .exclude(payload_sha256=OuterRef("payload_sha256"))
    )
    events = AuditEvent.objects.filter(
        Exists(others), kind=Kind.STORED, occurred_at__gte=since, message_id__isnull=False
    )
    rows = events.order_by().values_list("message_id", "occurred_at", "object_key")[:LIMIT]
    return [(message_id, at, key) for message_id, at, key in rows if message_id]
