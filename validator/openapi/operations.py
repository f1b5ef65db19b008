"""The operations of the API, and the extensions that make drf-spectacular use them."""

import json
from http import HTTPStatus
from typing import Any, Final

from django.conf import settings
from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from rest_framework import exceptions as drf
from rest_framework.views import APIView

from cpsite import json_text
from cpsite.audit.history import Status
from cpsite.message import CONTENT_TYPE
from validator import exceptions
from validator.contracts import Served, default
from validator.exceptions import REFUSALS
from validator.message_status import MessageStatusView, MessageUnknown
from validator.openapi.components import STRING, envelope_name, error_of, ref
from validator.openapi.responses import (
    STATUS_REFUSALS,
    WAIT,
    answers,
    challenge_and_wait,
    errors_by_status,
    examples_of,
    header,
    refusals,
    request_id,
)
from validator.views import MessageView

MESSAGES: Final = ["messages"]
#: A key, bare or quoted as in the IETF draft (validator/idempotency.py).
IDEMPOTENCY_KEY: Final = r'^([!#-+\--~]{1,255}|"[!#-+\--~]{1,255}")$'

#: No token in a header, one in a header, or either. OpenAPI has no scheme for a token in the body.
OPEN: Final[Any] = [{}]
BEARER: Final[Any] = [{"bearer": []}]
OPEN_OR_BEARER: Final[Any] = OPEN + BEARER

#: Message id of the examples.
_EXAMPLE_ID: Final = "6b1f1d5e-46d5-4c7c-9e5e-0d3f8f4f7c11"


def _example(contract: Served) -> Any:
    """Return a contract's example, with numbers that YAML and JSON can write."""
    return json.loads(json_text.write(contract.example))


def _suffix(contract: Served) -> str:
    """Return what makes an operation id unique: those of the default contract never change."""
    return "" if contract.is_default else f"_{contract.name}"


def _post(contract: Served) -> Any:
    schemas = {HTTPStatus.ACCEPTED.value: ref("schemas", "Receipt"), **refusals()}
    examples = examples_of(REFUSALS)
    examples[HTTPStatus.ACCEPTED] = {"queued": {"message_id": _EXAMPLE_ID, "status": "queued"}}
    broken = drf.ValidationError(
        {"data": {list(contract.fields)[-1]: ["This field is required."]}}, "required"
    )
    examples[HTTPStatus.BAD_REQUEST] = {
        exceptions.CONTRACT_BROKEN: exceptions.body(broken),
        **examples[HTTPStatus.BAD_REQUEST],
    }
    headers = [
        header(
            "Idempotency-Key",
            {**STRING, "pattern": IDEMPOTENCY_KEY},
            "1 to 255 visible ASCII characters, without comma and quotation mark. If you repeat a "
            "request with the same key and data, it counts as the same message.",
        ),
        header(
            "Idempotent-Replayed",
            {**STRING, "const": "true"},
            "Present if an earlier request with the same key has queued the message.",
            response=[HTTPStatus.ACCEPTED.value],
        ),
        *challenge_and_wait(WAIT),
    ]
    return extend_schema(
        operation_id=f"send_message{_suffix(contract)}",
        tags=MESSAGES,
        summary="Send a message" + ("" if contract.is_default else f" of {contract.name}"),
        description=f"{contract.summary} The answer 202 means that the message is safely queued "
        f"and will be stored. The body is at most {settings.MAX_BODY_BYTES} bytes of UTF-8.",
        auth=OPEN_OR_BEARER,
        request={CONTENT_TYPE: ref("schemas", envelope_name(contract))},
        responses=answers(schemas, examples),
        parameters=[*headers, *request_id(schemas)],
        examples=[
            # First what /docs/ sends: the token comes from its button Authorize.
            OpenApiExample(
                "A message, with the token in the header",
                {"data": _example(contract)},
                request_only=True,
            ),
            OpenApiExample(
                "A message, with the token in the body",
                {"token": "your token", "data": _example(contract)},
                request_only=True,
            ),
        ],
    )


def _get(contract: Served) -> Any:
    refusals_of_get = (exceptions.NotAcceptable,)
    schemas = {
        HTTPStatus.OK.value: ref("schemas", "Service"),
        **errors_by_status(refusals_of_get),
    }
    page = {(HTTPStatus.OK.value, "text/html"): OpenApiResponse(STRING, "A form, for browsers.")}
    return extend_schema(
        operation_id=f"describe_service{_suffix(contract)}",
        tags=MESSAGES,
        summary="Describe the service; a form for browsers",
        auth=OPEN,
        responses=answers(schemas, examples_of(refusals_of_get)) | page,
        parameters=[*challenge_and_wait([HTTPStatus.SERVICE_UNAVAILABLE]), *request_id(schemas)],
    )


def _status() -> Any:
    schemas = {
        HTTPStatus.OK.value: ref("schemas", "MessageStatus"),
        **errors_by_status(STATUS_REFUSALS),
        # An invalid id is a 404, too.
        HTTPStatus.NOT_FOUND.value: error_of([MessageUnknown.default_code, "not_found"]),
    }
    queued = {
        "message_id": _EXAMPLE_ID,
        "status": Status.QUEUED.value,
        "contract": default().name,
        "accepted_at": "2026-11-24T18:01:06.515536Z",
        "stored_at": None,
        "object_key": None,
    }
    stored = queued | {
        "status": Status.STORED.value,
        "stored_at": "2026-11-24T18:01:06.528219Z",
        "object_key": f"messages/2026/11/24/{_EXAMPLE_ID}.json",
    }
    examples = examples_of(STATUS_REFUSALS)
    examples[HTTPStatus.OK] = {"stored": stored, "queued": queued}
    headers = challenge_and_wait([HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE])
    return extend_schema(
        operation_id="get_message_status",
        tags=MESSAGES,
        summary="Get the status of a message",
        description="Needs the token of the client that sent the message. The status may be a "
        "second behind. Old messages are unknown once operators have pruned the audit log.",
        auth=BEARER,
        responses=answers(schemas, examples),
        parameters=[_message_id(), *headers, *request_id(schemas)],
    )


def _message_id() -> OpenApiParameter:
    return OpenApiParameter(
        "message_id",
        {**STRING, "format": "uuid"},
        OpenApiParameter.PATH,
        description="The `message_id` of the answer 202, in any spelling of RFC 9562, section 4: "
        "in any case, as a URN (`urn:uuid:…`), or in braces.",
        required=True,
    )


class MessageStatusViewExtension(OpenApiViewExtension):  # type: ignore[no-untyped-call] # registers
    """Replaces the view in drf-spectacular by one with the documented operations."""

    target_class = "validator.message_status.MessageStatusView"

    def view_replacement(self) -> type[APIView]:
        return extend_schema_view(get=_status())(type("Documented", (MessageStatusView,), {}))


class MessageViewExtension(OpenApiViewExtension):  # type: ignore[no-untyped-call] # registers
    """Replaces the view in drf-spectacular by one with the documented operations."""

    target_class = "validator.views.MessageView"
    match_subclasses = True  # of each contract

    def view_replacement(self) -> type[APIView]:
        view: type[MessageView] = self.target
        described = extend_schema_view(get=_get(view.contract), post=_post(view.contract))
        return described(type("Documented", (view,), {}))
