"""Makes the days of the audit table in advance, once an hour, in one HTTP process of a service.

Each `migrate` and each `prune_audit` does so, too. Where nobody did, events would all go to one
partition. None would be lost, but none could be dropped by the day either.
"""

import logging
import threading
from pathlib import Path
from typing import Final

from django.db import Error as DatabaseFailure

from cpsite.audit import partitions
from cpsite.database import release_connection
from cpsite.web.queue_watch import FirstProcess

logger = logging.getLogger(__name__)

#: Seconds between two looks. There are days for LEAST_AHEAD of them, so some may fail.
INTERVAL: Final = 3_600.0
#: How often a look tries to lock the table. The next one tries again.
TRIES: Final = 3


class AuditDays:
    """Looks whether days are lacking, in a thread of its own, if `first` is this process."""

    def __init__(self, first: FirstProcess) -> None:
        self._first = first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-days", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                # An unexpected error must not end the thread.
                logger.exception("audit_days_failed_unexpectedly")
            finally:
                release_connection()
            if self._stop.wait(INTERVAL):
                return

    def look(self) -> None:
        """Make days where they are lacking. Without the database, the next look does."""
        if not self._first.is_this():
            return
        try:
            made = partitions.ensure_ahead(tries=TRIES)
        except partitions.BusyError:
            return
        except DatabaseFailure as exc:
            logger.warning("audit_days_not_made", extra={"error": type(exc).__name__})
            return
        if made:
            logger.info("audit_days_made", extra={"days": made})


def start(directory: Path) -> AuditDays:
    """Begin to look. `directory` is one that the processes of this service share."""
    days = AuditDays(FirstProcess(directory / "audit-days.lock"))
    days.start()
    return days
