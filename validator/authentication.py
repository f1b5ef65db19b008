"""The token of an Authorization header."""

from django.http import HttpRequest
from rest_framework.request import Request


def bearer_token(request: Request | HttpRequest) -> str | None:
    """Return the token of an `Authorization: Bearer …` header (RFC 6750), or None."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
