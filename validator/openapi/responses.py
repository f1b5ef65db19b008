"""The answers: refusals by status, with their codes, headers and examples."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from django.conf import settings
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import exceptions as drf

from cpsite.message import CONTENT_TYPE
from cpsite.web import fallback_answers
from cpsite.web.bodies import PAGE_BODY_BYTES
from validator import exceptions
from validator.exceptions import REFUSALS
from validator.message_status import MessageUnknown, StatusNotRecorded, StatusUnavailable
from validator.openapi.components import STRING, Schema, error_of, ref

#: The refusals of `GET /messages/<message_id>/`.
STATUS_REFUSALS: Final[tuple[type[drf.APIException], ...]] = (
    exceptions.TokenMissing,
    exceptions.TokenUnknown,
    MessageUnknown,
    exceptions.NotAcceptable,
    drf.Throttled,
    StatusNotRecorded,
    exceptions.TokenCheckUnavailable,
    StatusUnavailable,
)


#: Statuses for requests that are not valid HTTP. All have the code `bad_request`.
UNREADABLE: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_URI_TOO_LONG,
    HTTPStatus.EXPECTATION_FAILED,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.NOT_IMPLEMENTED,
)


#: Statuses with a Retry-After header.
WAIT: Final = (
    HTTPStatus.CONFLICT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


#: What any request with a body may get, whether its path takes one or not.
_OF_BODIES: Final = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: exceptions.BodyTooLarge.default_code,
    HTTPStatus.SERVICE_UNAVAILABLE: fallback_answers.OVERLOADED["code"],
}


#: Arguments of the exceptions that need any.
_ARGUMENTS: Final[dict[type[drf.APIException], tuple[Any, ...]]] = {
    exceptions.BodyTooLarge: (settings.MAX_BODY_BYTES,),
    exceptions.ContentTypeUnsupported: ("text/plain",),
    exceptions.ContractNotAllowed: (("orders",),),
    drf.Throttled: (30,),
}


#: Names by RFC 9110, which Python has from 3.13 on.
_PHRASES: Final = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}


def refusals() -> dict[int, Schema]:
    """Return the schema of each answer that refuses a message."""
    schemas = errors_by_status(REFUSALS)
    broken = ref("schemas", "ContractBroken")
    schemas[HTTPStatus.BAD_REQUEST] = {"oneOf": [broken, schemas[HTTPStatus.BAD_REQUEST]]}
    return schemas


def errors_by_status(refusals: Iterable[type[drf.APIException]]) -> dict[int, Schema]:
    """Return the schemas of error answers by status: these, and the ones that any path may have."""
    codes: dict[int, list[str]] = {status: ["bad_request"] for status in UNREADABLE}
    for kind in refusals:
        codes.setdefault(kind.status_code, []).append(kind.default_code)
    codes[HTTPStatus.INTERNAL_SERVER_ERROR] = ["internal_error"]
    for status, code in _OF_BODIES.items():
        codes.setdefault(status, []).append(code)
    return {status: error_of(dict.fromkeys(codes[status])) for status in sorted(codes)}


def phrase(status: int) -> str:
    return _PHRASES.get(status, HTTPStatus(status).phrase)


def answers(
    schemas: Mapping[int, Schema], examples: Mapping[int, Mapping[str, Any]]
) -> dict[tuple[int, str], OpenApiResponse]:
    """Return the answers by status. `examples` holds bodies by status and name."""
    return {
        (status, CONTENT_TYPE): OpenApiResponse(
            schema,
            phrase(status),
            examples=[
                OpenApiExample(name, value, response_only=True)
                for name, value in examples.get(status, {}).items()
            ],
        )
        for status, schema in schemas.items()
    }


def examples_of(
    refusals: Iterable[type[drf.APIException]],
) -> dict[int, dict[str, dict[str, Any]]]:
    """Return an example body for each refusal, by status and code."""
    bodies: dict[int, dict[str, dict[str, Any]]] = {
        status.value: {"bad_request": dict(fallback_answers.BAD_REQUEST)} for status in UNREADABLE
    }
    for kind in refusals:
        exc = kind(*_ARGUMENTS.get(kind, ()))
        bodies.setdefault(kind.status_code, {})[kind.default_code] = exceptions.body(exc)
    bodies[HTTPStatus.INTERNAL_SERVER_ERROR.value] = {
        "internal_error": dict(fallback_answers.INTERNAL_ERROR)
    }
    bodies.setdefault(HTTPStatus.SERVICE_UNAVAILABLE.value, {})[
        fallback_answers.OVERLOADED["code"]
    ] = dict(fallback_answers.OVERLOADED)
    too_large = fallback_answers.body_too_large(PAGE_BODY_BYTES)
    bodies.setdefault(HTTPStatus.REQUEST_ENTITY_TOO_LARGE.value, {}).setdefault(
        too_large["code"], too_large
    )
    return bodies


def header(name: str, schema: Schema, description: str, **options: Any) -> OpenApiParameter:
    return OpenApiParameter(
        name, schema, OpenApiParameter.HEADER, description=description, **options
    )


def request_id(statuses: Iterable[int]) -> list[OpenApiParameter]:
    """Return X-Request-ID, as a header of the request and of all its answers."""
    name = "X-Request-ID"
    return [
        header(
            name,
            STRING,
            "Appears in the logs. Up to 128 letters, digits and `._:=-`; else it is replaced.",
        ),
        header(
            name, STRING, "The request's id, or a new one.", response=list(statuses), required=True
        ),
    ]


def challenge_and_wait(wait: Iterable[HTTPStatus]) -> list[OpenApiParameter]:
    """Return WWW-Authenticate for a 401, and Retry-After for the statuses in `wait`."""
    return [
        header(
            "WWW-Authenticate",
            STRING,
            "The challenge of RFC 6750.",
            response=[HTTPStatus.UNAUTHORIZED.value],
            required=True,
        ),
        header(
            "Retry-After",
            {"type": "integer", "minimum": 1},
            "Seconds to wait before the next request.",
            response=[status.value for status in wait],
            required=True,
        ),
    ]


def json_answer(description: str, schema: Schema, **headers: Schema) -> Schema:
    headers["X-Request-ID"] = {"schema": STRING, "required": True}
    return {
        "description": description,
        "headers": headers,
        "content": {CONTENT_TYPE: {"schema": schema}},
    }


def answers_elsewhere() -> Schema:
    """Return the answers to unknown paths and methods."""
    allow = {"schema": STRING, "required": True}
    return {
        "NotFound": json_answer("There is nothing at this path.", error_of(["not_found"])),
        "MethodNotAllowed": json_answer(
            "The path does not support this method.",
            error_of([drf.MethodNotAllowed.default_code]),
            Allow=allow,
        ),
    }
