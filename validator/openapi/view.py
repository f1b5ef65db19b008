"""Serves the OpenAPI document, as JSON or as YAML."""

from functools import cache
from typing import Any, Final

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer2
from rest_framework.request import Request
from rest_framework.views import APIView

from validator.openapi import operations  # noqa: F401 - its import registers the extensions

_RENDERERS: Final[dict[str, Any]] = {
    renderer.media_type: renderer for renderer in (OpenApiJsonRenderer2, OpenApiYamlRenderer2)
}


class SchemaView(APIView):
    """The OpenAPI document, as JSON or as YAML by the Accept header."""

    renderer_classes = list(_RENDERERS.values())
    schema = None

    def get(self, request: Request) -> HttpResponse:
        media_type = request.accepted_renderer.media_type
        return HttpResponse(_rendered(media_type), content_type=media_type)


@cache
def _rendered(media_type: str) -> bytes:
    """Return the document. Cached: it never changes, and takes as long as fifty messages."""
    document = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    rendered: bytes = _RENDERERS[media_type]().render(document)
    return rendered
