"""Middleware: request ids for every request; Django's sessions and the like for the admin only."""

from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.middleware.common import CommonMiddleware
from django_prometheus import middleware

from cpsite.observability.logging import request_id
from cpsite.web import bodies, fallback_answers, refusals
from cpsite.web.request_ids import identifier_of

Handler = Callable[[HttpRequest], HttpResponseBase]


class PrometheusAfterMiddleware(middleware.PrometheusAfterMiddleware):  # type: ignore[misc] # untyped
    """django-prometheus's, but faster, and with a bounded set of methods in all its labels."""

    def label_metric(
        self, metric: Any, request: HttpRequest, response: Any = None, **labels: str
    ) -> Any:
        if "method" in labels:
            labels["method"] = self._method(request)
        return _labelled(metric, tuple(labels.items())) if labels else metric


@lru_cache(maxsize=4096)
def _labelled(metric: Any, labels: tuple[tuple[str, str], ...]) -> Any:
    # Cached, because prometheus_client sorts and checks the names at each call.
    return metric.labels(**dict(labels))


class RequestIdMiddleware:
    """Takes the client's X-Request-ID, or makes one, for log lines and the answer."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        identifier = identifier_of(request.META.get("HTTP_X_REQUEST_ID", ""))
        token = request_id.set(identifier)
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(token)
        response["X-Request-ID"] = identifier
        return response


class ContentLengthMiddleware:
    """Sets Content-Length. Without it gunicorn answers in chunks, which is one more system call.

    An answer to HEAD has no body: gunicorn would drop it, with a warning for each.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if isinstance(response, HttpResponse):
            response["Content-Length"] = str(len(response.content))
        if request.method == "HEAD":
            _drop_body(response)
        return response


def _drop_body(response: HttpResponseBase) -> None:
    if isinstance(response, HttpResponse):
        response.content = b""
    elif isinstance(response, StreamingHttpResponse):
        response.streaming_content = ()


class BodyLimitMiddleware:
    """Refuses a body that is longer than its path takes, before anything reads it.

    CSRF protection would read the form of any POST. What takes messages refuses for itself: its
    refusals are audited.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        longest = bodies.longest(request.path_info)
        is_message = request.method == "POST" and bodies.takes_messages(request.path_info)
        if not is_message and bodies.declared_length(request) > longest:
            refusals.note(refusals.BODY_TOO_LARGE, request)
            answer = fallback_answers.body_too_large(longest)
            return JsonResponse(answer, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return self.get_response(request)


def is_admin(request: HttpRequest) -> bool:
    """Whether the request is for the admin, not for the API."""
    path = request.path_info
    return settings.SERVES_ADMIN and (path == "/admin" or path.startswith("/admin/"))


class _AdminOnly:
    """Mixin before a Django middleware: requests outside the admin skip that middleware."""

    get_response: Callable[[HttpRequest], Any]

    def __call__(self, request: HttpRequest) -> Any:
        if is_admin(request):
            return super().__call__(request)  # type: ignore[misc]
        return self.get_response(request)


class AdminSessionMiddleware(_AdminOnly, SessionMiddleware):
    pass


class AdminCommonMiddleware(_AdminOnly, CommonMiddleware):
    pass


class AdminAuthenticationMiddleware(_AdminOnly, AuthenticationMiddleware):
    pass


class AdminMessageMiddleware(_AdminOnly, MessageMiddleware):
    pass
