"""How the admin shows durations, kinds and states: as words; colour only adds to them."""

from datetime import timedelta
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

#: A sign for each kind and state, for readers who cannot see the colours of cpsite/admin.css.
_SIGNS: Final = {
    "accepted": "→",
    "queued": "→",
    "refused": "⊘",
    "stored": "✓",
    "failed": "✕",
    "redriven": "↻",
    "read": "◉",
}
_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400


def badge(name: str) -> SafeString:
    """Return a kind of event, or the status of a message, as a sign and a coloured word."""
    return format_html(
        '<span class="audit-badge audit-{}"><span aria-hidden="true">{}</span> {}</span>',
        name,
        _SIGNS.get(name, "·"),
        name,
    )


def span(time: timedelta) -> str:
    """Return a duration as text with about two digits: `0.3 s`, `12 min`, `3.5 h`."""
    seconds = max(0.0, time.total_seconds())
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h" if seconds < _DAY else f"{seconds / _DAY:.1f} days"
