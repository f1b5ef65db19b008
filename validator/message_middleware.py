"""The short way of a message: to its view, past the middleware that pages need."""

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, cast

from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from django.template.response import SimpleTemplateResponse
from django.urls import Resolver404, resolve

from cpsite.web.middleware import ContentLengthMiddleware, RequestIdMiddleware
from validator import metrics
from validator.middleware import TransportMiddleware
from validator.views import MessageView

Handler = Callable[[HttpRequest], HttpResponseBase]

#: The middleware of a message, from its view outwards: headers for browsers, HTTPS, length, id.
_CHAIN: Final = (
    XFrameOptionsMiddleware,
    SecurityMiddleware,
    TransportMiddleware,
    ContentLengthMiddleware,
    RequestIdMiddleware,
)


class MessageMiddleware:
    """Answers each POST that sends a message. No middleware after it runs for these.

    The rest is for pages: sessions, users, forms, static files, and fifteen HTTP metrics
    (docs/adr/0028). A message has its own two metrics, and the same headers as any other answer.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self._answer_of = lru_cache(maxsize=256)(_answer_of)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = None
        if request.method == "POST":
            answer = self._answer_of(request.path_info, settings.ROOT_URLCONF)
        if answer is None:
            return self.get_response(request)
        started = time.perf_counter()
        response = answer(request)
        metrics.observe_answer(request, response, seconds=time.perf_counter() - started)
        return response


def _answer_of(path: str, urlconf: str) -> Handler | None:
    """Return what answers a message that is sent to `path`; None if `path` takes none."""
    try:
        view = resolve(path, urlconf).func
    except Resolver404:
        return None
    if not issubclass(getattr(view, "cls", object), MessageView):
        return None
    answer: Any = convert_exception_to_response(_rendered(view))
    for middleware in _CHAIN:
        answer = middleware(answer)
    return cast("Handler", answer)


def _rendered(view: Handler) -> Handler:
    """Return `view` with its response rendered, as Django's handler does behind all middleware."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = view(request)
        return response.render() if isinstance(response, SimpleTemplateResponse) else response

    return answer
