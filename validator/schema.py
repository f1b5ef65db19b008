"""`GET /schema/`: the API as OpenAPI 3.1, for people's tools and for our own tests.

Written down rather than derived: a serializer tells neither what may stand in place of a token nor
why a request is refused. `tests/validator/test_schema.py` holds it against what the API does.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer2
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from rest_framework import exceptions as drf
from rest_framework.request import Request
from rest_framework.views import APIView

from cpsite.audit.history import Status
from cpsite.message import CONTENT_TYPE, FIELD_NAMES
from validator import exceptions
from validator.message_status import MessageStatusView, MessageUnknown, StatusUnavailable
from validator.views import MessageView

Schema = dict[str, Any]

#: Why a request to `POST /` may be refused.
REFUSALS: Final[tuple[type[drf.APIException], ...]] = (
    exceptions.MalformedJSON,
    exceptions.NotAnObject,
    exceptions.IdempotencyKeyInvalid,
    exceptions.TokenMissing,
    exceptions.TokenUnknown,
    drf.NotAcceptable,
    exceptions.IdempotencyInProgress,
    exceptions.LengthRequired,
    exceptions.BodyTooLarge,
    exceptions.MessageTooLarge,
    drf.UnsupportedMediaType,
    exceptions.IdempotencyKeyReused,
    drf.Throttled,
    exceptions.QueueUnavailable,
    exceptions.IdempotencyUnavailable,
    exceptions.TokenCheckUnavailable,
)
#: Why `GET /messages/<message_id>/` may tell nothing.
STATUS_REFUSALS: Final[tuple[type[drf.APIException], ...]] = (
    exceptions.TokenMissing,
    exceptions.TokenUnknown,
    MessageUnknown,
    drf.NotAcceptable,
    drf.Throttled,
    exceptions.TokenCheckUnavailable,
    StatusUnavailable,
)
#: What may be wrong with a field.
FIELD_CODES: Final = (
    "required",
    "null",
    "invalid",
    "blank",
    "max_length",
    "null_characters_not_allowed",
    "surrogate_characters_not_allowed",
    "unknown",
)
#: The statuses of what is not readable as HTTP, all with the code `bad_request`.
UNREADABLE: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_URI_TOO_LONG,
    HTTPStatus.EXPECTATION_FAILED,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.NOT_IMPLEMENTED,
)
MESSAGES: Final = ["messages"]
#: The statuses that tell when to come back.
WAIT: Final = (
    HTTPStatus.CONFLICT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
#: White space as Python's `str.isspace` has it, inside a class of a regular expression.
SPACE: Final = r"\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
#: A text that is not blank and holds no NUL.
TEXT: Final = rf"^[^\u0000]*[^\u0000{SPACE}][^\u0000]*$"
#: A key as it is, or in the quotes of the IETF's draft (validator/idempotency.py).
IDEMPOTENCY_KEY: Final = r'^([!#-~]{1,255}|"[!#-~]{1,255}")$'

#: Without a token, with one in a header, and with either. A body's token is none of OpenAPI's
#: schemes.
OPEN: Final[Any] = [{}]
BEARER: Final[Any] = [{"bearer": []}]
OPEN_OR_BEARER: Final[Any] = OPEN + BEARER

#: What those need that say more than their text.
_ARGUMENTS: Final[dict[type[drf.APIException], tuple[Any, ...]]] = {
    exceptions.BodyTooLarge: (settings.MAX_BODY_BYTES,),
    drf.UnsupportedMediaType: ("text/plain",),
    drf.Throttled: (30,),
}
#: As RFC 9110 has them, and Python from 3.13 on.
_PHRASES: Final = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
#: Of the example that goes through the answers.
_EXAMPLE_ID: Final = "6b1f1d5e-46d5-4c7c-9e5e-0d3f8f4f7c11"

_STRING: Final = {"type": "string"}
_MOMENT: Final = {"type": ["string", "null"], "format": "date-time"}


def _ref(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def _object(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def _one_of(texts: Iterable[str]) -> Schema:
    return {**_STRING, "enum": list(texts)}


def _error(codes: Iterable[str]) -> Schema:
    return _object({"code": _one_of(codes), "detail": _STRING})


# --- POST / and GET / ---------------------------------------------------------------------------


def refusals() -> dict[int, Schema]:
    """Return the schema of each answer that refuses a message."""
    schemas = _codes_by_status(REFUSALS)
    broken = _ref("schemas", "ContractBroken")
    schemas[HTTPStatus.BAD_REQUEST] = {"oneOf": [broken, schemas[HTTPStatus.BAD_REQUEST]]}
    return schemas


def _codes_by_status(refusals: Iterable[type[drf.APIException]]) -> dict[int, Schema]:
    """Return the schema of each answer with an error: of these, and of those that any path has."""
    codes: dict[int, list[str]] = {status: ["bad_request"] for status in UNREADABLE}
    for kind in refusals:
        codes.setdefault(kind.status_code, []).append(kind.default_code)
    codes[HTTPStatus.INTERNAL_SERVER_ERROR] = ["internal_error"]
    return {status: _error(codes[status]) for status in sorted(codes)}


def _phrase(status: int) -> str:
    return _PHRASES.get(status, HTTPStatus(status).phrase)


def _responses(
    schemas: Mapping[int, Schema], examples: Mapping[int, Mapping[str, Any]]
) -> dict[tuple[int, str], OpenApiResponse]:
    """Return the answers by status; `examples` are bodies, by status and by what they show."""
    return {
        (status, CONTENT_TYPE): OpenApiResponse(
            schema,
            _phrase(status),
            examples=[
                OpenApiExample(name, value, response_only=True)
                for name, value in examples.get(status, {}).items()
            ],
        )
        for status, schema in schemas.items()
    }


def _examples_of(
    refusals: Iterable[type[drf.APIException]],
) -> dict[int, dict[str, dict[str, Any]]]:
    """Return the body of each refusal, by its status and code."""
    bodies: dict[int, dict[str, dict[str, Any]]] = {
        status.value: {
            "bad_request": {"code": "bad_request", "detail": "The request is not acceptable."}
        }
        for status in UNREADABLE
    }
    for kind in refusals:
        told = kind(*_ARGUMENTS.get(kind, ()))
        bodies.setdefault(kind.status_code, {})[kind.default_code] = exceptions.body(told)
    bodies[HTTPStatus.INTERNAL_SERVER_ERROR.value] = {
        "internal_error": {
            "code": "internal_error",
            "detail": "Something went wrong on our side.",
        }
    }
    return bodies


def _header(name: str, schema: Schema, description: str, **options: Any) -> OpenApiParameter:
    return OpenApiParameter(
        name, schema, OpenApiParameter.HEADER, description=description, **options
    )


def _request_id(statuses: Iterable[int]) -> list[OpenApiParameter]:
    """Return the header of a request, and of all its answers."""
    name = "X-Request-ID"
    return [
        _header(
            name,
            _STRING,
            "For the log. Up to 128 of letters, digits and `._:=-`, or it is replaced.",
        ),
        _header(name, _STRING, "Yours, or a new one.", response=list(statuses), required=True),
    ]


def _challenge_and_wait(wait: Iterable[HTTPStatus]) -> list[OpenApiParameter]:
    """Return the headers of a 401 and of the answers that tell when to come back."""
    return [
        _header(
            "WWW-Authenticate",
            _STRING,
            "As RFC 6750 has it.",
            response=[HTTPStatus.UNAUTHORIZED.value],
            required=True,
        ),
        _header(
            "Retry-After",
            {"type": "integer", "minimum": 1},
            "Seconds.",
            response=[status.value for status in wait],
            required=True,
        ),
    ]


def _post() -> Any:
    schemas = {HTTPStatus.ACCEPTED.value: _ref("schemas", "Receipt"), **refusals()}
    examples = _examples_of(REFUSALS)
    examples[HTTPStatus.ACCEPTED] = {"queued": {"message_id": _EXAMPLE_ID, "status": "queued"}}
    broken = drf.ValidationError(
        {"data": {FIELD_NAMES[-1]: ["This field is required."]}}, "required"
    )
    examples[HTTPStatus.BAD_REQUEST] = {
        exceptions.CONTRACT_BROKEN: exceptions.body(broken),
        **examples[HTTPStatus.BAD_REQUEST],
    }
    headers = [
        _header(
            "Idempotency-Key",
            {**_STRING, "pattern": IDEMPOTENCY_KEY},
            "1 to 255 visible ASCII characters. A request that is sent again with the same key "
            "and the same data is the same message.",
        ),
        _header(
            "Idempotent-Replayed",
            {**_STRING, "const": "true"},
            "There when an earlier request with the same key has queued the message.",
            response=[HTTPStatus.ACCEPTED.value],
        ),
        *_challenge_and_wait(WAIT),
    ]
    return extend_schema(
        operation_id="send_message",
        tags=MESSAGES,
        summary="Send a message",
        description="The answer 202 means that the message is safely queued and will be stored. "
        f"The body is at most {settings.MAX_BODY_BYTES} bytes of UTF-8.",
        auth=OPEN_OR_BEARER,
        request={CONTENT_TYPE: _ref("schemas", "Envelope")},
        responses=_responses(schemas, examples),
        parameters=[*headers, *_request_id(schemas)],
        examples=[
            OpenApiExample(
                "A message",
                {"token": "your token", "data": dict.fromkeys(FIELD_NAMES, "some text")},
                request_only=True,
            )
        ],
    )


def _get() -> Any:
    schemas = {
        HTTPStatus.OK.value: _ref("schemas", "Service"),
        HTTPStatus.NOT_ACCEPTABLE.value: _error([drf.NotAcceptable.default_code]),
        **{status.value: _error(["bad_request"]) for status in UNREADABLE},
    }
    page = {(HTTPStatus.OK.value, "text/html"): OpenApiResponse(_STRING, "For a browser.")}
    return extend_schema(
        operation_id="describe_service",
        tags=MESSAGES,
        summary="What this is; a form for browsers",
        auth=OPEN,
        responses=_responses(schemas, {}) | page,
        parameters=_request_id(schemas),
    )


def _status() -> Any:
    schemas = {
        HTTPStatus.OK.value: _ref("schemas", "MessageStatus"),
        **_codes_by_status(STATUS_REFUSALS),
        # Of what is no id, too.
        HTTPStatus.NOT_FOUND.value: _error([MessageUnknown.default_code, "not_found"]),
    }
    queued = {
        "message_id": _EXAMPLE_ID,
        "status": Status.QUEUED.value,
        "accepted_at": "2026-11-24T18:01:06.515536Z",
        "stored_at": None,
        "object_key": None,
    }
    stored = queued | {
        "status": Status.STORED.value,
        "stored_at": "2026-11-24T18:01:06.528219Z",
        "object_key": f"messages/2026/11/24/{_EXAMPLE_ID}.json",
    }
    examples = _examples_of(STATUS_REFUSALS)
    examples[HTTPStatus.OK] = {"stored": stored, "queued": queued}
    headers = _challenge_and_wait([HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE])
    return extend_schema(
        operation_id="get_message_status",
        tags=MESSAGES,
        summary="Ask what has become of a message",
        description="With the token of the client that sent it. The audit log, which is asked, may "
        "be a second behind, and forgets old messages when its operators prune it.",
        auth=BEARER,
        responses=_responses(schemas, examples),
        parameters=[*headers, *_request_id(schemas)],
    )


class MessageStatusViewExtension(OpenApiViewExtension):  # type: ignore[no-untyped-call] # registers
    """What drf-spectacular uses instead of the view."""

    target_class = "validator.message_status.MessageStatusView"

    def view_replacement(self) -> type[APIView]:
        return extend_schema_view(get=_status())(type("Documented", (MessageStatusView,), {}))


class MessageViewExtension(OpenApiViewExtension):  # type: ignore[no-untyped-call] # registers
    """What drf-spectacular uses instead of the view."""

    target_class = "validator.views.MessageView"

    def view_replacement(self) -> type[APIView]:
        return extend_schema_view(get=_get(), post=_post())(type("Documented", (MessageView,), {}))


# --- What is no view of DRF's ------------------------------------------------------------------


def complete(result: Schema, **_kwargs: Any) -> Schema:
    """Add to the document what drf-spectacular does not see. A postprocessing hook of its."""
    result["paths"]["/"]["post"]["requestBody"]["required"] = True
    result["paths"] |= {
        "/health/live": _health("is_alive", "Whether the process answers", ["Live"]),
        "/health/ready": _health(
            "is_ready", "Whether messages can be accepted", ["Ready", "Unavailable"]
        ),
    }
    components = result.setdefault("components", {})
    components["schemas"] = _schemas()
    components["responses"] = _elsewhere()
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    return result


def _json_answer(description: str, schema: Schema, **headers: Schema) -> Schema:
    headers["X-Request-ID"] = {"schema": _STRING, "required": True}
    return {
        "description": description,
        "headers": headers,
        "content": {CONTENT_TYPE: {"schema": schema}},
    }


def _health(operation_id: str, summary: str, names: list[str]) -> Schema:
    statuses = [HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE]
    answers = {
        str(status.value): _json_answer(_phrase(status.value), _ref("schemas", name))
        for status, name in zip(statuses, names, strict=False)
    }
    return {
        "get": {
            "operationId": operation_id,
            "summary": summary,
            "tags": ["health"],
            "responses": answers,
        }
    }


def _elsewhere() -> Schema:
    """Return the answers of other paths and methods."""
    allow = {"schema": _STRING, "required": True}
    return {
        "NotFound": _json_answer("Another path.", _error(["not_found"])),
        "MethodNotAllowed": _json_answer(
            "Another method than the path takes.",
            _error([drf.MethodNotAllowed.default_code]),
            Allow=allow,
        ),
    }


def _schemas() -> Schema:
    probes = {"type": "object", "additionalProperties": _one_of(["ok", "unavailable"])}
    return {
        **_message_schemas(),
        "Service": _object(
            {
                "service": {**_STRING, "const": "cpsite"},
                "send": _STRING,
                "fields": {"type": "array", "items": _one_of(FIELD_NAMES)},
                "max_field_length": {"type": "integer"},
                "max_body_bytes": {"type": "integer"},
            }
        ),
        "Live": _object({"status": _one_of(["ok"])}),
        "Ready": _object({"status": _one_of(["ok", "degraded"]), "checks": probes}),
        "Unavailable": _object({"status": _one_of(["unavailable"]), "checks": probes}),
    }


def _message_schemas() -> Schema:
    text = {
        **_STRING,
        "description": "Not blank, and stored as it is.",
        "minLength": 1,
        "maxLength": settings.MAX_FIELD_LENGTH,
        "pattern": TEXT,
    }
    token = {**_STRING, "description": "Needed unless it comes as `Authorization: Bearer …`."}
    wrong = _object({"code": _one_of(FIELD_CODES), "detail": _STRING})
    return {
        "Envelope": _object({"data": _ref("schemas", "Data")}, token=token),
        "Data": _object(dict.fromkeys(FIELD_NAMES, text)),
        "Receipt": _object(
            {
                "message_id": {**_STRING, "format": "uuid"},
                "status": {**_STRING, "const": "queued"},
            }
        ),
        "MessageStatus": _object(
            {
                "message_id": {**_STRING, "format": "uuid"},
                "status": {
                    **_one_of(Status),
                    "description": "`failed`: the last try to store it was given up; it is tried "
                    "again, or waits for an operator among the dead letters.",
                },
                "accepted_at": _MOMENT,
                "stored_at": _MOMENT,
                "object_key": {"type": ["string", "null"]},
            }
        ),
        "ContractBroken": _object(
            {
                "code": {**_STRING, "const": exceptions.CONTRACT_BROKEN},
                "detail": _STRING,
                "errors": {
                    "type": "object",
                    "description": "By the names of what is wrong, such as `data.field4`.",
                    "minProperties": 1,
                    "additionalProperties": {"type": "array", "minItems": 1, "items": wrong},
                },
            }
        ),
    }


# --- Serving it --------------------------------------------------------------------------------


_RENDERERS: Final[dict[str, Any]] = {
    renderer.media_type: renderer for renderer in (OpenApiJsonRenderer2, OpenApiYamlRenderer2)
}


class SchemaView(APIView):
    """The OpenAPI document, as JSON or as YAML; what Accept says."""

    renderer_classes = list(_RENDERERS.values())
    schema = None

    def get(self, request: Request) -> HttpResponse:
        media_type = request.accepted_renderer.media_type
        return HttpResponse(_rendered(media_type), content_type=media_type)


@cache
def _rendered(media_type: str) -> bytes:
    """Return the document, made once: it takes as long as fifty messages, and does not change."""
    document = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    rendered: bytes = _RENDERERS[media_type]().render(document)
    return rendered
