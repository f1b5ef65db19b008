"""The tokens of the clients, and where they are read from.

Each token belongs to a client. A client may have two tokens, the current and the next one, so that
a rotation has no gap. Tokens come from API_TOKENS, which is fixed for the life of the process, or
from the SSM SecureString that API_TOKENS_PARAMETER names, which is read again every
API_TOKENS_REFRESH_SECONDS. While SSM is unavailable, the last known tokens stay valid.
"""

import hashlib
import hmac
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from cpsite import aws
from cpsite.message import CLIENT_NAME

logger = logging.getLogger(__name__)

#: Client of a bare token in API_TOKENS.
DEFAULT_CLIENT: Final = "default"
#: Tokens of one client that may be valid at once.
TOKENS_PER_CLIENT: Final = 2
#: Seconds until the next attempt when SSM could not be read and no token is known yet.
RETRY_SECONDS: Final = 2.0

# Printable ASCII without spaces, which an HTTP header carries unchanged.
_TOKEN = re.compile(r"[\x21-\x7e]{8,512}")


class InvalidTokens(ValueError):
    """The token configuration is not valid. The text may name the client, never a token."""


class TokensUnavailable(Exception):
    """No token is known, because no read has succeeded since the process started."""


def parse_tokens(text: str) -> dict[str, tuple[str, ...]]:
    """Read `{"client": ["token", "next-token"]}` or a bare token, whose client is `default`.

    A client name has 1 to 64 letters, digits and `_.-`. A token has 8 to 512 printable ASCII
    characters. Raises InvalidTokens for anything else.
    """
    text = text.strip()
    if not text.startswith("{"):
        return _validated({DEFAULT_CLIENT: [text]})
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except InvalidTokens:
        raise
    except (ValueError, RecursionError):
        raise InvalidTokens("it starts with { but is not valid JSON") from None
    return _validated(document)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise InvalidTokens("a client is listed twice")
    return document


def _validated(document: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    tokens = {client: _tokens_of(client, given) for client, given in document.items()}
    if not tokens:
        raise InvalidTokens("there is no client in it")
    every = [token for of_client in tokens.values() for token in of_client]
    if len(set(every)) < len(every):
        raise InvalidTokens("a token is listed twice, so its owner is ambiguous")
    return tokens


def _tokens_of(client: str, given: object) -> tuple[str, ...]:
    if not CLIENT_NAME.fullmatch(client):
        raise InvalidTokens("a client's name is not 1 to 64 of letters, digits and _.-")
    tokens = [given] if isinstance(given, str) else given
    if not isinstance(tokens, list) or not 1 <= len(tokens) <= TOKENS_PER_CLIENT:
        raise InvalidTokens(f"client {client} does not have one or two tokens")
    if not all(isinstance(token, str) and _TOKEN.fullmatch(token) for token in tokens):
        raise InvalidTokens(
            f"a token of client {client} is not 8 to 512 printable ASCII characters"
        )
    return tuple(tokens)


class TokenSet:
    """Known tokens, kept as digests, so that a memory dump or a debugger shows no token."""

    def __init__(self, tokens: Mapping[str, Sequence[str]]) -> None:
        self._owners = [
            (_digest(token), client) for client, known in tokens.items() for token in known
        ]

    def owner(self, token: str) -> str | None:
        """Return the client that owns `token`, or None.

        It compares every known token, in constant time, and digests hide the lengths. So the
        duration does not depend on which token matches, or whether one does.
        """
        given = _digest(token)
        owner = None
        for digest, client in self._owners:
            if hmac.compare_digest(digest, given):
                owner = client
        return owner


def _digest(token: str) -> bytes:
    # A body may contain lone surrogates, which strict UTF-8 cannot encode.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def read_parameter() -> str:
    """Return the SecureString's value, within 5 s. Raises ClientError or BotoCoreError."""
    client = aws.client(
        "ssm",
        config=Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1}),
    )
    answer = client.get_parameter(Name=settings.API_TOKENS_PARAMETER, WithDecryption=True)
    return str(answer["Parameter"]["Value"])


class TokenStore:
    """The currently valid tokens.

    `read` returns the configuration text, and must return in bounded time. It is called again every
    `refresh_seconds`, in a thread, so that requests do not wait for it; only a request that comes a
    whole interval after a read was due waits. Without `refresh_seconds`, `read` is called once.
    """

    def __init__(
        self,
        read: Callable[[], str],
        *,
        refresh_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._tokens: TokenSet | None = None
        self._next_read = 0.0
        self._reading = threading.Lock()

    def current(self) -> TokenSet:
        """Return the currently valid tokens. Raises TokensUnavailable when none is known."""
        if self._tokens is None:
            self._load_first()
        elif self._refresh_seconds is not None and self._clock() >= self._next_read:
            if self._clock() >= self._next_read + self._refresh_seconds:
                # The known tokens may be outdated after so long without a request, so wait.
                self._refresh_now()
            else:
                self._refresh_in_background()
        if self._tokens is None:
            raise TokensUnavailable
        return self._tokens

    def _load_first(self) -> None:
        with self._reading:
            if self._tokens is None and self._clock() >= self._next_read:
                self._load()

    def _refresh_now(self) -> None:
        with self._reading:
            if self._clock() >= self._next_read:
                self._load()

    def _refresh_in_background(self) -> None:
        # The thread that gets the lock starts the read. The others use the known tokens.
        if self._reading.acquire(blocking=False):
            threading.Thread(target=self._load_and_release, name="tokens", daemon=True).start()

    def _load_and_release(self) -> None:
        try:
            self._load()
        finally:
            self._reading.release()

    def _load(self) -> None:
        try:
            self._tokens = TokenSet(parse_tokens(self._read()))
        except (ClientError, BotoCoreError, OSError, InvalidTokens) as exc:
            reason = str(exc) if isinstance(exc, InvalidTokens) else type(exc).__name__
            logger.error(  # noqa: TRY400 - a traceback could quote the answer
                "tokens_not_refreshed", extra={"error": reason, "known": self._tokens is not None}
            )
            delay = RETRY_SECONDS if self._tokens is None else self._refresh_seconds
        else:
            delay = self._refresh_seconds
        self._next_read = self._clock() + (delay or 0.0)


@cache
def store() -> TokenStore:
    """Return this process's tokens, from the configured source."""
    if settings.API_TOKENS_PARAMETER:
        return TokenStore(read_parameter, refresh_seconds=settings.API_TOKENS_REFRESH_SECONDS)
    return TokenStore(lambda: settings.API_TOKENS)


def owner_of(token: str) -> str | None:
    """Return the client that owns `token`, or None. Raises TokensUnavailable."""
    return store().current().owner(token)


def check() -> None:
    """Readiness probe: raises TokensUnavailable when no token is known."""
    store().current()
