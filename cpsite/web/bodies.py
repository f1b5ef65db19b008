"""How long the body of a request may be, by its path."""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from django.conf import settings
from django.http import HttpRequest
from django.urls import Resolver404, resolve

from cpsite.message import CONTRACT_NAME

#: Longest body in bytes of a path that takes no messages: the forms of the admin.
PAGE_BODY_BYTES: Final = 32_768

#: Digits of a Content-Length that are read. More say only that the body is too long.
LENGTH_DIGITS: Final = 15


#: The shape of the path of a contract but the default one. That of a message has dashes.
_OF_CONTRACT: Final = re.compile(rf"/messages/{CONTRACT_NAME.pattern}/?", re.ASCII)


def takes_messages(path: str) -> bool:
    """Return whether messages may be sent to `path`.

    An empty path is `/` (RFC 9110, section 4.2.3): `POST http://host` has one.
    """
    if path in {"", "/"}:
        return True
    path = unquote(path)  # gunicorn has it as it was sent
    return _OF_CONTRACT.fullmatch(path) is not None and _is_served(path, settings.ROOT_URLCONF)


@lru_cache(maxsize=256)
def _is_served(path: str, urlconf: str) -> bool:
    try:
        resolve(path, urlconf)
    except Resolver404:
        return False
    return True


def contract_of(path: str) -> str:
    """Return the name of the contract whose messages `path` takes, empty for the default one."""
    return path.split("/")[2] if _OF_CONTRACT.fullmatch(path) else ""


def longest(path: str) -> int:
    """Return the length in bytes of the longest body that `path` takes."""
    longest_bytes: int = settings.MAX_BODY_BYTES if takes_messages(path) else PAGE_BODY_BYTES
    return longest_bytes


def is_length(value: str) -> bool:
    """Return whether `value` is a Content-Length as RFC 9110, section 8.6 has it: digits."""
    return value.isascii() and value.isdigit()


def shortened(value: str) -> str:
    """Return a Content-Length of at most LENGTH_DIGITS digits, which is as much too long."""
    digits = value.lstrip("0") or "0"
    return digits if len(digits) <= LENGTH_DIGITS else "9" * LENGTH_DIGITS


def declared_length(request: HttpRequest) -> int:
    """Return the Content-Length of a request in bytes, 0 without one."""
    value = request.META.get("CONTENT_LENGTH") or "0"
    return int(shortened(value)) if is_length(value) else 0
