"""Authentication: finds the client that owns the token of a request.

The token is in the body or in an `Authorization: Bearer` header. If a request has both, they must
belong to the same client.
"""

from collections.abc import Mapping
from typing import Any, Final

from django.http import HttpRequest
from rest_framework.exceptions import Throttled
from rest_framework.request import Request

from validator import advice, metrics, tokens
from validator.exceptions import NotAnObject, TokenCheckUnavailable, TokenMissing, TokenUnknown

#: Which of the two tokens that a request may have.
IN_HEADER: Final = " in the Authorization header"
IN_BODY: Final = " in the body"

# Kept, because a label's lookup costs more than the count itself.
_VALID: Final = metrics.tokens_total.labels("valid")


def bearer_token(request: Request | HttpRequest) -> str | None:
    """Return the token of an `Authorization: Bearer …` header (RFC 6750), or None."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def client_of(token: object, place: str = "") -> str:
    """Return the name of the client that owns `token`, and count the result.

    `place` is for the text of the answer. Raises TokenUnknown, also for a token that is not a
    string, and TokenCheckUnavailable.
    """
    try:
        owner = tokens.owner_of(token) if isinstance(token, str) else None
    except tokens.TokensUnavailable as exc:
        metrics.tokens_total.labels("unavailable").inc()
        raise TokenCheckUnavailable from exc
    if owner is None:
        metrics.tokens_total.labels("unknown").inc()
        raise TokenUnknown(advice.on_unknown_token(token, place))
    _VALID.inc()
    return owner


def client_of_refused(request: Request | HttpRequest, exc: Exception) -> str:
    """Return the client of a request that `exc` has refused without one, by its header's token.

    What is wrong with a request's head refuses it before its token is looked at. Empty if the
    header has no token that is known, or has just been found to have none.
    """
    token = bearer_token(request)
    if token is None or isinstance(exc, (TokenUnknown, TokenCheckUnavailable, Throttled)):
        return ""
    try:
        return client_of(token, IN_HEADER)
    except (TokenUnknown, TokenCheckUnavailable):
        return ""


def client_of_envelope(
    envelope: object, *, bearer_client: str, environ: Mapping[str, Any] | None = None
) -> str:
    """Return the name of the client that sent `{"token": …, "data": …}`.

    A token that is null is no token: some libraries write null for what is not set.
    `bearer_client` is the client of the header's token, or empty; `environ` is the WSGI
    environment, for the text of the answer. Raises NotAnObject, TokenMissing, TokenUnknown or
    TokenCheckUnavailable.
    """
    if not isinstance(envelope, Mapping):
        raise NotAnObject(advice.on_wrong_body(envelope))
    token = envelope.get("token")
    if token is None:
        if not bearer_client:
            raise missing(advice.on_missing_token(environ or {}, envelope))
        return bearer_client
    if not bearer_client:
        return client_of(token)
    return _second_client(token, bearer_client)


def _second_client(token: object, bearer_client: str) -> str:
    """Return the client of the body's token, which must be the one of the header's token."""
    try:
        client = client_of(token, IN_BODY)
    except TokenUnknown as exc:
        raise TokenUnknown(
            f"{exc.detail} The one{IN_HEADER} is known: leave the one{IN_BODY} out."
        ) from exc
    if client != bearer_client:
        raise TokenUnknown(
            f"The token{IN_BODY} and the one{IN_HEADER} are of different clients: send one of them."
        )
    return client


def missing(detail: str) -> TokenMissing:
    """Count a request without a token, and return the exception to raise."""
    metrics.tokens_total.labels("missing").inc()
    return TokenMissing(detail)
