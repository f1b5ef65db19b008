"""Serves the OpenAPI document, as JSON or as YAML."""

from functools import cache
from typing import Any, Final

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer2
from rest_framework.request import Request
from rest_framework.views import APIView

from validator.openapi import operations  # noqa: F401 - its import registers the extensions

#: The names that tools ask for: RFC 9512 (YAML), the registered ones of OpenAPI, and older ones.
_JSON_TYPES: Final = (
    "application/json",
    "application/vnd.oai.openapi+json",
    "application/openapi+json",
)
_YAML_TYPES: Final = (
    *("application/yaml", "application/vnd.oai.openapi", "application/vnd.oai.openapi+yaml"),
    *("application/openapi+yaml", "application/x-yaml", "text/yaml", "text/x-yaml"),
    *("application/vnd.yaml", "text/vnd.yaml"),
)


def _named(renderer: Any, media_type: str) -> Any:
    """Return a renderer class that answers under another name."""
    return type(renderer.__name__, (renderer,), {"media_type": media_type})


_RENDERERS: Final = [
    *(_named(OpenApiJsonRenderer2, name) for name in _JSON_TYPES),
    *(_named(OpenApiYamlRenderer2, name) for name in _YAML_TYPES),
]


class SchemaView(APIView):
    """The OpenAPI document, as JSON or as YAML by the Accept header."""

    http_method_names = ["get", "head"]
    renderer_classes = _RENDERERS
    schema = None

    def get(self, request: Request) -> HttpResponse:
        media_type = request.accepted_renderer.media_type
        kind = OpenApiJsonRenderer2 if media_type in _JSON_TYPES else OpenApiYamlRenderer2
        return HttpResponse(_rendered(kind), content_type=media_type)


@cache
def _rendered(renderer: Any) -> bytes:
    """Return the document. Cached: it never changes, and takes as long as fifty messages."""
    document = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    rendered: bytes = renderer().render(document)
    return rendered
