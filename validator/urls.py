import uuid
from collections.abc import Callable
from typing import Any, Final

from django.urls import URLPattern, path, register_converter

from validator import pages
from validator.contracts import contracts
from validator.message_status import MessageStatusView
from validator.openapi.view import SchemaView
from validator.views import view_of

_HEX_AND_DASH: Final = "-".join(f"[0-9a-f]{{{digits}}}" for digits in (8, 4, 4, 4, 12))


class UuidConverter:
    """A UUID in any spelling of RFC 9562, section 4: in any case, as a URN, or in braces."""

    regex = rf"(?i:(?:urn:uuid:)?{_HEX_AND_DASH}|\{{{_HEX_AND_DASH}\}})"

    def to_python(self, value: str) -> uuid.UUID:
        return uuid.UUID(value.lower())

    def to_url(self, value: uuid.UUID) -> str:
        return str(value)


register_converter(UuidConverter, "any_uuid")


def _either(route: str, view: Callable[..., Any], name: str) -> list[URLPattern]:
    """Return the patterns of a path with and without its last slash.

    A redirect from one to the other would lose the method or the Authorization header of some
    clients. `reverse` and the OpenAPI document use the form with the slash.
    """
    return [path(route, view, name=name), path(f"{route}/", view, name=name)]


def patterns() -> list[URLPattern]:
    """Return the paths of the API: those of the contracts, and the others."""
    first, *others = contracts()
    # One name for all: metrics of HTTP, and so alerts, are about messages of any contract.
    return [
        path("", view_of(first).as_view(), name="messages"),
        *(
            pattern
            for contract in others
            for pattern in _either(
                contract.path.strip("/"), view_of(contract).as_view(), "messages"
            )
        ),
        *_either("messages/<any_uuid:message_id>", MessageStatusView.as_view(), "message-status"),
        *_either("docs", pages.docs, "docs"),
        *_either("schema", SchemaView.as_view(), "schema"),
    ]


urlpatterns = patterns()
