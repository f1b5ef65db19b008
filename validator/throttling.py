"""Rate limits: requests per client, and refusals per address without a valid token.

Each process counts by itself, so the effective limit of a service is the rate times its processes.
That keeps one caller from using all capacity, but it is no exact accounting.
"""

from typing import cast

from django.conf import settings
from django.http import HttpRequest
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.status import HTTP_500_INTERNAL_SERVER_ERROR
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle
from rest_framework.views import APIView

from cpsite.web.client_address import neighbourhood, source_ip


class ClientThrottle(SimpleRateThrottle):
    """THROTTLE_CLIENT_RATE for all requests of a client, accepted or refused."""

    def get_rate(self) -> str | None:
        return settings.THROTTLE_CLIENT_RATE

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return f"client-{getattr(view, 'client', '')}"


class RefusedAddressThrottle(SimpleRateThrottle):
    """THROTTLE_REFUSED_RATE for the refusals of each address, or of each IPv6 /64 network.

    A caller with a valid token is never refused here. Above the rate a caller gets 429. Its
    refusals still count in the metrics but are no longer audited, so that a flood of guesses
    cannot fill the audit log.
    """

    def get_rate(self) -> str | None:
        return settings.THROTTLE_REFUSED_RATE

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return f"refused-{neighbourhood(source_ip(request))}"


def demand(throttle: BaseThrottle, request: Request | HttpRequest, view: APIView) -> None:
    """Raise Throttled, with the seconds to wait, when the limit is reached."""
    if not throttle.allow_request(cast("Request", request), view):
        raise Throttled(wait=throttle.wait())


def limit_unauthenticated(
    exc: Exception, request: Request | HttpRequest, view: APIView
) -> Exception:
    """Return `exc`, or Throttled once the address has been refused too often.

    For callers without a valid token. 5xx are not counted.
    """
    if getattr(exc, "status_code", 500) >= HTTP_500_INTERNAL_SERVER_ERROR:
        return exc
    try:
        demand(RefusedAddressThrottle(), request, view)
    except Throttled as throttled:
        return throttled
    return exc
