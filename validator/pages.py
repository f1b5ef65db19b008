"""The pages for browsers: the API's own pages, and `/docs/`.

Pages load nothing from other hosts, because users type a token into one of them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response

from cpsite import json_text
from cpsite.web.health import safe
from validator.contracts import Served, contracts
from validator.fields import Choice, Kind, Object

#: Scripts, styles and requests only from this host; no page may be framed.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
POLICY: Final = _POLICY.format(styles="")
#: Swagger UI sets style attributes, which need 'unsafe-inline'.
DOCS_POLICY: Final = _POLICY.format(styles=" 'unsafe-inline'")


class PageRenderer(BrowsableAPIRenderer):
    """DRF's renderer with our own page: a form for a contract's fields, not one for raw JSON.

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
            **_of_contract(getattr(renderer_context["view"], "contract", None)),
            "max_field_length": settings.MAX_FIELD_LENGTH,
            "max_body_bytes": settings.MAX_BODY_BYTES,
        }


def _of_contract(contract: Served | None) -> dict[str, Any]:
    """Return what the form of a contract shows, or nothing for a page without a form."""
    if contract is None:
        return {}
    return {
        "contract": contract,
        "others": contracts() if len(contracts()) > 1 else (),
        # As it stands between quotes of a shell.
        "example": json_text.write({"data": contract.example}).replace("'", "'\\''"),
        "inputs": list(_inputs(contract.fields)),
    }


def _inputs(fields: Mapping[str, Kind], path: str = "") -> Iterable[dict[str, Any]]:
    """Yield what the form has for each field: a fieldset for an object, else an input."""
    for name, field in fields.items():
        yield {
            "name": name,
            "path": f"{path}{name}",
            "kind": field.kind,
            "is_required": field.required,
            "help": field.help_text,
            "example": json_text.write(field.example),
            "typed": field.example if isinstance(field.example, str) else None,
            "choices": field.texts if isinstance(field, Choice) else (),
            "inputs": list(_inputs(cast("Any", field.fields), f"{path}{name}."))
            if isinstance(field, Object)
            else (),
        }


def _shown_headers(response: Response) -> list[tuple[str, str]]:
    names = ("WWW-Authenticate", "Retry-After", "Idempotent-Replayed", "Allow")
    return [(name, response[name]) for name in names if name in response]


@safe
def docs(request: HttpRequest) -> HttpResponse:
    """Return Swagger UI for `/schema/`."""
    response = render(request, "validator/docs.html")
    response["Content-Security-Policy"] = DOCS_POLICY
    return response
