"""How the admin shows durations, kinds and states: as words; colour only adds to them."""

from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

from cpsite.moments import span

__all__ = ["badge", "span"]

#: A sign for each kind and state, for readers who cannot see the colours of cpsite/admin.css.
_SIGNS: Final = {
    "accepted": "→",
    "queued": "→",
    "refused": "⊘",
    "stored": "✓",
    "failed": "✕",
    "redriven": "↻",
    "discarded": "⌫",
    "dead": "✕",
    "read": "◉",
}


def badge(name: str) -> SafeString:
    """Return a kind of event, or the status of a message, as a sign and a coloured word."""
    return format_html(
        '<span class="audit-badge audit-{}"><span aria-hidden="true">{}</span> {}</span>',
        name,
        _SIGNS.get(name, "·"),
        name,
    )
