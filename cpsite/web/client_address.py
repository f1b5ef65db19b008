"""Where a request comes from: its address, and the network that belongs to one caller."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request

#: Networks whose addresses are IPv4 addresses in their last 32 bits: what a listener on `[::]` sees
#: of an IPv4 client (RFC 4291, 2.5.5.2), and what a translator makes of one (RFC 6052, 2.1).
_IPV4_INSIDE: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
#: What proxies write beside an address: a port, and brackets around an IPv6 address. Also quotes,
#: which RFC 7239, section 6 asks for.
_WITH_PORT: Final = re.compile(
    r'"?(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<ipv4>[0-9.]+))(?::[0-9]{0,5})?"?', re.ASCII
)


def source_ip(request: Request | HttpRequest) -> str | None:
    """Return the caller's address, or None if the proxy's header does not hold one.

    TRUSTED_PROXIES decides which entry of X-Forwarded-For to trust. One caller's address has one
    spelling here, so that the log, the audit log, rate limits and the admin's lockout agree: ports
    and brackets are dropped, and an IPv4 address within an IPv6 address is the IPv4 address.
    """
    proxies, forwarded = settings.TRUSTED_PROXIES, request.META.get("HTTP_X_FORWARDED_FOR")
    if not proxies or forwarded is None:
        return normalized(request.META.get("REMOTE_ADDR") or "")
    # Each proxy appends what it has seen: what comes before is what the caller wrote.
    entries = forwarded.split(",")
    return normalized(entries[-min(proxies, len(entries))])


@lru_cache(maxsize=1024)
def normalized(text: str) -> str | None:
    """Return an address in its one spelling, as `source_ip` does, or None for any other text."""
    address = _parsed(text) or _parsed(_without_port(text))
    if isinstance(address, IPv6Address):
        if any(address in network for network in _IPV4_INSIDE):
            return str(IPv4Address(int(address) & 0xFFFFFFFF))
        # PostgreSQL's inet type takes no zone, and a zone has no meaning on another host.
        if address.scope_id:
            return None
    return str(address) if address else None


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.strip())
    except ValueError:
        return None


def _without_port(text: str) -> str:
    found = _WITH_PORT.fullmatch(text.strip())
    return (found["bracketed"] or found["ipv4"]) if found else ""


@lru_cache(maxsize=1024)
def neighbourhood(address: str | None) -> str | None:
    """Return what belongs to one caller: an IPv4 address, or an IPv6 network of 64 bits.

    One IPv6 host can choose among at least that many addresses (RFC 6177).
    """
    if address is None or ":" not in address:
        return address
    return str(ip_network((address, 64), strict=False))
