"""What an answer is rendered with, by the request's Accept header."""

from collections.abc import Iterable
from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class ContentNegotiation(DefaultContentNegotiation):
    """DRF's, for which an Accept that cannot be read is one that cannot be met."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> Any:
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except (TypeError, ValueError) as exc:  # of Django's parser for parameters (RFC 2231)
            raise NotAcceptable from exc
