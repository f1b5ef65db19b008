"""Error answers of the API. All have the same shape and a stable code.

    {"code": "contract_broken", "detail": "…",
     "errors": {"data.field1": [{"code": "required", "detail": "…"}]}}

Only a broken contract has `errors`. Clients may rely on the codes. The texts are for people and may
change.
"""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from django.http import HttpResponse, JsonResponse
from rest_framework import exceptions, status
from rest_framework.response import Response

from cpsite.message import CONTENT_TYPE
from cpsite.web import fallback_answers
from validator import advice

logger = logging.getLogger(__name__)

#: Retry-After of a 503, in seconds.
RETRY_AFTER_SECONDS: Final = 5

CONTRACT_BROKEN: Final = "contract_broken"
INTERNAL_ERROR: Final = fallback_answers.INTERNAL_ERROR["code"]

#: Codes of errors of a field, of whatever kind (`validator/fields.py`).
FIELD_CODES: Final = (
    "required",
    "null",
    "invalid",
    "blank",
    "min_length",
    "max_length",
    "pattern",
    "min_value",
    "max_value",
    "max_digits",
    "max_decimal_places",
    "max_whole_digits",
    "invalid_choice",
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

    default_detail = f"A token is required: {advice.SEND_TOKEN}."
    default_code = "token_missing"


class TokenUnknown(Unauthorized):
    """A token is unknown or not a string, or body and header name different clients."""

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


class HttpsRequired(exceptions.PermissionDenied):
    """The request came over http, with its token, and DJANGO_HTTPS is set."""

    default_detail = (
        "This service takes requests over HTTPS only, and this one came over http. Nothing was "
        "stored. Use an address that begins with https://, and replace the token: it was sent "
        "unencrypted."
    )
    default_code = "https_required"


class ContractNotAllowed(exceptions.PermissionDenied):
    """The token's client is bound to other contracts (docs/changing-the-contract.md)."""

    default_code = "contract_not_allowed"

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        names = ", ".join(sorted(allowed)) or "none of them"
        super().__init__(f"This client may not send messages of this contract, but of: {names}.")


class NotAcceptable(exceptions.NotAcceptable):
    """The Accept header allows none of the media types that the path can return."""

    def __init__(self, media_types: Iterable[str] = (CONTENT_TYPE,)) -> None:
        super().__init__(
            f"The Accept header does not allow what this path returns: {', '.join(media_types)}."
        )


class ContentTypeUnsupported(exceptions.UnsupportedMediaType):
    """The body is not declared as JSON."""

    def __init__(self, content_type: str = "") -> None:
        problem = "The Content-Type is not JSON" if content_type else "There is no Content-Type"
        super().__init__(content_type, f'{problem}: send "Content-Type: {CONTENT_TYPE}".')


class ContentEncodingUnsupported(exceptions.UnsupportedMediaType):
    """The body is compressed, or says so.

    A compressed body would need a second limit, for what it expands to, and its digest and its
    bytes would no longer be what the client sent.
    """

    #: RFC 9110, section 12.5.3.
    headers: Final = {"Accept-Encoding": "identity"}

    def __init__(self) -> None:
        super().__init__(
            "", "The header Content-Encoding is not supported: send the body uncompressed."
        )


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
    """There is no confirmation. SQS may have the message all the same."""

    default_detail = "The queue did not confirm the message. Send it again."
    default_code = "queue_unavailable"


class QueueNotAsked(QueueUnavailable):
    """The message was never sent, so SQS cannot have it."""


#: With these, the message never reached SQS.
NEVER_SENT: Final = (MessageTooLarge, QueueNotAsked)


class TokenCheckUnavailable(ServiceUnavailable):
    default_detail = "Tokens cannot be checked at the moment. Send the message again."
    default_code = "tokens_unavailable"


class IdempotencyKeyInvalid(exceptions.ParseError):
    default_detail = (
        "The Idempotency-Key is not 1 to 255 printable ASCII characters without a comma, sent once."
    )
    default_code = "idempotency_key_invalid"


class IdempotencyKeyReused(exceptions.APIException):
    """The key was used for other data. To send this data, the client needs another key."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = "The Idempotency-Key was sent before, with other data. Use a new key for this."
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
    HttpsRequired,
    ContractNotAllowed,
    NotAcceptable,
    IdempotencyInProgress,
    LengthRequired,
    BodyTooLarge,
    MessageTooLarge,
    ContentTypeUnsupported,
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


def answer_to(exc: exceptions.APIException) -> HttpResponse:
    """Return the error answer to `exc` where no view answers."""
    return JsonResponse(body(exc), status=exc.status_code, headers=_headers(exc))


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
    first = next(_field_errors(exc.detail), None)
    return f"{REASON_OF_FIELD}{first[1][0]['code'] if first else 'invalid'}"


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
            printable = _printable(str(name))
            below = f"{path}.{printable}" if path else printable
            yield from _field_errors(inner, path if _is_of_whole_object(name, inner) else below)
    elif found := [error for error in detail if isinstance(error, exceptions.ErrorDetail)]:
        yield path, [{"code": _field_code(error), "detail": str(error)} for error in found]
    else:
        # A contract's own `validate` may raise DRF's errors of a list: a mapping for each item.
        for position, inner in enumerate(detail):
            yield from _field_errors(inner, f"{path}.{position}")


def _field_code(error: exceptions.ErrorDetail) -> str:
    """Return an error's code. A contract's own `validate` may have raised any: it is `invalid`."""
    return error.code if error.code in FIELD_CODES else "invalid"


def _is_of_whole_object(name: str, found: Any) -> bool:
    """Return whether `name` is DRF's key for errors of the whole object, not a client's field."""
    return name == "non_field_errors" and getattr(found[0], "code", "") != "unknown"


def _printable(name: str) -> str:
    """Return a field's name with lone surrogates escaped, which UTF-8 cannot encode."""
    return name.encode("utf-8", "backslashreplace").decode()


def _headers(exc: exceptions.APIException) -> dict[str, str]:
    headers = dict(getattr(exc, "headers", {}))
    if auth_header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait))
    return headers
