"""Chooses the renderer of an answer by the request's Accept header (RFC 9110, section 12.5.1)."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from validator.exceptions import NotAcceptable

_HTML: Final = "text/html"


class _Range(NamedTuple):
    """A media range of an Accept header, without parameters, and its quality from 0 to 1."""

    media_type: str
    quality: float

    @property
    def precision(self) -> int:
        """How precisely it names a type: 0 for `*/*`, 1 for `text/*`, 2 for `text/html`."""
        return 0 if self.media_type == "*/*" else 1 if self.media_type.endswith("/*") else 2

    def covers(self, media_type: str) -> bool:
        main = media_type.partition("/")[0]
        return self.media_type in {"*/*", f"{main}/*", media_type}


class ContentNegotiation(DefaultContentNegotiation):
    """Prefers what the client prefers, but a page only for who opens one.

    Java's HttpURLConnection and other libraries accept HTML before JSON, like a browser. They need
    the message's id, so HTML answers them only where nothing else is acceptable. A view that has a
    page of its own (`page`) shows it to a GET that prefers HTML.
    """

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> Any:
        renderers = list(renderers)
        ranges = [_range(text) for text in self.get_accept_list(request)] or [_Range("*/*", 1.0)]
        chosen, best = None, (False, 0.0, 0)
        for renderer in renderers:
            media_type = str(renderer.media_type)
            quality, precision = _quality(media_type, ranges)
            rank = (media_type != _HTML or _opens_page(request), quality, precision)
            if quality > 0 and rank > best:
                chosen, best = renderer, rank
        if chosen is None:
            raise NotAcceptable(str(renderer.media_type) for renderer in renderers)
        return chosen, chosen.media_type


def _opens_page(request: Request) -> bool:
    view = request.parser_context["view"]
    return request.method in {"GET", "HEAD"} and hasattr(view, "page")


def _quality(media_type: str, ranges: Iterable[_Range]) -> tuple[float, int]:
    """Return the quality of a media type, and how precisely it is named.

    The most precise range that covers it decides.
    """
    of_type = [found for found in ranges if found.covers(media_type)]
    if not of_type:
        return 0.0, 0
    decisive = max(of_type, key=lambda found: (found.precision, found.quality))
    return decisive.quality, decisive.precision


def _range(text: str) -> _Range:
    media_type, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            quality = _number(value)
    # Java's HttpURLConnection writes `*` for `*/*`.
    return _Range("*/*" if media_type == "*" else media_type, quality)


def _number(text: str) -> float:
    """Return a quality from 0 to 1. What is not one is taken for 1, as if it were missing."""
    try:
        quality = float(text)
    except ValueError:
        return 1.0
    return quality if 0.0 <= quality <= 1.0 else 1.0
