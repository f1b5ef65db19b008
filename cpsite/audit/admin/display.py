"""How the admin shows durations, kinds and states: as words; colour only adds to them."""

from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import slugify

from cpsite.moments import readable, rfc3339, span

#: Shown where there is no value.
EMPTY: Final = "-"
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
    "pruned": "✂",
}


def badge(name: str) -> SafeString:
    """Return a kind of event, or the status of a message, as a sign and a coloured word."""
    return format_html(
        '<span class="audit-badge audit-{}"><span aria-hidden="true">{}</span> {}</span>',
        name,
        _SIGNS.get(name, "·"),
        name,
    )


def ago(moment: datetime) -> SafeString:
    """Return a moment as the time since then. The exact one, in UTC, is its title."""
    return format_html(
        '<time datetime="{}" title="{} UTC">{} ago</time>',
        rfc3339(moment),
        readable(moment),
        _whole(timezone.now() - moment),
    )


def _whole(time: timedelta) -> str:
    """Return a duration without fractions of a second: `3 s`, `12 min`."""
    return f"{max(0, int(time.total_seconds()))} s" if time < timedelta(minutes=1) else span(time)


def events_url(**parameters: str) -> str:
    """Return the address of the list of events with these filters."""
    return f"{reverse('admin:audit_auditevent_changelist')}?{urlencode(parameters)}"


def hour_url(start: datetime, **parameters: str) -> str:
    """Return the address of the events with these filters in the hour from `start` on.

    In UTC and whole seconds, as the inputs of the filter by time have it.
    """
    first, last = (f"{each:%Y-%m-%dT%H:%M:%S}" for each in (start, start + timedelta(hours=1)))
    return events_url(**parameters, **{"from": first, "until": last})


def message_link(message_id: object) -> str | SafeString:
    """Return a message's id, unbroken so that it can be copied, as a link to its page."""
    if message_id is None:
        return EMPTY
    url = reverse("admin:audit_message", args=[message_id])
    return format_html('<a class="audit-id" href="{}">{}</a>', url, message_id)


def client_link(name: str) -> str | SafeString:
    """Return a client's name as a link to its page."""
    if not name:
        return EMPTY
    url = reverse("admin:audit_client", args=[name])
    return format_html('<a class="audit-name" href="{}">{}</a>', url, name)


def reason_link(
    reason: str, fields_at_fault: str | None = None, **parameters: str
) -> str | SafeString:
    """Return a reason as a link to the events with it, and the names of the fields at fault.

    `parameters` are further filters of those events.
    """
    if not reason:
        return EMPTY
    link = format_html('<a href="{}">{}</a>', events_url(reason=reason, **parameters), reason)
    if not fields_at_fault:
        return link
    return format_html('{} <span class="audit-fields">{}</span>', link, fields_at_fault)


def address_link(address: str | None) -> str | SafeString:
    """Return a caller's address as a link to the events that it has caused."""
    if not address:
        return EMPTY
    return format_html('<a class="audit-address" href="{}">{}</a>', events_url(q=address), address)


def request_link(request_id: str | None) -> str | SafeString:
    """Return an X-Request-ID as a link to the events of its request."""
    if not request_id:
        return EMPTY
    url = events_url(q=request_id)
    return format_html('<a class="audit-hash" href="{}">{}</a>', url, request_id)


def hash_text(digits: str) -> str | SafeString:
    """Return a SHA-256 in hexadecimal so that it may break anywhere."""
    return format_html('<span class="audit-hash">{}</span>', digits) if digits else EMPTY


def copyable(shown: str | SafeString, name: str) -> SafeString:
    """Return a value with a button that copies it (copy.js); `name` is what it is called.

    Once a page for each name.
    """
    if shown == EMPTY:
        return format_html("{}", shown)
    return format_html(
        '<span id="copied-{0}">{1}</span> <button type="button" class="audit-copy" '
        'data-copies="copied-{0}" aria-label="Copy the {2}" hidden>Copy</button>',
        slugify(name),
        shown,
        name,
    )


def actor_link(actor: str | None) -> str | SafeString:
    """Return who has redriven, discarded or read as a link to all that they have done."""
    if not actor:
        return EMPTY
    return format_html('<a class="audit-name" href="{}">{}</a>', events_url(actor=actor), actor)
