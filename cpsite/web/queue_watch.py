"""Tells Prometheus of the queues from the HTTP process, too: an uploader may be down or hang.

The API asks for the queue's depth and the admin for that of the dead-letter queue, as each one's
role may (docs/adr/0019). Neither reads messages. The API also reads in the audit log since when
messages wait. All of it happens in a thread of one process of the service, beside the requests.
"""

import fcntl
import logging
import math
import os
import threading
from pathlib import Path
from typing import Final

from django.db import Error as DatabaseFailure
from django.db import connection
from django.utils import timezone
from prometheus_client import Gauge

from cpsite.audit.oldest_waiting import OldestUnknown, oldest_waiting
from cpsite.audit.scope import holds_all_messages
from cpsite.observability.notices import Notices
from cpsite.observability.queue_depth import MESSAGES, QueueDepthSampler, of_this_process

logger = logging.getLogger(__name__)

#: Seconds that the database may take. Then the age is unknown, and the depths go on.
DATABASE_SECONDS: Final = 5.0

# Set by one process, as the queues' depths are.
oldest_message_age_seconds: Final = Gauge(
    "validator_oldest_message_age_seconds",
    "Age of the oldest message accepted since the newest stored one, by the audit log; 0 while "
    "the queue is empty.",
    multiprocess_mode="livemostrecent",
)


class FirstProcess:
    """Whether this process is the one of a service that does something.

    That is the first one to ask, until it ends, however it ends. `path` is a file that all of them
    can open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def is_this(self) -> bool:
        """Return whether this process is it. Raises OSError if the file cannot be opened."""
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class OldestMessage:
    """Sets `validator_oldest_message_age_seconds`, in bounded time whatever the database does."""

    def __init__(self) -> None:
        self._notices = Notices(logger)
        self._looking: threading.Thread | None = None

    def sample(self, messages: float) -> None:
        """Sample once. `messages` is the number on the queue, NaN if that is unknown."""
        if messages == 0:
            oldest_message_age_seconds.set(0.0)
        else:
            oldest_message_age_seconds.set(self._age() if holds_all_messages() else math.nan)

    def _age(self) -> float:
        """Return the age in seconds, NaN if it is unknown."""
        if self._looking is None or not self._looking.is_alive():
            found: list[float] = []
            self._looking = threading.Thread(
                target=lambda: found.append(self._look()), name="oldest-message", daemon=True
            )
            self._looking.start()
            self._looking.join(DATABASE_SECONDS)
            if found:
                return found[0]
        # It may hang for as long as it likes, but only once.
        self._notices.warning("oldest_message_unknown", error="timed_out")
        return math.nan

    def _look(self) -> float:
        now = timezone.now()
        try:
            oldest = oldest_waiting(now)
        except (DatabaseFailure, OldestUnknown) as exc:
            self._notices.warning("oldest_message_unknown", error=type(exc).__name__)
            return math.nan
        except Exception:
            # It would look like a database that hangs.
            logger.exception("oldest_message_failed_unexpectedly")
            return math.nan
        finally:
            connection.close()  # this thread's own, and its last use
        return max(0.0, (now - oldest).total_seconds()) if oldest else 0.0


class QueueWatch(QueueDepthSampler):
    """Samples the queues that this service may ask for, if `first` is this process."""

    def __init__(self, first: FirstProcess) -> None:
        super().__init__(of_this_process())
        self._first = first
        self._oldest = OldestMessage()

    def sample(self) -> None:
        """Sample each queue once, and the age of the oldest message; or nothing."""
        if not self._first.is_this():
            return
        for name, url in self._queues.items():
            depth = self.sample_queue(name, url)
            if name == MESSAGES:
                self._oldest.sample(depth)


def start(directory: Path) -> QueueWatch:
    """Begin to sample. `directory` is one that the processes of this service share."""
    watch = QueueWatch(FirstProcess(directory / "queue-watch.lock"))
    watch.start()
    return watch
