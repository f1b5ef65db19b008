"""Where a request comes from: its address, and the network that belongs to one caller."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import cast

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle


def source_ip(request: Request | HttpRequest) -> str | None:
    """Return the caller's address, or None if the proxy's header does not hold one.

    TRUSTED_PROXIES decides which entry of X-Forwarded-For to trust.
    """
    return _address(BaseThrottle().get_ident(cast("Request", request)))


@lru_cache(maxsize=1024)
def _address(text: str) -> str | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    # PostgreSQL's inet type takes no zone, and a zone has no meaning on another host.
    if isinstance(address, IPv6Address) and address.scope_id:
        return None
    return str(address)


@lru_cache(maxsize=1024)
def neighbourhood(address: str | None) -> str | None:
    """Return what belongs to one caller: an IPv4 address, or an IPv6 network of 64 bits.

    One IPv6 host can choose among at least that many addresses (RFC 6177).
    """
    if address is None or ":" not in address:
        return address
    return str(ip_network((address, 64), strict=False))
