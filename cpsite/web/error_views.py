"""Answers to requests that reach no view: a page in the admin or to a browser, else JSON."""

import sys
from http import HTTPStatus
from typing import Any, Final

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template import loader

from cpsite.observability.logging import request_id
from cpsite.web import refusals
from cpsite.web.fallback_answers import BAD_REQUEST, INTERNAL_ERROR, NOT_FOUND, Body, not_found
from cpsite.web.middleware import is_admin

#: Seconds after which a page may be asked for again that the database could not answer.
DATABASE_RETRY_SECONDS: Final = 5
#: Styles and scripts only from this host; no page may be framed.
_POLICY: Final = "default-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """400: Django itself refuses the request, for example for an unknown host."""
    refusals.note(refusals.UNACCEPTABLE, request, error=type(exception).__name__)
    if is_admin(request):
        return _page("400", HTTPStatus.BAD_REQUEST)
    return _answer(request, BAD_REQUEST, HTTPStatus.BAD_REQUEST)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:  # noqa: ARG001 - Django passes it
    """403: the user of the admin lacks the permission."""
    # With the request: who is logged in has been read already, and may log out.
    return _page("403", HTTPStatus.FORBIDDEN, request)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:  # noqa: ARG001 - Django passes it
    """403: a form without our token, or from another site. Django would log its Origin."""
    refusals.note(refusals.CSRF, request)
    return _page("403_csrf", HTTPStatus.FORBIDDEN)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:  # noqa: ARG001 - Django passes it
    """404: there is nothing at this path."""
    if is_admin(request):
        return _page("404", HTTPStatus.NOT_FOUND)
    answer = NOT_FOUND
    if settings.SERVES_API:
        answer = not_found(request.method, request.path_info)
    return _answer(request, answer, HTTPStatus.NOT_FOUND)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """500: an unexpected error outside the API's views; 503 for the admin without a database.

    Django calls it while it handles the error.
    """
    if not is_admin(request):
        return _answer(request, INTERNAL_ERROR, HTTPStatus.INTERNAL_SERVER_ERROR)
    if isinstance(sys.exception(), OperationalError | InterfaceError):
        page = _page("database_unavailable", HTTPStatus.SERVICE_UNAVAILABLE)
        page.headers["Retry-After"] = str(DATABASE_RETRY_SECONDS)
        return page
    return _page("500", HTTPStatus.INTERNAL_SERVER_ERROR)


def _page(name: str, status: HTTPStatus, request: HttpRequest | None = None) -> HttpResponse:
    """Return a page of the admin. Without the request it needs no database."""
    return _rendered(f"admin/{name}.html", {}, status, request)


def _answer(request: HttpRequest, body: Body, status: HTTPStatus) -> HttpResponseBase:
    """Return the API's answer; to a person's browser a page with the same text."""
    answer: HttpResponseBase = JsonResponse(body, status=status)
    if settings.SERVES_API and _is_opened_by_browser(request):
        named = f"{status.value} {status.phrase}"
        answer = _rendered("validator/error.html", {**body, "status": named}, status)
    answer.headers["Vary"] = "Accept"
    return answer


def _is_opened_by_browser(request: HttpRequest) -> bool:
    # Libraries may accept text/html, too, but only browsers name XHTML.
    is_reading = request.method in {"GET", "HEAD"}
    return is_reading and "application/xhtml+xml" in request.headers.get("Accept", "")


def _rendered(
    template: str, about: dict[str, Any], status: HTTPStatus, request: HttpRequest | None = None
) -> HttpResponse:
    page = loader.render_to_string(template, {**about, "request_id": request_id.get()}, request)
    return HttpResponse(page, status=status, headers={"Content-Security-Policy": _POLICY})
