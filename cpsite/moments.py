"""Two text formats for times, both in UTC: one for people, one for programs; and for durations.

Messages on the queue and in S3 do not use them, because their bytes must not change
(`cpsite/message.py`).
"""

from datetime import UTC, datetime, timedelta
from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400


def readable(moment: datetime) -> str:
    """Return a time for people, to the millisecond: `2026-11-24 18:01:06.515`."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"


def rfc3339(moment: datetime | None) -> str | None:
    """Return a time for programs, to the microsecond: `2026-11-24T18:01:06.515536Z` (RFC 3339)."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}" if moment else None


def whole_second(moment: datetime) -> datetime:
    """Return the first whole second that is not before a time: browsers' inputs have no more."""
    return (moment + timedelta(microseconds=999_999)).replace(microsecond=0)


def span(time: timedelta) -> str:
    """Return a duration as text with about two digits: `0.3 s`, `12 min`, `3.5 h`."""
    seconds = max(0.0, time.total_seconds())
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h" if seconds < _DAY else f"{seconds / _DAY:.1f} days"
