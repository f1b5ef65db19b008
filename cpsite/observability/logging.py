"""Log lines: a constant event name and fields, as JSON for machines or text for people.

Callers write `logger.info("message_stored", extra={"message_id": …})`. Neither tokens nor
message content may appear in a field.
"""

import contextvars
import logging
from typing import Final

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

#: The id of the HTTP request being served, empty outside of one.
request_id: Final = contextvars.ContextVar("request_id", default="")

# Who calls, and from which thread, is in none of our lines, and finding it out is a fifth of the
# work of a line. logging documents these switches ("Optimization").
logging._srcfile = None  # noqa: SLF001 - its documented name
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False

_STANDARD = {*RESERVED_ATTRS, "request_id", "message", "asctime", "taskName", "request"}


class RequestIdFilter(logging.Filter):
    """Adds the id of the current request to each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id"):
            record.request_id = request_id.get() or None
        return True


class ExceptionsOnly(logging.Filter):
    """Keeps only records with an exception: of Django's lines about requests, the crashes."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.exc_info)


def json_formatter() -> logging.Formatter:
    """Return the formatter of LOG_FORMAT=json: one object a line, times in UTC."""
    return JsonFormatter(
        "{message}{levelname}{name}{request_id}",
        style="{",
        # Django attaches the whole request, with its headers.
        reserved_attrs=[*RESERVED_ATTRS, "request"],
        rename_fields={"message": "event", "levelname": "level", "name": "logger"},
        timestamp=True,
    )


class TextFormatter(logging.Formatter):
    """`12:00:00 INFO uploader.worker message_stored message_id=… duration_ms=12`."""

    default_time_format = "%H:%M:%S"
    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname:<7} {name} {message}", style="{")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        fields = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        fields["request_id"] = getattr(record, "request_id", None)
        extra = "".join(f" {name}={value}" for name, value in fields.items() if value is not None)
        return super().formatMessage(record) + extra
