"""Two text formats for times, both in UTC: one for people, one for programs.

Messages on the queue and in S3 do not use them, because their bytes must not change
(`cpsite/message.py`).
"""

from datetime import UTC, datetime


def readable(moment: datetime) -> str:
    """Return a time for people, to the millisecond: `2026-11-24 18:01:06.515`."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"


def rfc3339(moment: datetime | None) -> str | None:
    """Return a time for programs, to the microsecond: `2026-11-24T18:01:06.515536Z` (RFC 3339)."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}" if moment else None
