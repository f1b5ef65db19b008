"""The audit log in the admin: view, search and export, but never change."""

from collections.abc import Mapping
from typing import Any, Final
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
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cpsite.audit.access import Access, actor_of, record_access
from cpsite.audit.admin import message_page, overview, unstored_page
from cpsite.audit.admin.display import badge
from cpsite.audit.admin.export import csv_response
from cpsite.audit.admin.filters import ClientFilter, ContractFilter, ReasonFilter, TimeFilter
from cpsite.audit.admin.message_page import object_link
from cpsite.audit.admin.pagination import BoundedCountPaginator
from cpsite.audit.admin.parameters import KnownParameters
from cpsite.audit.history import read_history
from cpsite.audit.models import AuditEvent
from cpsite.moments import readable
from cpsite.web.client_address import source_ip

#: Shown where an event has no value. The page of an event shows a method's None as "None".
EMPTY: Final = "-"


@admin.register(AuditEvent)
class AuditEventAdmin(KnownParameters, admin.ModelAdmin[AuditEvent]):
    further_parameters = ("message_id",)
    list_display = ("when", "what", "reason", "client", "message", "source_ip")
    list_display_links = ("when",)
    list_filter = ("kind", TimeFilter, ClientFilter, ContractFilter, ReasonFilter)
    search_help_text = "A message id, a client, a reason code or who has read or redriven, in full."
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
        "contract",
        "source_ip",
        "reason",
        "object_link",
        "sha256",
        "accepted",
        "attempts",
        "duration_ms",
        "actor",
        "row_count",
        "timeline",
    )
    readonly_fields = ("when", "what", "message", "object_link", "sha256", "accepted", "timeline")

    #: Links above the list, to the most common questions.
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
        """Search for exact values only, because only those can use the indexes."""
        term = search_term.strip()
        if not term:
            return queryset, False
        message_id = _uuid(term)
        if message_id:
            return queryset.filter(message_id=message_id), False
        # Indexed look-ups, one by one: an OR over the columns would scan the table on SQLite.
        for column in ("client", "actor"):
            found = queryset.filter(**{column: term})
            # Not exists(): without an order PostgreSQL may scan the table until it finds a row.
            if found.order_by(column, "occurred_at", "id").first():
                return found, False
        return queryset.filter(reason=term), False

    @admin.action(description="Export selected events as CSV")
    def export_csv(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent]
    ) -> StreamingHttpResponse:
        return csv_response(queryset, actor=actor_of(request), source_ip=source_ip(request))

    @admin.display(description="When (UTC)")
    def when(self, event: AuditEvent) -> str:
        return readable(event.occurred_at)

    @admin.display(description="What")
    def what(self, event: AuditEvent) -> SafeString:
        return badge(event.kind)

    @admin.display(description="Message")
    def message(self, event: AuditEvent) -> str | SafeString:
        """Show the id unbroken, so that it can be copied, as a link to the message's page."""
        if event.message_id is None:
            return EMPTY
        url = reverse("admin:audit_message", args=[event.message_id])
        return format_html('<a class="audit-id" href="{}">{}</a>', url, event.message_id)

    @admin.display(description="SHA-256")
    def sha256(self, event: AuditEvent) -> str | SafeString:
        return (
            format_html('<span class="audit-hash">{}</span>', event.payload_sha256)
            if event.payload_sha256
            else EMPTY
        )

    @admin.display(description="Accepted (UTC)")
    def accepted(self, event: AuditEvent) -> str:
        return readable(event.accepted_at) if event.accepted_at else EMPTY

    @admin.display(description="Timeline of this message")
    def timeline(self, event: AuditEvent) -> str | SafeString:
        if event.message_id is None:
            return "This event belongs to no message."
        url = reverse("admin:audit_message", args=[event.message_id])
        return format_html('<a href="{}">All that happened to it</a>', url)

    @admin.display(description="Object")
    def object_link(self, event: AuditEvent) -> str | SafeString:
        return object_link(event)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("message/<uuid:message_id>/", view(self.message_view), name="audit_message"),
            path("waiting/", view(self.waiting_view), name="audit_waiting"),
            path("<int:event_id>/object/", view(self.open_object), name="audit_auditevent_object"),
            *super().get_urls(),
        ]

    def open_object(self, request: HttpRequest, event_id: int) -> HttpResponse:
        """Redirect to the stored object by a presigned link, which is valid for a minute."""
        event = self.get_object(request, str(event_id))
        if event is None or not event.object_key or not self.has_view_permission(request, event):
            raise Http404("There is no such object.")
        if not settings.S3_BUCKET:
            raise Http404("S3_BUCKET is not set here.")
        record_access(
            Access.OBJECT_OPENED,
            actor=actor_of(request),
            source_ip=source_ip(request),
            message_id=event.message_id,
            client=event.client,
            object_key=event.object_key,
        )
        return redirect(storages["messages"].url(event.object_key))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the events. A message id in the search field redirects to that message's page."""
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
            # Only on the unfiltered list: a filter or a search should show its results first.
            **({} if request.GET else overview.context()),
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
        return self._page(request, "message", context | message_page.context(request, history))

    def waiting_view(self, request: HttpRequest) -> HttpResponse:
        """Show the messages that were accepted and are not stored."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = self._context(request, "Accepted, but not stored yet")
        return self._page(request, "waiting", context | unstored_page.context(request))

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
