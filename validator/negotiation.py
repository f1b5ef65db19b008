"""Content negotiation, with a straight way for the programs that are nearly all of our callers."""

from collections.abc import Iterable
from typing import Final

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

#: What curl, HTTP libraries and SDKs send when they say nothing special.
_PLAIN: Final = {"", "*/*", "application/json", "application/json, text/plain, */*"}


class StraightNegotiation(DefaultContentNegotiation):
    """DRF's rules, which for a plain Accept header all come to the same: the first renderer.

    DRF parses each media type anew for each request, which is a tenth of the work of `POST /`.
    """

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderers = list(renderers)
        first = renderers[0]
        if isinstance(first, JSONRenderer) and request.META.get("HTTP_ACCEPT", "") in _PLAIN:
            return first, first.media_type
        found: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        return found
