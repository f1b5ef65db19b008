"""What a browser gets: the API's own pages, and `/docs/`.

Everything that a page loads comes from us: a token is typed into one of them.
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

#: Scripts, styles and requests from here and nowhere else; nobody may put a page into a frame.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
POLICY: Final = _POLICY.format(styles="")
#: Swagger UI sets style attributes.
DOCS_POLICY: Final = _POLICY.format(styles=" 'unsafe-inline'")


class PageRenderer(BrowsableAPIRenderer):
    """DRF's, with a page of ours: a form for the four fields instead of one for raw JSON.

    A view names its template as `page`; without one it is the answer alone.
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
            # Who opens the form has asked for nothing yet.
            "shows_answer": not (
                self.template == "validator/send.html" and request.method == "GET"
            ),
            "status": f"{response.status_code} {response.status_text}",
            "headers": _shown(response),
            "content": content,
            "example": json.dumps({"data": dict.fromkeys(FIELD_NAMES, "some text")}),
            "fields": FIELD_NAMES,
            "max_field_length": settings.MAX_FIELD_LENGTH,
            "max_body_bytes": settings.MAX_BODY_BYTES,
        }


def _shown(response: Response) -> list[tuple[str, str]]:
    names = ("WWW-Authenticate", "Retry-After", "Idempotent-Replayed", "Allow")
    return [(name, response[name]) for name in names if name in response]


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Show `/schema/` by Swagger UI."""
    response = render(request, "validator/docs.html")
    response["Content-Security-Policy"] = DOCS_POLICY
    return response
