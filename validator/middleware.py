"""What holds for every request: HTTPS, where it is demanded, and answers that nobody keeps."""

import re
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.http.request import split_domain_port
from django.http.response import HttpResponseBase

from cpsite.web import bodies
from cpsite.web.client_address import source_ip
from validator import accounting
from validator.authentication import client_of_refused
from validator.exceptions import HttpsRequired, answer_to
from validator.throttling import limit_unauthenticated

_SAFE: Final = {"GET", "HEAD"}


class TransportMiddleware:
    """Comes before Django's SecurityMiddleware, whose redirect to HTTPS never happens therefore.

    Django redirects every request that came over http. Clients follow a redirect of a POST as a
    GET, and take its 200 for success. So only GET and HEAD are redirected here, and anything else
    is refused. DJANGO_ALLOWED_HOSTS is the admin's and has no say in either.

    No answer may be cached unless its view says so: it is about one caller's message or token.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._demands_https = settings.SECURE_SSL_REDIRECT
        self._exempt = [re.compile(pattern) for pattern in settings.SECURE_REDIRECT_EXEMPT]

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if self._demands_https and not request.is_secure() and not self._is_exempt(request):
            response = _over_http(request)
        else:
            response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    def _is_exempt(self, request: HttpRequest) -> bool:
        path = request.path.lstrip("/")
        return any(pattern.search(path) for pattern in self._exempt)


def _over_http(request: HttpRequest) -> HttpResponseBase:
    """Return the answer to a request that did not come over HTTPS."""
    host = request.META.get("HTTP_HOST", "")
    if request.method in _SAFE and split_domain_port(host)[0]:
        return HttpResponsePermanentRedirect(f"https://{host}{request.get_full_path()}")
    return _refuse(request)


def _refuse(request: HttpRequest) -> HttpResponse:
    """Refuse a request, and record it as any other refusal if it was to send a message."""
    exc = limit_unauthenticated(HttpsRequired(), request)
    if request.method == "POST" and bodies.takes_messages(request.path_info):
        accounting.refused(
            exc,
            # Whoever it is needs another token: this one was sent unencrypted.
            client=client_of_refused(request, exc),
            source_ip=source_ip(request),
            duration_ms=0,
            message_id=None,
            contract=bodies.contract_of(request.path_info),
        )
    return answer_to(exc)
