"""The dead-letter queue page of the admin: view letters and send them back to the queue."""

import logging
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from cpsite.audit.access import actor_of
from cpsite.aws import describe
from cpsite.dead_letters.letter import DeadLetter, Selection
from cpsite.dead_letters.models import DeadLetterEntry
from cpsite.dead_letters.queue import DeadLetterQueue, Depth
from cpsite.dead_letters.redrive import Counts, Redrive
from cpsite.queue.delivery import QUEUE_FAILURES
from cpsite.web.client_address import source_ip

logger = logging.getLogger(__name__)

#: Most letters on the page. `manage.py dlq` reaches all.
PAGE_LETTERS = 50


@admin.register(DeadLetterEntry)
class DeadLetterAdmin(admin.ModelAdmin[DeadLetterEntry]):
    """One page: the letters, and a button that sends back the ticked ones."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: DeadLetterEntry | None = None
    ) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: DeadLetterEntry | None = None
    ) -> bool:
        return False

    def may_redrive(self, request: HttpRequest) -> bool:
        return request.user.has_perm("uploader.redrive_deadletterentry")

    def get_urls(self) -> list[URLPattern]:
        """Return the one page. Pages of a single row do not exist, because there is no table."""
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name="uploader_deadletterentry_changelist")]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the letters. A POST sends back those whose SQS message ids are in `letter`."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            if not self.may_redrive(request):
                raise PermissionDenied
            self._redrive(request, request.POST.getlist("letter"))
            return redirect(request.path)
        letters, depth, failure = _look()
        context = {
            **self.admin_site.each_context(request),
            "title": "Dead letters",
            "opts": self.opts,
            "letters": letters,
            "depth": depth,
            "failure": failure,
            "limit": PAGE_LETTERS,
            "may_redrive": self.may_redrive(request),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/dead_letters/letters.html", context)

    def _redrive(self, request: HttpRequest, ids: Sequence[str]) -> None:
        if not ids:
            messages.warning(request, "No dead letter is ticked.")
            return
        selection = Selection(ids=ids)
        logger.info(
            "redrive_requested", extra={"user": request.user.get_username(), "letters": len(ids)}
        )
        try:
            counts = _send_back(selection, request)
        except QUEUE_FAILURES as exc:
            messages.error(request, f"SQS failed: {describe(exc)}. What was not sent stays here.")
            return
        if counts.redriven:
            messages.success(request, f"{counts.redriven} sent back to the queue.")
        if counts.failed:
            errors = ", ".join(sorted(counts.errors))
            messages.error(request, f"{counts.failed} could not be sent ({errors}) and stay here.")
        if selection.missing:
            gone = len(selection.missing)
            messages.warning(request, f"{gone} are not here any more, or in flight elsewhere.")


def _look() -> tuple[list[DeadLetter], Depth | None, str]:
    """Return the letters of the page, how many there are, and why they cannot be read, or ""."""
    if not settings.SQS_DLQ_URL:
        return [], None, "SQS_DLQ_URL is not set here."
    letters: list[DeadLetter] = []
    try:
        with DeadLetterQueue() as queue:
            depth = queue.depth()
            for some in queue.read(until=lambda: len(letters) >= PAGE_LETTERS):
                letters.extend(some)
    except QUEUE_FAILURES as exc:
        return [], None, f"SQS failed: {describe(exc)}."
    return letters[:PAGE_LETTERS], depth, ""


def _send_back(selection: Selection, request: HttpRequest) -> Counts:
    """Send back the selected letters. Raises one of QUEUE_FAILURES."""
    with DeadLetterQueue() as queue:
        redrive = Redrive(queue, selection, actor=actor_of(request), source_ip=source_ip(request))
        for _ in redrive.run():
            pass
    return redrive.counts
