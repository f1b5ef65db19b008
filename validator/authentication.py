"""Authentication: finds the client that owns the token of a request.

The token is in the body or in an `Authorization: Bearer` header. If a request has both, they must
belong to the same client.
"""

from collections.abc import Mapping

from django.http import HttpRequest
from rest_framework.request import Request

from validator import metrics, tokens
from validator.exceptions import NotAnObject, TokenCheckUnavailable, TokenMissing, TokenUnknown


def bearer_token(request: Request | HttpRequest) -> str | None:
    """Return the token of an `Authorization: Bearer …` header (RFC 6750), or None."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def client_of(token: object) -> str:
    """Return the name of the client that owns `token`, and count the result.

    Raises TokenUnknown, also for a token that is not a string, and TokenCheckUnavailable.
    """
    try:
        owner = tokens.owner_of(token) if isinstance(token, str) else None
    except tokens.TokensUnavailable as exc:
        metrics.tokens_total.labels("unavailable").inc()
        raise TokenCheckUnavailable from exc
    if owner is None:
        metrics.tokens_total.labels("unknown").inc()
        raise TokenUnknown
    metrics.tokens_total.labels("valid").inc()
    return owner


def client_of_envelope(envelope: object, *, bearer_client: str) -> str:
    """Return the name of the client that sent `{"token": …, "data": …}`.

    `bearer_client` is the client of the header's token, or empty. Raises NotAnObject, TokenMissing,
    TokenUnknown or TokenCheckUnavailable.
    """
    if not isinstance(envelope, Mapping):
        raise NotAnObject
    if "token" not in envelope:
        if not bearer_client:
            raise missing()
        return bearer_client
    client = client_of(envelope["token"])
    if bearer_client not in {"", client}:
        raise TokenUnknown
    return client


def missing(detail: str | None = None) -> TokenMissing:
    """Count a request without a token, and return the exception to raise."""
    metrics.tokens_total.labels("missing").inc()
    return TokenMissing(detail)
