"""The pages for browsers: the API's own pages, and `/docs/`.

Pages load nothing from other hosts, because users type a token into one of them.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response

from cpsite.message import FIELD_NAMES

#: Scripts, styles and requests only from this host; no page may be framed.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
POLICY: Final = _POLICY.format(styles="")
#: Swagger UI sets style attributes, which need 'unsafe-inline'.
DOCS_POLICY: Final = _POLICY.format(styles=" 'unsafe-inline'")


class PageRenderer(BrowsableAPIRenderer):
    """DRF's renderer with our own page: a form for the four fields instead of one for raw JSON.

    A view names its template in `page`. Without one, the page shows only the answer.
    """

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> Any:
        view = (renderer_context or {}).get("view")
        self.template = getattr(view, "page", "validator/answer.html")
        return super().render(data, accepted_media_type, renderer_context)

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        request, response = renderer_context["request"], renderer_context["response"]
        response["Content-Security-Policy"] = POLICY
        content = JSONRenderer().render(data, "application/json; indent=2").decode()
        return {
            "request": request,
            # Opening the form sends no message, so there is no answer to show yet.
            "shows_answer": not (
                self.template == "validator/send.html" and request.method == "GET"
            ),
            "status": f"{response.status_code} {response.status_text}",
            "headers": _shown_headers(response),
            "content": content,
            "example": json.dumps({"data": dict.fromkeys(FIELD_NAMES, "some text")}),
            "fields": FIELD_NAMES,
            "max_field_length": settings.MAX_FIELD_LENGTH,
            "max_body_bytes": settings.MAX_BODY_BYTES,
        }


def _shown_headers(response: Response) -> list[tuple[str, str]]:
    names = ("WWW-Authenticate", "Retry-After", "Idempotent-Replayed", "Allow")
    return [(name, response[name]) for name in names if name in response]


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Return Swagger UI for `/schema/`."""
    response = render(request, "validator/docs.html")
    response["Content-Security-Policy"] = DOCS_POLICY
    return response
