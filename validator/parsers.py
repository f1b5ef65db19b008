"""Reads the body of a request as JSON, strictly (cpsite/json_text.py)."""

import json
from collections.abc import Mapping
from typing import IO, Any, Final

from django.conf import settings
from django.http import HttpRequest
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from cpsite import json_text
from cpsite.message import CONTENT_TYPE
from validator import advice
from validator.exceptions import (
    BodyTooLarge,
    ContentEncodingUnsupported,
    ContentTypeUnsupported,
    LengthRequired,
    MalformedJSON,
)

_ENDED_EARLY: Final = "The body ended early."


def check_headers(request: Request | HttpRequest) -> None:
    """Refuse a request by its headers, before its body is read.

    Raises ContentTypeUnsupported, ContentEncodingUnsupported, LengthRequired or BodyTooLarge.
    """
    content_type = request.META.get("CONTENT_TYPE", "")
    if content_type.partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise ContentTypeUnsupported(content_type)
    if not _is_identity(request.META.get("HTTP_CONTENT_ENCODING", "")):
        raise ContentEncodingUnsupported
    length = request.META.get("CONTENT_LENGTH")
    if not length:
        raise LengthRequired
    if int(length) > settings.MAX_BODY_BYTES:
        raise BodyTooLarge(settings.MAX_BODY_BYTES)


def has_body(request: Request | HttpRequest) -> bool:
    """Return whether a request brings a body, by its headers (RFC 9112, section 6)."""
    length = request.META.get("CONTENT_LENGTH")
    return length not in {None, "", "0"} or "HTTP_TRANSFER_ENCODING" in request.META


def _is_identity(content_encoding: str) -> bool:
    """Return whether a Content-Encoding names no encoding. `identity` is none (RFC 9110, 8.4.1)."""
    return not content_encoding or all(
        coding.strip().lower() in {"", "identity"} for coding in content_encoding.split(",")
    )


class StrictJSONParser(BaseParser):
    """Refuses duplicate keys, NaN and Infinity, and any encoding but UTF-8.

    An object is a `json_text.Document`, which knows the text of `data`.
    """

    media_type = CONTENT_TYPE
    renderer_class = JSONRenderer

    def parse(
        self,
        stream: IO[bytes] | HttpRequest,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            raw = _read(stream, parser_context)
        except OSError as exc:
            raise MalformedJSON(_failure(exc)) from exc
        except _EndedEarly as exc:
            raise MalformedJSON(_ENDED_EARLY) from exc
        return _parsed(raw)


def _parsed(raw: bytes) -> Any:
    """Return the JSON value of a body. Raises MalformedJSON, which says what the body may be."""
    try:
        return json_text.parse(raw.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise MalformedJSON(advice.on_malformed(raw) or "The body is not valid UTF-8.") from exc
    except RecursionError as exc:
        raise MalformedJSON("The body is nested too deeply.") from exc
    except json_text.Refused as exc:
        raise MalformedJSON(str(exc)) from exc
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno}, column {exc.colno}"
        plain = f"The body is not valid JSON ({where})."
        raise MalformedJSON(advice.on_malformed(raw) or plain) from exc
    except ValueError as exc:  # more digits than Python converts (sys.set_int_max_str_digits)
        raise MalformedJSON("The body has a number that is too long.") from exc


def _read(stream: IO[bytes] | HttpRequest, parser_context: Mapping[str, Any] | None) -> bytes:
    """Return the whole body. Raises _EndedEarly if the client hung up before its end."""
    body = stream.read()
    environ = parser_context["request"].META if parser_context else {}
    if len(body) < int(environ.get("CONTENT_LENGTH") or 0):
        raise _EndedEarly
    return body


def _failure(exc: OSError) -> str:
    # The worker limits the time to read a body (cpsite/web/connection.py). Django wraps its
    # TimeoutError.
    is_slow = isinstance(exc, TimeoutError) or isinstance(exc.__cause__, TimeoutError)
    return "The body came too slowly." if is_slow else _ENDED_EARLY


class _EndedEarly(Exception):
    """The client hung up before the end of the body."""
