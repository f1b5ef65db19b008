"""The dead-letter queue in the admin: view letters, send them back to the queue, discard them."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from cpsite.audit.access import actor_of
from cpsite.aws import describe
from cpsite.dead_letters import letter_page
from cpsite.dead_letters.accounting import Person
from cpsite.dead_letters.discard import MEANINGS, Because, Discard
from cpsite.dead_letters.letter import Selection
from cpsite.dead_letters.look import Seen, look
from cpsite.dead_letters.models import DeadLetterEntry
from cpsite.dead_letters.queue import DeadLetterQueue
from cpsite.dead_letters.redrive import Counts, Redrive
from cpsite.dead_letters.rows import VIEW_EVENTS, Row, rows_of
from cpsite.queue.delivery import QUEUE_FAILURES
from cpsite.web.client_address import source_ip

logger = logging.getLogger(__name__)

#: Most letters on the page. `manage.py dlq` reaches all.
PAGE_LETTERS = 50
#: Retry-After of a letter's page while SQS does not answer.
RETRY_AFTER_SECONDS = 10
#: What a POST to the list asks for, and the permission that it needs.
ACTIONS: Final = {
    "redrive": "uploader.redrive_deadletterentry",
    "discard": "uploader.discard_deadletterentry",
}


@admin.register(DeadLetterEntry)
class DeadLetterAdmin(admin.ModelAdmin[DeadLetterEntry]):
    """The list of letters with its buttons, a page that confirms a discard, and one of a letter."""

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

    def get_urls(self) -> list[URLPattern]:
        """Return our pages. Those of a row do not exist, because there is no table."""
        view = self.admin_site.admin_view
        name = "uploader_deadletterentry"
        return [
            path("", view(self.changelist_view), name=f"{name}_changelist"),
            path("letter/<str:letter_id>/", view(self.letter_view), name=f"{name}_letter"),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the letters. A POST redrives or discards those of SQS's ids in `letter`."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._act(request)
        seen = look(limit=PAGE_LETTERS)
        shown = {"seen": seen, "letters": seen.letters, "rows": _rows(request, seen)}
        context = shown | (extra_context or {})
        return self._page(request, "letters", "Dead letters", context)

    def letter_view(self, request: HttpRequest, letter_id: str) -> HttpResponse:
        """Show one letter, by either id, with its events. A POST shows its content, too."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        shows_content = request.method == "POST"
        if shows_content and not request.user.has_perm(letter_page.VIEW_CONTENT):
            raise PermissionDenied
        reader = _person(request) if shows_content else None
        context = letter_page.context(request, letter_id, reader=reader)
        if context["seen"].failure:
            # Nobody knows whether it is there.
            page = self._page(request, "letter", "Dead letter", context, status=503)
            page.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
            return page
        status = 200 if context["letter"] else 404
        return self._page(request, "letter", "Dead letter", context, status=status)

    def _act(self, request: HttpRequest) -> HttpResponse:
        action = request.POST.get("action", "redrive")
        if action not in ACTIONS or not request.user.has_perm(ACTIONS[action]):
            raise PermissionDenied
        ids = request.POST.getlist("letter")
        if not ids:
            messages.warning(request, "No dead letter is ticked.")
        elif action == "redrive":
            self._redrive(request, ids)
        elif request.POST.get("because", "") in list(Because):
            self._discard(request, ids, Because(request.POST["because"]))
        else:
            return self._ask(request, ids)
        return redirect(request.path)

    def _ask(self, request: HttpRequest, ids: Sequence[str]) -> HttpResponse:
        """Show what would be discarded, and ask why. Nothing is discarded without an answer."""
        selection = Selection(ids=ids, are_of_sqs=True)
        seen = look(selection=selection)
        context = {
            "seen": seen,
            "rows": _rows(request, seen),
            "missing": len(selection.missing),
            "meanings": MEANINGS.items(),
            # A form that came back without an answer.
            "is_unanswered": "because" in request.POST,
        }
        return self._page(request, "discard", "Discard dead letters", context)

    def _redrive(self, request: HttpRequest, ids: Sequence[str]) -> None:
        selection = Selection(ids=ids, are_of_sqs=True)
        _log_request("redrive_requested", request, ids)
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
        _report_missing(request, selection.missing)

    def _discard(self, request: HttpRequest, ids: Sequence[str], because: Because) -> None:
        _log_request("discard_requested", request, ids)
        try:
            with DeadLetterQueue() as queue:
                discard = Discard(queue, ids, because=because, person=_person(request))
                for _ in discard.run():
                    pass
        except QUEUE_FAILURES as exc:
            messages.error(
                request, f"SQS failed: {describe(exc)}. What was not deleted stays here."
            )
            return
        counts = discard.counts
        if counts.discarded:
            messages.success(request, f"{counts.discarded} discarded, because {MEANINGS[because]}.")
        if counts.failed:
            errors = ", ".join(sorted(counts.errors))
            messages.error(request, f"{counts.failed} could not be deleted ({errors}).")
        _report_missing(request, discard.missing)

    def _page(
        self,
        request: HttpRequest,
        name: str,
        title: str,
        context: Mapping[str, Any],
        status: int = 200,
    ) -> TemplateResponse:
        shared = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            **{f"may_{name}": request.user.has_perm(needed) for name, needed in ACTIONS.items()},
            **context,
        }
        return TemplateResponse(request, f"admin/dead_letters/{name}.html", shared, status=status)


def _rows(request: HttpRequest, seen: Seen) -> list[Row]:
    return rows_of(seen, has_links=request.user.has_perm(VIEW_EVENTS))


def _log_request(event: str, request: HttpRequest, ids: Sequence[str]) -> None:
    logger.info(event, extra={"user": request.user.get_username(), "letters": len(ids)})


def _report_missing(request: HttpRequest, missing: set[str]) -> None:
    if missing:
        messages.warning(request, f"{len(missing)} are not here any more, or in flight elsewhere.")


def _person(request: HttpRequest) -> Person:
    return Person(actor_of(request), source_ip(request))


def _send_back(selection: Selection, request: HttpRequest) -> Counts:
    """Send back the selected letters. Raises one of QUEUE_FAILURES."""
    with DeadLetterQueue() as queue:
        redrive = Redrive(queue, selection, person=_person(request))
        for _ in redrive.run():
            pass
    return redrive.counts
