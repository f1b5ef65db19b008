"""The audit log in the admin: to look at, to search, to export; never to change."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.core.files.storage import storages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from cpsite.audit.export import csv_response
from cpsite.audit.filters import ClientFilter, ReasonFilter
from cpsite.audit.models import AuditEvent
from cpsite.audit.pagination import BoundedCountPaginator


@admin.register(AuditEvent)
class AuditEventAdmin(admin.ModelAdmin[AuditEvent]):
    list_display = ("when", "kind", "message", "client", "reason", "source_ip")
    list_display_links = ("when",)
    list_filter = ("kind", ClientFilter, ReasonFilter, "occurred_at")
    search_help_text = "A message id, a client's name or a reason code, in full."
    search_fields = ("message_id",)
    list_per_page = 50
    paginator = BoundedCountPaginator
    # Both would count the whole table.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    actions = ("export_csv",)

    fields = (
        "when",
        "kind",
        "message_id",
        "client",
        "source_ip",
        "reason",
        "object_link",
        "payload_sha256",
        "accepted_at",
        "attempts",
        "duration_ms",
        "timeline",
    )
    readonly_fields = ("when", "object_link", "timeline")

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
        try:
            return queryset.filter(message_id=UUID(term)), False
        except ValueError:
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
        return _to_the_millisecond(event.occurred_at)

    @admin.display(description="Message id", empty_value="-")
    def message(self, event: AuditEvent) -> SafeString | None:
        """Show the id in one piece, to be copied."""
        if event.message_id is None:
            return None
        return format_html('<span style="white-space: nowrap">{}</span>', event.message_id)

    @admin.display(description="Timeline of this message")
    def timeline(self, event: AuditEvent) -> str | SafeString:
        if event.message_id is None:
            return "This event belongs to no message."
        rows = format_html_join(
            "",
            '<tr><td><a href="{}">{}</a></td><td>{}</td><td>{}</td><td>{}</td></tr>',
            (
                (
                    reverse("admin:audit_auditevent_change", args=[other.pk]),
                    _to_the_millisecond(other.occurred_at),
                    other.kind,
                    other.reason,
                    "" if other.attempts is None else f"delivery {other.attempts}",
                )
                for other in AuditEvent.objects.of_message(event.message_id)
            ),
        )
        return format_html(
            "<table><thead><tr><th>When (UTC)</th><th>What</th><th>Why</th>"
            "<th>Try</th></tr></thead><tbody>{}</tbody></table>",
            rows,
        )

    @admin.display(description="Object")
    def object_link(self, event: AuditEvent) -> str | SafeString:
        if not event.object_key or not settings.S3_BUCKET:
            return event.object_key or "-"
        url = reverse("admin:audit_auditevent_object", args=[event.pk])
        return format_html('<a href="{}">{}</a>', url, event.object_key)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.open_object)
        return [
            path("<int:event_id>/object/", view, name="audit_auditevent_object"),
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
        context = {"title": "Audit log, newest first"} | (extra_context or {})
        return super().changelist_view(request, context)


def _to_the_millisecond(moment: datetime) -> str:
    """Write a UTC time; Django's own format ends with the minute."""
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"
