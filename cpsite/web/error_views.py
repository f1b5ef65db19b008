"""Answers to requests that reach no view: Django's pages in the admin, else JSON like the API's."""

import sys
from http import HTTPStatus
from typing import Final

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template import loader
from django.views import csrf, defaults

from cpsite.web import refusals
from cpsite.web.fallback_answers import BAD_REQUEST, INTERNAL_ERROR, NOT_FOUND, not_found
from cpsite.web.middleware import is_admin

#: Seconds after which a page may be asked for again that the database could not answer.
DATABASE_RETRY_SECONDS: Final = 5


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """400: Django itself refuses the request, for example for an unknown host."""
    refusals.note(refusals.UNACCEPTABLE, request, error=type(exception).__name__)
    if is_admin(request):
        return defaults.bad_request(request, exception)
    return JsonResponse(BAD_REQUEST, status=400)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """403: a form without our token, or from another site. Django would log its Origin."""
    refusals.note(refusals.CSRF, request)
    return csrf.csrf_failure(request, reason)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """404: there is nothing at this path."""
    if is_admin(request):
        return defaults.page_not_found(request, exception)
    answer = NOT_FOUND
    if settings.SERVES_API:
        answer = not_found(request.method, request.path_info)
    return JsonResponse(answer, status=404)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """500: an unexpected error outside the API's views; 503 for the admin without a database.

    Django calls it while it handles the error.
    """
    if not is_admin(request):
        return JsonResponse(INTERNAL_ERROR, status=HTTPStatus.INTERNAL_SERVER_ERROR)
    if isinstance(sys.exception(), OperationalError | InterfaceError):
        return _database_unavailable()
    return defaults.server_error(request)


def _database_unavailable() -> HttpResponse:
    # Without the request: who is logged in is in the database too.
    page = loader.get_template("admin/database_unavailable.html").render()
    status = HTTPStatus.SERVICE_UNAVAILABLE
    return HttpResponse(page, status=status, headers={"Retry-After": str(DATABASE_RETRY_SECONDS)})
