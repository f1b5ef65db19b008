"""Parses JSON strictly by RFC 8259, where `json.loads` accepts more."""

import json
from collections.abc import Mapping
from typing import IO, Any, Final, NoReturn

from django.conf import settings
from django.http import HttpRequest
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from cpsite.message import CONTENT_TYPE
from validator.exceptions import BodyTooLarge, LengthRequired, MalformedJSON

_ENDED_EARLY: Final = "The body ended early."


def check_headers(request: Request | HttpRequest) -> None:
    """Refuse a request by its headers, before its body is read.

    Raises UnsupportedMediaType, LengthRequired or BodyTooLarge.
    """
    content_type = request.META.get("CONTENT_TYPE", "")
    if content_type.partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise UnsupportedMediaType(content_type or "no content type")
    length = request.META.get("CONTENT_LENGTH")
    if not length:
        raise LengthRequired
    if int(length) > settings.MAX_BODY_BYTES:
        raise BodyTooLarge(settings.MAX_BODY_BYTES)


class StrictJSONParser(BaseParser):
    """Refuses duplicate keys, NaN and Infinity, and any encoding but UTF-8.

    Two readers of an object with duplicate keys may see different values (RFC 8259, section 4). A
    stored message must have only one meaning.
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
            return json.loads(
                _read(stream, parser_context).decode("utf-8"),
                object_pairs_hook=_object,
                parse_constant=_refuse_constant,
            )
        except UnicodeDecodeError as exc:
            raise MalformedJSON("The body is not valid UTF-8.") from exc
        except RecursionError as exc:
            raise MalformedJSON("The body is nested too deeply.") from exc
        except OSError as exc:
            raise MalformedJSON(_failure(exc)) from exc
        except _Refused as exc:
            raise MalformedJSON(str(exc)) from exc
        except json.JSONDecodeError as exc:
            where = f"line {exc.lineno}, column {exc.colno}"
            raise MalformedJSON(f"The body is not valid JSON ({where}).") from exc
        except ValueError as exc:  # more digits than Python converts (sys.set_int_max_str_digits)
            raise MalformedJSON("The body has a number that is too long.") from exc


def _read(stream: IO[bytes] | HttpRequest, parser_context: Mapping[str, Any] | None) -> bytes:
    """Return the whole body. Raises _Refused if the client hung up before its end."""
    body = stream.read()
    environ = parser_context["request"].META if parser_context else {}
    if len(body) < int(environ.get("CONTENT_LENGTH") or 0):
        raise _Refused(_ENDED_EARLY)
    return body


def _failure(exc: OSError) -> str:
    # The worker limits the time to read a body (cpsite/web/worker.py). Django wraps its
    # TimeoutError.
    is_slow = isinstance(exc, TimeoutError) or isinstance(exc.__cause__, TimeoutError)
    return "The body came too slowly." if is_slow else _ENDED_EARLY


class _Refused(ValueError):
    """What json.loads accepts and RFC 8259 does not. The text quotes nothing."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise _Refused("The body has an object with a name that occurs twice.")
    return names


def _refuse_constant(_name: str) -> NoReturn:
    raise _Refused("The body has a number that JSON does not have (NaN or Infinity).")
