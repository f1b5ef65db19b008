"""Rate limits: requests per client, and refusals per address without a valid token.

Each process counts by itself, so the effective limit of a service is the rate times its processes.
That keeps one caller from using all capacity, but it is no exact accounting.
"""

from typing import TypeVar, cast

from django.conf import settings
from django.http import HttpRequest
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.status import HTTP_500_INTERNAL_SERVER_ERROR
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from cpsite.web.refusals import RefusedAddressThrottle

T = TypeVar("T", bound=Exception)


class ClientThrottle(SimpleRateThrottle):
    """THROTTLE_CLIENT_RATE for all requests of a client, accepted or refused."""

    detail = "This client has sent too many requests."

    def get_rate(self) -> str | None:
        return settings.THROTTLE_CLIENT_RATE

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return f"client-{getattr(view, 'client', '')}"


def demand(
    throttle: ClientThrottle | RefusedAddressThrottle,
    request: Request | HttpRequest,
    view: APIView | None,
) -> None:
    """Raise Throttled, with the seconds to wait, when the limit is reached."""
    if not throttle.allow_request(cast("Request", request), cast("APIView", view)):
        raise Throttled(wait=max(1.0, throttle.wait() or 0.0), detail=throttle.detail)


def limit_unauthenticated(exc: T, request: Request | HttpRequest) -> T | Throttled:
    """Return `exc`, or Throttled once the address has been refused too often.

    For callers without a valid token. 5xx are not counted.
    """
    if getattr(exc, "status_code", 500) >= HTTP_500_INTERNAL_SERVER_ERROR:
        return exc
    try:
        demand(RefusedAddressThrottle(), request, None)
    except Throttled as throttled:
        return throttled
    return exc
