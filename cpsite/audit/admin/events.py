"""The audit log in the admin: to look at, to search, to export; never to change."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.files.storage import storages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cpsite.audit.admin.display import badge, span
from cpsite.audit.admin.export import csv_response
from cpsite.audit.admin.filters import ClientFilter, ReasonFilter, TimeFilter
from cpsite.audit.admin.overview import read_overview
from cpsite.audit.admin.pagination import BoundedCountPaginator
from cpsite.audit.admin.sparkline import sparkline
from cpsite.audit.history import MessageHistory, read_history
from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.unstored import GRACE, SCAN_LIMIT, WINDOW, Place, find_waiting
from cpsite.moments import readable


@admin.register(AuditEvent)
class AuditEventAdmin(admin.ModelAdmin[AuditEvent]):
    list_display = ("when", "what", "reason", "client", "message", "source_ip")
    list_display_links = ("when",)
    list_filter = ("kind", TimeFilter, ClientFilter, ReasonFilter)
    search_help_text = "A message id, a client's name or a reason code, in full."
    search_fields = ("message_id",)
    list_per_page = 50
    paginator = BoundedCountPaginator
    # Both would count the whole table.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    actions = ("export_csv",)
    change_list_template = "admin/audit/events.html"

    fields = (
        "when",
        "what",
        "message",
        "client",
        "source_ip",
        "reason",
        "object_link",
        "sha256",
        "accepted",
        "attempts",
        "duration_ms",
        "timeline",
    )
    readonly_fields = ("when", "what", "message", "object_link", "sha256", "accepted", "timeline")

    #: What the page of waiting messages offers, by the seconds since a message was accepted.
    GRACES: ClassVar = {
        int(GRACE.total_seconds()): "1 minute",
        300: "5 minutes",
        3_600: "1 hour",
    }
    #: The questions that are asked most, above the list.
    QUESTIONS: Final = (
        ("Everything", ""),
        ("Refused in the last hour", "kind__exact=refused&since=1h"),
        ("Failed in the last 24 hours", "kind__exact=failed&since=24h"),
        ("Stored in the last hour", "kind__exact=stored&since=1h"),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEvent | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditEvent | None = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent], search_term: str
    ) -> tuple[QuerySet[AuditEvent], bool]:
        """Look for exact values, which the indexes can find, and for nothing else."""
        term = search_term.strip()
        if not term:
            return queryset, False
        message_id = _uuid(term)
        if message_id:
            return queryset.filter(message_id=message_id), False
        # Two indexed look-ups: an OR over both columns would scan the table on SQLite.
        by_client = queryset.filter(client=term)
        # Not exists(): without an order PostgreSQL may read the table until it meets one.
        found = by_client.order_by("client", "occurred_at", "id").first()
        return (by_client if found else queryset.filter(reason=term)), False

    @admin.action(description="Export selected events as CSV")
    def export_csv(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent]
    ) -> StreamingHttpResponse:
        return csv_response(queryset)

    @admin.display(description="When (UTC)")
    def when(self, event: AuditEvent) -> str:
        return readable(event.occurred_at)

    @admin.display(description="What")
    def what(self, event: AuditEvent) -> SafeString:
        return badge(event.kind)

    @admin.display(description="Message", empty_value="-")
    def message(self, event: AuditEvent) -> SafeString | None:
        """Show the id in one piece, to be copied, and lead to the message's page."""
        if event.message_id is None:
            return None
        url = reverse("admin:audit_message", args=[event.message_id])
        return format_html('<a class="audit-id" href="{}">{}</a>', url, event.message_id)

    @admin.display(description="SHA-256", empty_value="-")
    def sha256(self, event: AuditEvent) -> SafeString | None:
        return (
            format_html('<span class="audit-hash">{}</span>', event.payload_sha256)
            if event.payload_sha256
            else None
        )

    @admin.display(description="Accepted (UTC)", empty_value="-")
    def accepted(self, event: AuditEvent) -> str | None:
        return readable(event.accepted_at) if event.accepted_at else None

    @admin.display(description="Timeline of this message")
    def timeline(self, event: AuditEvent) -> str | SafeString:
        if event.message_id is None:
            return "This event belongs to no message."
        url = reverse("admin:audit_message", args=[event.message_id])
        return format_html('<a href="{}">All that happened to it</a>', url)

    @admin.display(description="Object")
    def object_link(self, event: AuditEvent) -> str | SafeString:
        if not event.object_key or not settings.S3_BUCKET:
            return event.object_key or "-"
        url = reverse("admin:audit_auditevent_object", args=[event.pk])
        return format_html('<a class="audit-id" href="{}">{}</a>', url, event.object_key)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("message/<uuid:message_id>/", view(self.message_view), name="audit_message"),
            path("waiting/", view(self.waiting_view), name="audit_waiting"),
            path("<int:event_id>/object/", view(self.open_object), name="audit_auditevent_object"),
            *super().get_urls(),
        ]

    def open_object(self, request: HttpRequest, event_id: int) -> HttpResponse:
        """Redirect to the stored object by a link that S3 honours for a minute."""
        event = self.get_object(request, str(event_id))
        if event is None or not event.object_key or not self.has_view_permission(request, event):
            raise Http404("There is no such object.")
        if not settings.S3_BUCKET:
            raise Http404("S3_BUCKET is not set here.")
        return redirect(storages["messages"].url(event.object_key))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the events; a message's id in the search field leads to the message."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        message_id = _uuid(request.GET.get("q", "").strip())
        if message_id and AuditEvent.objects.of_message(message_id).first():
            return redirect("admin:audit_message", message_id)
        context = {
            "title": "Audit log, newest first",
            "questions": [
                {"title": title, "query": query, "is_asked": request.GET.urlencode() == query}
                for title, query in self.QUESTIONS
            ],
            # On the list as it is first seen; who filters or searches wants to see what is found.
            **({} if request.GET else _overview()),
        }
        return super().changelist_view(request, context | (extra_context or {}))

    def message_view(self, request: HttpRequest, message_id: UUID) -> HttpResponse:
        """Show one message: where it is, its times, its object and all of its events."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        history = read_history(message_id)
        context = self._context(request, f"Message {message_id}")
        if history is None:
            return self._page(request, "message_unknown", context, status=404)
        return self._page(request, "message", context | self._told(request, history))

    def _told(self, request: HttpRequest, history: MessageHistory) -> dict[str, Any]:
        accepted, stored = history.accepted_at, history.stored_at
        first = history.events[0].occurred_at
        of_object = next((event for event in history.events if event.object_key), None)
        return {
            "history": history,
            "status": badge(history.status),
            "reason": history.events[-1].reason,
            "accepted": readable(accepted) if accepted else "",
            "stored": readable(stored) if stored else "",
            "took": span(stored - accepted) if accepted and stored else "",
            "waits": span(timezone.now() - accepted) if accepted and not stored else "",
            "object": self.object_link(of_object) if of_object else "",
            "events": [
                {
                    "event": event,
                    "when": self.when(event),
                    "later": span(event.occurred_at - first),
                    "what": badge(event.kind),
                }
                for event in history.events
            ],
            "may_see_dead_letters": request.user.has_perm("uploader.view_deadletterentry"),
        }

    def waiting_view(self, request: HttpRequest) -> HttpResponse:
        """Show what was accepted and is not stored; `older` in seconds, `after` as _place reads."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = request.GET.get("older", "")
        seconds = int(asked) if asked in map(str, self.GRACES) else int(GRACE.total_seconds())
        place = _place(request.GET.get("after", ""))
        now = timezone.now()
        waiting = find_waiting(now, grace=timedelta(seconds=seconds), place=place)
        context = self._context(request, "Accepted, but not stored yet") | {
            "waiting": waiting,
            "rows": [_waiting_row(history, now) for history in waiting.messages],
            "graces": self.GRACES.items(),
            "seconds": seconds,
            "grace": self.GRACES[seconds],
            "is_continued": place is not None,
            "window_hours": int(WINDOW.total_seconds() // 3_600),
            "scan_limit": SCAN_LIMIT,
            "next": _written(waiting.next_place),
        }
        return self._page(request, "waiting", context)

    def _context(self, request: HttpRequest, title: str) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), "title": title, "opts": self.opts}

    def _page(
        self, request: HttpRequest, name: str, context: Mapping[str, Any], status: int = 200
    ) -> TemplateResponse:
        return TemplateResponse(request, f"admin/audit/{name}.html", dict(context), status=status)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _overview() -> dict[str, Any]:
    overview = read_overview()
    return {
        "overview": overview,
        "kinds": [
            {
                "kind": counts.kind,
                "badge": badge(counts.kind),
                "last_hour": counts.last_hour,
                "day": counts.day,
                "chart": sparkline(counts.kind, [hour.number for hour in counts.hours]),
            }
            for counts in overview.kinds
        ],
        "kind_names": [kind.value for kind in Kind],
    }


def _waiting_row(history: MessageHistory, now: datetime) -> dict[str, Any]:
    last = history.events[-1]
    accepted = history.accepted_at or history.events[0].occurred_at
    return {
        "history": history,
        "status": badge(history.status),
        "reason": last.reason,
        "accepted": readable(accepted),
        "waits": span(now - accepted),
    }


def _written(place: Place | None) -> str:
    """Write a place for the address of the page that goes on there."""
    return f"{place.occurred_at.timestamp():.6f}-{place.event_id}" if place else ""


def _place(text: str) -> Place | None:
    """Read what _written wrote. Raises Http404 for anything else."""
    if not text:
        return None
    moment, _, event_id = text.partition("-")
    try:
        return Place(datetime.fromtimestamp(float(moment), UTC), int(event_id))
    except (ValueError, OverflowError, OSError) as exc:
        raise Http404("There is no such place in the audit log.") from exc
