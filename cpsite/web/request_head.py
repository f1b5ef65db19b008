"""A request as gunicorn reads it, with the rules for its head that gunicorn lacks.

gunicorn passes to WSGI what clients repeat, joined by commas, so that `Authorization` sent twice
becomes another token. It serves HTTP/1.1 without a Host, and any number as a Content-Length.
"""

import re
from ipaddress import IPv6Address
from typing import Any, Final

from gunicorn.http import message
from gunicorn.http.errors import LimitRequestHeaders, ParseException

from cpsite.web import bodies

#: Longest head in bytes without the request line: so many times the longest header.
HEADERS_AT_MOST: Final = 2

#: What gunicorn reads at a time, in bytes (gunicorn.http.unreader.SocketUnreader).
_READ_BYTES: Final = 8_192

#: Headers that hold one value, by their standards (RFC 9110, 6265, 6454 and 6750) or by use. Two of
#: one leave open which is meant. gunicorn itself refuses two of Host, Content-Type and
#: Content-Length. Not here: lists, of which a client may send several; X-Request-ID, which is
#: replaced, as any id that is not acceptable; Idempotency-Key, which the API refuses itself for the
#: comma between two, as a refusal of a known client.
SINGLE: Final = frozenset(
    {
        "AUTHORIZATION",
        "CONTENT-LOCATION",
        "CONTENT-RANGE",
        "COOKIE",
        "DATE",
        "FROM",
        "IF-MODIFIED-SINCE",
        "IF-RANGE",
        "IF-UNMODIFIED-SINCE",
        "MAX-FORWARDS",
        "ORIGIN",
        "PROXY-AUTHORIZATION",
        "RANGE",
        "REFERER",
        "USER-AGENT",
        "X-CSRFTOKEN",
        "X-FORWARDED-HOST",
        "X-FORWARDED-PORT",
        "X-FORWARDED-PROTO",
    }
)

#: A name or IPv4 address, or an IPv6 address in brackets; then a port (RFC 9112, section 3.2).
#: RFC 3986 allows further characters in a name, which no name in DNS has.
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._~-]+|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{0,5}))?")
_LAST_PORT: Final = 65_535


class HostUnreadable(ParseException):  # type: ignore[misc] # gunicorn is untyped
    """The request has no Host that can be read. HTTP/1.0 needs none."""


class HeaderRepeated(ParseException):  # type: ignore[misc] # as above
    """A header with one value occurs twice. `name` is one of SINGLE."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def is_host(value: str) -> bool:
    """Return whether `value` is a Host header that names a host."""
    match = _HOST.fullmatch(value)
    if match is None or int(match[2] or 0) > _LAST_PORT:
        return False
    try:
        return match[1] is None or bool(IPv6Address(match[1]))
    except ValueError:
        return False


class Request(message.Request):  # type: ignore[misc] # as above
    """gunicorn's request. Raises ParseException for a head that breaks a rule.

    Its `_apply_header_policy` is not documented: `tests/cpsite/web/test_request_head.py` shows what
    a new version of gunicorn must keep.
    """

    headers: list[tuple[str, str]]
    #: Bytes of the body that may be read: 0 without one, or with one that is too long.
    readable_bytes = 0
    _host: str | None = None

    @property
    def _longest_head(self) -> int:
        return HEADERS_AT_MOST * int(self.limit_request_field_size)

    @property
    def max_buffer_headers(self) -> int:
        """Return the most that may be read in search of a head's end, in bytes.

        gunicorn looks at it after a read, which may end with the beginning of a body.
        """
        return self._longest_head + _READ_BYTES

    @max_buffer_headers.setter
    def max_buffer_headers(self, _gunicorns: int) -> None:
        pass

    def parse_headers(self, data: bytes, *args: Any, **options: Any) -> Any:
        if len(data) > self._longest_head:
            raise LimitRequestHeaders("limit request headers size")
        return super().parse_headers(data, *args, **options)

    def _apply_header_policy(
        self, name: str, value: str, scheme_state: Any, seen: set[str], *rest: Any, **options: Any
    ) -> Any:
        if name == "HOST":
            self._host = value
        elif name in SINGLE:
            if name in seen:
                raise HeaderRepeated(name)
            seen.add(name)
        elif name == "CONTENT-LENGTH" and bodies.is_length(value):
            value = bodies.shortened(value)
        return super()._apply_header_policy(name, value, scheme_state, seen, *rest, **options)

    def set_body_reader(self) -> None:
        """Check the Host, and make the body readable if it is not too long.

        A length that is too long goes on as one byte too many: no metric adds up what clients
        claim.
        """
        if self._host is None:
            if self.version >= (1, 1):
                raise HostUnreadable
        elif not is_host(self._host):
            raise HostUnreadable
        super().set_body_reader()
        length = getattr(self.body.reader, "length", 0)
        longest = bodies.longest(self.path)
        if length <= longest:
            self.readable_bytes = length
        else:
            self.headers = [
                (name, str(longest + 1) if name == "CONTENT-LENGTH" else value)
                for name, value in self.headers
            ]
