"""What the API answers when it does not accept: one shape, with a stable code.

    {"code": "contract_broken", "detail": "…",
     "errors": {"data.field1": [{"code": "required", "detail": "…"}]}}

`errors` is there for a broken contract only. Clients may rely on codes; texts are for people.
"""

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rest_framework import exceptions, status
from rest_framework.response import Response

logger = logging.getLogger(__name__)

#: Seconds that a client is asked to wait when the queue is away.
RETRY_AFTER_SECONDS: Final = 5

CONTRACT_BROKEN: Final = "contract_broken"
INTERNAL_ERROR: Final = "internal_error"

#: What may be wrong with a field: codes of DRF's fields and of ours (`validator/serializers.py`).
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
#: What the audit log's reason for a broken contract begins with, before the field's code.
REASON_OF_FIELD: Final = "contract_"


class Unauthorized(exceptions.APIException):
    """A 401. Not DRF's AuthenticationFailed: without an authenticator it turns that into a 403."""

    status_code = status.HTTP_401_UNAUTHORIZED
    # RFC 6750, section 3: a challenge without an error code where no token was presented.
    auth_header = 'Bearer realm="cpsite"'


class TokenMissing(Unauthorized):
    """Neither the body nor the Authorization header holds a token."""

    default_detail = "A token is required, in the body or as a Bearer token."
    default_code = "token_missing"


class TokenUnknown(Unauthorized):
    """The token is not one that we know, or is not a text, or body and header disagree."""

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
    """Within all limits, but full of characters that need several bytes each on the queue."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The message is longer on the queue than SQS takes. Shorten its fields."
    default_code = "message_too_large"


class LengthRequired(exceptions.APIException):
    """A chunked body: its length is not known before it was read, and WSGI cannot tell its end."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_detail = "The request needs a Content-Length; chunked bodies are not taken."
    default_code = "length_required"


class MalformedJSON(exceptions.ParseError):
    default_detail = "The body is not valid JSON."
    default_code = "malformed_json"


class NotAnObject(exceptions.ParseError):
    default_detail = "The body is not a JSON object."
    default_code = "not_an_object"


class ServiceUnavailable(exceptions.APIException):
    """We cannot take the message now, and the client should come back with it."""

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
    """The key stands for other data. To send these, the client needs another key."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = "The Idempotency-Key was sent before, with other data."
    default_code = "idempotency_key_reused"


class IdempotencyInProgress(exceptions.APIException):
    """A request with this key is under way, or has just died."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "A request with this Idempotency-Key is being served. Try again."
    default_code = "idempotency_in_progress"
    wait = 1


class IdempotencyUnavailable(ServiceUnavailable):
    """Without the database nobody knows what the key stands for, and a guess may be a second."""

    default_detail = "The Idempotency-Key cannot be checked at the moment. Send the message again."
    default_code = "idempotency_unavailable"


#: Every answer of `POST /` that refuses a message, but for a broken contract and what we did not
#: foresee. Add a new one here: metrics, the OpenAPI document and docs/api.md follow from it.
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
    IdempotencyUnavailable,
    TokenCheckUnavailable,
)


def exception_handler(exc: Exception, _context: Mapping[str, Any]) -> Response:
    """Turn an exception into our error shape; an unforeseen one into a 500 that tells nothing."""
    if not isinstance(exc, exceptions.APIException):
        logger.error("request_failed", exc_info=exc)
        exc = exceptions.APIException("Something went wrong on our side.", code=INTERNAL_ERROR)
    return Response(body(exc), status=exc.status_code, headers=_headers(exc))


def code_of(exc: exceptions.APIException) -> str:
    """Return the stable code that an answer to `exc` carries."""
    if isinstance(exc, exceptions.ValidationError):
        return CONTRACT_BROKEN
    return str(getattr(exc.detail, "code", exc.default_code))


def reason_of(exc: exceptions.APIException) -> str:
    """Return the audit log's reason: the code, and for a broken contract what broke it first.

    Codes only, never a field's name: a client chooses those of unknown fields.
    """
    if not isinstance(exc, exceptions.ValidationError):
        return code_of(exc)
    first = next(_field_errors(exc.detail))
    return f"{REASON_OF_FIELD}{first[1][0]['code']}"


def body(exc: exceptions.APIException) -> dict[str, Any]:
    """Return the JSON that answers `exc`."""
    if not isinstance(exc, exceptions.ValidationError):
        return {"code": code_of(exc), "detail": str(exc.detail)}
    return {
        "code": CONTRACT_BROKEN,
        "detail": "The message does not fit the contract.",
        "errors": dict(_field_errors(exc.detail)),
    }


def _field_errors(detail: Any, path: str = "") -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Flatten DRF's nested errors into `data.field1`-style names."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            printable = _printable(name)
            below = f"{path}.{printable}" if path else printable
            yield from _field_errors(inner, path if _is_of_the_whole(name, inner) else below)
    else:
        yield path, [{"code": str(error.code), "detail": str(error)} for error in detail]


def _is_of_the_whole(name: str, errors: Any) -> bool:
    """Whether this is DRF's name for errors of a whole object, and not a client's for a field."""
    return name == "non_field_errors" and errors[0].code != "unknown"


def _printable(name: str) -> str:
    """Return a field's name as it can be sent: half a character (a lone surrogate) cannot."""
    return name.encode("utf-8", "backslashreplace").decode()


def _headers(exc: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if auth_header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait))
    return headers
