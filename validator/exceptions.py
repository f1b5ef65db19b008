"""Error answers of the API. All have the same shape and a stable code.

    {"code": "contract_broken", "detail": "…",
     "errors": {"data.field1": [{"code": "required", "detail": "…"}]}}

Only a broken contract has `errors`. Clients may rely on the codes. The texts are for people and may
change.
"""

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rest_framework import exceptions, status
from rest_framework.response import Response

from cpsite.web import fallback_answers

logger = logging.getLogger(__name__)

#: Retry-After of a 503, in seconds.
RETRY_AFTER_SECONDS: Final = 5

CONTRACT_BROKEN: Final = "contract_broken"
INTERNAL_ERROR: Final = fallback_answers.INTERNAL_ERROR["code"]

#: Codes of errors of a field, from DRF and from `validator/serializers.py`.
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
#: Prefix of a field's error code in the reason of an audit event.
REASON_OF_FIELD: Final = "contract_"


class Unauthorized(exceptions.APIException):
    """A 401. Without an authentication class DRF would turn its AuthenticationFailed into a 403."""

    status_code = status.HTTP_401_UNAUTHORIZED
    # RFC 6750, section 3: without a token in the request, the challenge has no error code.
    auth_header = 'Bearer realm="cpsite"'


class TokenMissing(Unauthorized):
    """Neither the body nor the Authorization header holds a token."""

    default_detail = "A token is required, in the body or as a Bearer token."
    default_code = "token_missing"


class TokenUnknown(Unauthorized):
    """The token is unknown or not a string, or body and header name different clients."""

    default_detail = "The token is not known."
    default_code = "token_unknown"
    auth_header = 'Bearer realm="cpsite", error="invalid_token"'


class BodyTooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is longer than {limit} bytes."
    default_code = "body_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(self.default_detail.format(limit=limit))


class MessageTooLarge(exceptions.APIException):
    """The message fits all limits, but its characters grow too long when encoded for SQS."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The message, encoded for SQS, is over its size limit. Shorten the fields."
    default_code = "message_too_large"


class LengthRequired(exceptions.APIException):
    """A chunked body. Its length is unknown before it is read, and WSGI does not mark its end."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_detail = "The request needs a Content-Length; chunked bodies are not accepted."
    default_code = "length_required"


class MalformedJSON(exceptions.ParseError):
    default_detail = "The body is not valid JSON."
    default_code = "malformed_json"


class NotAnObject(exceptions.ParseError):
    default_detail = "The body is not a JSON object."
    default_code = "not_an_object"


class ServiceUnavailable(exceptions.APIException):
    """A temporary failure on our side. The client should send the same request again later."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    wait = RETRY_AFTER_SECONDS


class QueueUnavailable(ServiceUnavailable):
    default_detail = "The queue did not confirm the message. Send it again."
    default_code = "queue_unavailable"


class TokenCheckUnavailable(ServiceUnavailable):
    default_detail = "Tokens cannot be checked at the moment. Send the message again."
    default_code = "tokens_unavailable"


class IdempotencyKeyInvalid(exceptions.ParseError):
    default_detail = "The Idempotency-Key is not 1 to 255 printable ASCII characters."
    default_code = "idempotency_key_invalid"


class IdempotencyKeyReused(exceptions.APIException):
    """The key was used for other data. To send this data, the client needs another key."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = "The Idempotency-Key was sent before, with other data."
    default_code = "idempotency_key_reused"


class IdempotencyInProgress(exceptions.APIException):
    """Another request with this key is in progress, or has just failed without an answer."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "A request with this Idempotency-Key is in progress. Try again."
    default_code = "idempotency_in_progress"
    wait = 1


class IdempotencyUnavailable(ServiceUnavailable):
    """The database that holds keys is unreachable. Accepting could create a second message."""

    default_detail = "The Idempotency-Key cannot be checked at the moment. Send the message again."
    default_code = "idempotency_unavailable"


#: Every refusal of `POST /`, except a broken contract and an internal error. Add a new one here
#: first: metrics, the OpenAPI document and docs/api.md follow from it.
REFUSALS: Final[tuple[type[exceptions.APIException], ...]] = (
    MalformedJSON,
    NotAnObject,
    IdempotencyKeyInvalid,
    TokenMissing,
    TokenUnknown,
    exceptions.NotAcceptable,
    IdempotencyInProgress,
    LengthRequired,
    BodyTooLarge,
    MessageTooLarge,
    exceptions.UnsupportedMediaType,
    IdempotencyKeyReused,
    exceptions.Throttled,
    QueueUnavailable,
    TokenCheckUnavailable,
    IdempotencyUnavailable,
)


def exception_handler(exc: Exception, _context: Mapping[str, Any]) -> Response:
    """Return the error answer to `exc`. An unexpected exception is a 500 without details."""
    if not isinstance(exc, exceptions.APIException):
        logger.error("request_failed", exc_info=exc)
        exc = exceptions.APIException(
            fallback_answers.INTERNAL_ERROR["detail"], code=INTERNAL_ERROR
        )
    return Response(body(exc), status=exc.status_code, headers=_headers(exc))


def code_of(exc: exceptions.APIException) -> str:
    """Return the stable code of the answer to `exc`."""
    if isinstance(exc, exceptions.ValidationError):
        return CONTRACT_BROKEN
    return str(getattr(exc.detail, "code", exc.default_code))


def reason_of(exc: exceptions.APIException) -> str:
    """Return the reason for the audit log: the code or, for a broken contract, the first error's.

    It never contains a field's name, because a client chooses the names of unknown fields.
    """
    if not isinstance(exc, exceptions.ValidationError):
        return code_of(exc)
    first = next(_field_errors(exc.detail))
    return f"{REASON_OF_FIELD}{first[1][0]['code']}"


def body(exc: exceptions.APIException) -> dict[str, Any]:
    """Return the JSON body of the answer to `exc`."""
    if not isinstance(exc, exceptions.ValidationError):
        return {"code": code_of(exc), "detail": str(exc.detail)}
    return {
        "code": CONTRACT_BROKEN,
        "detail": "The message does not fit the contract.",
        "errors": dict(_field_errors(exc.detail)),
    }


def _field_errors(detail: Any, path: str = "") -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Yield DRF's nested errors by flat names such as `data.field1`."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            printable = _printable(name)
            below = f"{path}.{printable}" if path else printable
            yield from _field_errors(inner, path if _is_of_whole_object(name, inner) else below)
    else:
        yield path, [{"code": str(error.code), "detail": str(error)} for error in detail]


def _is_of_whole_object(name: str, found: Any) -> bool:
    """Return whether `name` is DRF's key for errors of the whole object, not a client's field."""
    return name == "non_field_errors" and found[0].code != "unknown"


def _printable(name: str) -> str:
    """Return a field's name with lone surrogates escaped, which UTF-8 cannot encode."""
    return name.encode("utf-8", "backslashreplace").decode()


def _headers(exc: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if auth_header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait))
    return headers
