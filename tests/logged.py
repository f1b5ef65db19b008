"""What a log line holds: the name of an event, and fields."""

import logging
from typing import Any

from cpsite.audit.access import Access

#: The events that the services log. Operators look for these names, so a name that is new or
#: another one is an intended change, and is noted here. tests/conftest.py holds every test to it.
EVENTS = frozenset(
    {
        *("acknowledge_failed", "acknowledge_failed_unexpectedly", "admin_login"),
        *("admin_login_failed", "admin_login_throttled", "audit_close_timed_out"),
        *("audit_days_failed_unexpectedly", "audit_days_made", "audit_days_not_made"),
        *("audit_event_lost", "audit_thread_not_started", "audit_write_failed_unexpectedly"),
        *("batch_failed_unexpectedly", "batch_stored", "conflicts_failed_unexpectedly"),
        *(
            "client_contracts_unknown",
            "conflicts_unknown",
            "credentials_are_back",
            "credentials_not_found",
        ),
        *("heartbeat_not_written", "idempotency_not_noted", "idempotency_not_pruned"),
        *("message_accepted", "message_failed", "message_failed_unexpectedly", "message_redriven"),
        *("message_refused", "message_repeated", "message_status_unavailable", "message_stored"),
        *("message_stored_with_other_content", "message_undecodable", "probe_failed"),
        *("oldest_message_failed_unexpectedly", "oldest_message_unknown"),
        *("queue_depth_failed_unexpectedly", "queue_depth_unknown", "queue_not_checked"),
        *("discard_failed", "discard_requested", "message_discarded"),
        *("queue_without_dead_letters", "receive_failed", "redrive_failed", "redrive_requested"),
        *("redriven_not_deleted", "release_failed", "request_failed", "request_refused"),
        *("stop_took_too_long", "storage_is_away", "storage_is_back", "tokens_not_refreshed"),
        *("tokens_thread_not_started", "upload_thread_not_started", "uploader_stopped"),
        *("visibility_failed_unexpectedly", "visibility_not_extended", "worker_stuck"),
        *("write_failed", *Access),
    }
)

# A filter adds `request_id` to every line.
_ORDINARY = {*vars(logging.makeLogRecord({})), "message", "asctime", "request_id"}


def fields_of(line: logging.LogRecord) -> dict[str, Any]:
    """Return the fields that the caller has added to a line (`extra`)."""
    return {name: value for name, value in vars(line).items() if name not in _ORDINARY}


def lines_of(caplog: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the level, the event and the fields of each line so far."""
    return [(line.levelname, line.getMessage(), fields_of(line)) for line in caplog.records]


class Events(logging.Handler):
    """Collects the names of what our own modules log."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] in {"cpsite", "uploader", "validator"}:
            self.names.add(record.getMessage())
