"""The page of one message: its status, its times, its object and all of its events."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cpsite.audit.admin import marks, queues, search
from cpsite.audit.admin.display import (
    actor_link,
    address_link,
    badge,
    client_link,
    copyable,
    events_url,
    hash_text,
    reason_link,
    request_link,
)
from cpsite.audit.history import MessageHistory, Status
from cpsite.audit.models import AuditEvent
from cpsite.audit.scope import WHY
from cpsite.moments import readable, span


def context(request: HttpRequest, history: MessageHistory) -> dict[str, Any]:
    """Return what the template `admin/audit/message.html` shows."""
    accepted, stored = history.accepted_at, history.stored_at
    took = (stored or timezone.now()) - accepted if accepted else None
    of_object = next((event for event in history.events if event.object_key), None)
    return {
        "history": history,
        "status": badge(history.shown_status),
        "not_recorded": WHY if history.status == Status.UNKNOWN else "",
        "message_id": copyable(
            format_html('<span class="audit-id">{}</span>', history.message_id), "message's id"
        ),
        "request_id": copyable(request_link(history.request_id), "X-Request-ID"),
        "sha256": copyable(hash_text(history.payload_sha256), "hash"),
        "client": client_link(history.client),
        "reason": history.last.reason,
        "accepted": readable(accepted) if accepted else "",
        "stored": readable(stored) if stored else "",
        "late": "" if history.discarded else marks.of_age(took),
        "took": span(took) if took is not None and stored else "",
        "waits": span(took) if took is not None and not stored else "",
        "object": copyable(object_link(of_object), "object's key") if of_object else "",
        "of_batch": _batch_url(of_object.object_key) if of_object else "",
        "events": timeline(history.events),
        "may_see_dead_letters": request.user.has_perm("uploader.view_deadletterentry"),
        "dead_letters": None if history.has_outcome else queues.dead_letters(),
    }


def timeline(events: Sequence[AuditEvent]) -> list[dict[str, Any]]:
    """Return the rows of the template `admin/audit/timeline.html` for events in their order."""
    return [_row(event, events[0]) for event in events]


def _row(event: AuditEvent, first: AuditEvent) -> dict[str, Any]:
    return {
        "event": event,
        "when": readable(event.occurred_at),
        "later": span(event.occurred_at - first.occurred_at),
        "what": badge(event.kind),
        "reason": reason_link(event.reason, event.fields_at_fault),
        "address": address_link(event.source_ip),
        "actor": actor_link(event.actor),
    }


def _batch_url(key: str) -> str:
    """Return the address of all events of a batch's messages, or nothing if the key is no batch."""
    return events_url(q=key) if key.endswith(search.BATCH) else ""


def object_link(event: AuditEvent) -> str | SafeString:
    """Return an event's object key, as a link to the object if there is a bucket."""
    if not event.object_key or not settings.S3_BUCKET:
        return event.object_key or "-"
    url = reverse("admin:audit_auditevent_object", args=[event.pk])
    return format_html('<a class="audit-id" href="{}">{}</a>', url, event.object_key)
