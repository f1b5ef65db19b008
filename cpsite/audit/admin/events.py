"""The audit log in the admin: view, search and export, but never change."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.core.files.storage import storages
from django.db.models import QuerySet
from django.forms import Script
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from cpsite.audit.access import Access, actor_of, record_access
from cpsite.audit.admin import (
    clients_page,
    dashboard,
    message_page,
    overview,
    search,
    unstored_page,
)
from cpsite.audit.admin.display import (
    EMPTY,
    actor_link,
    address_link,
    ago,
    badge,
    client_link,
    copyable,
    events_url,
    hash_text,
    message_link,
    reason_link,
    request_link,
)
from cpsite.audit.admin.export import csv_response
from cpsite.audit.admin.filters import ClientFilter, ContractFilter, ReasonFilter, TimeFilter
from cpsite.audit.admin.message_page import object_link
from cpsite.audit.admin.pagination import BoundedCountPaginator
from cpsite.audit.admin.parameters import KnownParameters
from cpsite.audit.history import read_history
from cpsite.audit.models import AuditEvent
from cpsite.audit.scope import WHY, holds_all_messages
from cpsite.message import CLIENT_NAME
from cpsite.moments import readable
from cpsite.web.client_address import source_ip


@admin.register(AuditEvent)
class AuditEventAdmin(KnownParameters, admin.ModelAdmin[AuditEvent]):
    further_parameters = ("message_id", "actor")
    list_display = ("age", "kind_badge", "reason_link", "client_link", "message", "who")
    list_display_links = ("age",)
    list_filter = ("kind", TimeFilter, ClientFilter, ContractFilter, ReasonFilter)
    search_help_text = search.HELP
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
        "time",
        "kind_badge",
        "message_to_copy",
        "client_link",
        "contract",
        "address",
        "reason_link",
        "request",
        "letter",
        "object_link",
        "sha256",
        "accepted",
        "attempts",
        "duration",
        "actor_link",
        "row_count",
        "timeline",
    )
    readonly_fields = fields

    class Media:
        js = (Script("validator/copy.js", defer=True),)

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
        """Search for what the indexes can find (cpsite/audit/admin/search.py)."""
        return (search.found(queryset, search_term) if search_term.strip() else queryset), False

    @admin.action(description="Export selected events as CSV")
    def export_csv(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent]
    ) -> StreamingHttpResponse:
        return csv_response(queryset, actor=actor_of(request), source_ip=source_ip(request))

    @admin.display(description="Time")
    def age(self, event: AuditEvent) -> SafeString:
        return ago(event.occurred_at)

    @admin.display(description="Time (UTC)")
    def time(self, event: AuditEvent) -> str:
        return readable(event.occurred_at)

    @admin.display(description="Kind")
    def kind_badge(self, event: AuditEvent) -> SafeString:
        return badge(event.kind)

    @admin.display(description="Reason")
    def reason_link(self, event: AuditEvent) -> str | SafeString:
        return reason_link(event.reason, event.fields_at_fault)

    @admin.display(description="Client")
    def client_link(self, event: AuditEvent) -> str | SafeString:
        return client_link(event.client)

    @admin.display(description="Message")
    def message(self, event: AuditEvent) -> str | SafeString:
        return message_link(event.message_id)

    @admin.display(description="Message")
    def message_to_copy(self, event: AuditEvent) -> SafeString:
        return copyable(message_link(event.message_id), "message's id")

    @admin.display(description="X-Request-ID")
    def request(self, event: AuditEvent) -> SafeString:
        return copyable(request_link(event.request_id), "X-Request-ID")

    @admin.display(description="Actor, address")
    def who(self, event: AuditEvent) -> str | SafeString:
        """Show who has done it, where a person has, and the address that it came from."""
        address = address_link(event.source_ip)
        if not event.actor:
            return address
        actor = actor_link(event.actor)
        return format_html("{} {}", actor, address) if event.source_ip else actor

    @admin.display(description="Actor")
    def actor_link(self, event: AuditEvent) -> str | SafeString:
        return actor_link(event.actor)

    @admin.display(description="Address")
    def address(self, event: AuditEvent) -> str | SafeString:
        return address_link(event.source_ip)

    @admin.display(description="SQS's message id")
    def letter(self, event: AuditEvent) -> str | SafeString:
        """Show SQS's id of a foreign body as a link to its letter, or to what became of that."""
        if not event.sqs_message_id:
            return EMPTY
        url = reverse("admin:uploader_deadletterentry_letter", args=[event.sqs_message_id])
        link = format_html('<a class="audit-id" href="{}">{}</a>', url, event.sqs_message_id)
        return copyable(link, "SQS's id")

    @admin.display(description="Duration")
    def duration(self, event: AuditEvent) -> str:
        return EMPTY if event.duration_ms is None else f"{event.duration_ms} ms"

    @admin.display(description="SHA-256")
    def sha256(self, event: AuditEvent) -> SafeString:
        return copyable(hash_text(event.payload_sha256), "hash")

    @admin.display(description="Accepted (UTC)")
    def accepted(self, event: AuditEvent) -> str:
        return readable(event.accepted_at) if event.accepted_at else EMPTY

    @admin.display(description="Timeline of this message")
    def timeline(self, event: AuditEvent) -> str | SafeString:
        if event.message_id:
            url = reverse("admin:audit_message", args=[event.message_id])
            return format_html('<a href="{}">All that happened to it</a>', url)
        if event.sqs_message_id:
            url = events_url(q=event.sqs_message_id)
            text = 'This event belongs to no message. <a href="{}">All events of this SQS id</a>'
            return format_html(text, url)
        return "This event belongs to no message."

    @admin.display(description="Object")
    def object_link(self, event: AuditEvent) -> SafeString:
        return copyable(object_link(event), "object's key")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("message/<uuid:message_id>/", view(self.message_view), name="audit_message"),
            path("export/", view(self.export_view), name="audit_export"),
            path("dashboard/", view(self.dashboard_view), name="audit_dashboard"),
            path("clients/", view(self.clients_view), name="audit_clients"),
            path("clients/<str:client>/", view(self.client_view), name="audit_client"),
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
        message_id = search.message_of(request.GET.get("q", ""))
        if message_id:
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

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Export what the list shows with the same filters and search, as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            events = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            # The list shows everything for such filters, and says so. A file cannot.
            raise Http404("There are no such filters.") from None
        return csv_response(events, actor=actor_of(request), source_ip=source_ip(request))

    def message_view(self, request: HttpRequest, message_id: UUID) -> HttpResponse:
        """Show one message: where it is, its times, its object and all of its events."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        history = read_history(message_id)
        context = self._context(request, f"Message {message_id}")
        if history is None:
            context["not_recorded"] = "" if holds_all_messages() else WHY
            return self._page(request, "message_unknown", context, status=404)
        return self._page(request, "message", context | message_page.context(request, history))

    def dashboard_view(self, request: HttpRequest) -> HttpResponse:
        """Return the figures of the landing page alone, for its script."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self._page(request, "dashboard", dashboard.context(request.user))

    def clients_view(self, request: HttpRequest) -> HttpResponse:
        """Show the clients, and the addresses of whom no client is known, with their figures."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = self._context(request, "Clients")
        return self._page(request, "clients", context | clients_page.context(request))

    def client_view(self, request: HttpRequest, client: str) -> HttpResponse:
        """Show one client: its figures, reasons, unstored messages and newest events."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if not CLIENT_NAME.fullmatch(client):
            raise Http404("That is no name of a client.")
        context = self._context(request, f"Client {client}")
        return self._page(request, "client", context | clients_page.context_of(client))

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
