"""Where a request comes from: an address, and the network that one caller has all of."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import cast

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle


def source_ip(request: Request | HttpRequest) -> str | None:
    """Return the caller's address, or None where the proxy's header does not hold one.

    Which entry of X-Forwarded-For to believe follows from TRUSTED_PROXIES.
    """
    return _address(BaseThrottle().get_ident(cast("Request", request)))


@lru_cache(maxsize=1024)
def _address(text: str) -> str | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    # PostgreSQL's inet has no zone, and a zone means nothing on another host.
    if isinstance(address, IPv6Address) and address.scope_id:
        return None
    return str(address)


@lru_cache(maxsize=1024)
def neighbourhood(address: str | None) -> str | None:
    """Return what one caller has all of: an address, or of IPv6 a network of 64 bits.

    A host has at least that many addresses to choose from (RFC 6177).
    """
    if address is None or ":" not in address:
        return address
    return str(ip_network((address, 64), strict=False))
