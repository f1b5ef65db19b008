"""Answers to requests that reach no view: Django's pages in the admin, else JSON like the API's."""

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views import defaults

from cpsite.web.fallback_answers import BAD_REQUEST, INTERNAL_ERROR, NOT_FOUND
from cpsite.web.middleware import is_admin


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """400: Django itself refuses the request, for example for an unknown host."""
    if is_admin(request):
        return defaults.bad_request(request, exception)
    return JsonResponse(BAD_REQUEST, status=400)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """404: there is nothing at this path."""
    if is_admin(request):
        return defaults.page_not_found(request, exception)
    return JsonResponse(NOT_FOUND, status=404)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """500: an unexpected error outside the API's views."""
    if is_admin(request):
        return defaults.server_error(request)
    return JsonResponse(INTERNAL_ERROR, status=500)
