"""Requests that are refused before they reach a view: each is counted, and few are logged.

Nothing of such a request is quoted: neither in the log nor as a label.
"""

import logging
from typing import Any, Final, cast

from django.conf import settings
from django.http import HttpRequest
from prometheus_client import Counter
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from cpsite.web.client_address import neighbourhood, source_ip

logger = logging.getLogger(__name__)

UNREADABLE: Final = "unreadable"
OVERLOADED: Final = "overloaded"
BODY_TOO_LARGE: Final = "body_too_large"
UNACCEPTABLE: Final = "unacceptable"
CSRF: Final = "csrf"
FAILED: Final = "failed"

refused_total = Counter(
    "validator_http_refusals_total",
    "Requests that were refused before they reached a view, by reason.",
    ["reason"],
)
for _reason in (UNREADABLE, OVERLOADED, BODY_TOO_LARGE, UNACCEPTABLE, CSRF, FAILED):
    refused_total.labels(_reason)


class RefusedAddressThrottle(SimpleRateThrottle):
    """THROTTLE_REFUSED_RATE for the refusals of each address, or of each IPv6 /64 network.

    A caller with a valid token is never refused here. Above the rate the API answers 429. Refusals
    still count in the metrics but are no longer logged and audited, so that a flood of guesses
    cannot fill the audit log.
    """

    detail = "Too many requests from this address were refused: check the token and the body."

    def get_rate(self) -> str | None:
        return settings.THROTTLE_REFUSED_RATE

    def get_cache_key(self, request: Request | HttpRequest, view: APIView | None) -> str:
        return f"refused-{neighbourhood(source_ip(request))}"


def note(reason: str, request: HttpRequest, **fields: Any) -> None:
    """Count a refusal, and log it unless its address has caused too many lines."""
    refused_total.labels(reason).inc()
    if RefusedAddressThrottle().allow_request(cast("Request", request), cast("APIView", None)):
        extra = {"reason": reason, "source_ip": source_ip(request), **fields}
        logger.warning("request_refused", extra=extra)


def from_peer(address: object) -> HttpRequest:
    """Return a request of which no more is known than the socket address of its connection."""
    request = HttpRequest()
    if isinstance(address, tuple):  # else a Unix socket
        request.META["REMOTE_ADDR"] = address[0]
    return request
