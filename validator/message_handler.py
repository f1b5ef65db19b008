"""The short way of a message: past Django's request handling, and the middleware of pages."""

import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final, cast

from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from django.template.response import SimpleTemplateResponse
from django.urls import Resolver404, resolve

from cpsite.web.middleware import ContentLengthMiddleware, RequestIdMiddleware
from cpsite.web.wsgi_handler import Request
from validator import metrics
from validator.middleware import TransportMiddleware
from validator.views import MessageView

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Answer = Callable[[HttpRequest], HttpResponse]

#: The middleware of a message, from its view outwards: headers for browsers, HTTPS, length, id.
_CHAIN: Final = (
    XFrameOptionsMiddleware,
    SecurityMiddleware,
    TransportMiddleware,
    ContentLengthMiddleware,
    RequestIdMiddleware,
)


class MessageHandler:
    """A WSGI application that answers each POST that sends a message, and leaves others to `pages`.

    Most of what Django does around a view is for pages: sessions, users, forms, static files,
    signals, fifteen HTTP metrics. It took half of the work of a message (docs/adr/0028). A message
    has two HTTP metrics of its own, and an answer like that of the long way.
    """

    def __init__(self, pages: Application) -> None:
        self._pages = pages
        self._answer_to = lru_cache(maxsize=256)(_answer_to)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            request = Request(environ)
            answer = self._answer_to(request.path_info)
            if answer is not None:
                return _respond(answer, request, start_response)
        return self._pages(environ, start_response)


def _respond(
    answer: Answer, request: HttpRequest, start_response: Callable[..., Any]
) -> Iterable[bytes]:
    started = time.perf_counter()
    try:
        response = answer(request)
    finally:
        close_old_connections()  # as Django does after each request
    metrics.observe_answer(request, response, seconds=time.perf_counter() - started)
    start_response(
        f"{response.status_code} {response.reason_phrase}", list(response.headers.items())
    )
    return [response.content]


def _answer_to(path: str) -> Answer | None:
    """Return what answers a message that is sent to `path`; None if `path` takes none."""
    try:
        view = resolve(path, settings.ROOT_URLCONF).func
    except Resolver404:
        return None
    if not issubclass(getattr(view, "cls", object), MessageView):
        return None
    answer: Any = convert_exception_to_response(_rendered(view))
    for middleware in _CHAIN:
        answer = middleware(answer)
    return cast("Answer", answer)


def _rendered(view: Callable[[HttpRequest], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Return `view` with its response rendered, as Django's handler does behind all middleware."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = view(request)
        return response.render() if isinstance(response, SimpleTemplateResponse) else response

    return answer
