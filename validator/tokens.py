"""Who owns a token.

Tokens are named by their owner, the client, and each client may have two: the one in use and the
next, so that a rotation has no moment at which neither works. They come from API_TOKENS, fixed
for the life of the process, or from the SSM SecureString named by API_TOKENS_PARAMETER, read
again every API_TOKENS_REFRESH_SECONDS. While SSM cannot be read, the last known tokens stay valid.
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

#: Client of a token that API_TOKENS gives without a name.
DEFAULT_CLIENT: Final = "default"
#: Tokens of one client that may be valid at once.
TOKENS_PER_CLIENT: Final = 2
#: Seconds to the next try when SSM could not be read and no token is known yet.
RETRY_SECONDS: Final = 2.0

# Printable ASCII without spaces, which is what survives an HTTP header.
_TOKEN = re.compile(r"[\x21-\x7e]{8,512}")


class InvalidTokens(ValueError):
    """Token configuration that cannot be read; the text names the client, never a token."""


class TokensUnavailable(Exception):
    """No token is known, because SSM has not been readable since this process started."""


def parse_tokens(text: str) -> dict[str, tuple[str, ...]]:
    """Read `{"client": ["token", "next-token"]}` or a bare token, whose client is `default`.

    Client names are up to 64 of letters, digits and `_.-`; tokens are 8 to 512 printable ASCII
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
        raise InvalidTokens("it starts like JSON but is not") from None
    return _validated(document)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise InvalidTokens("a client stands there twice")
    return document


def _validated(document: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    tokens = {client: _tokens_of(client, given) for client, given in document.items()}
    if not tokens:
        raise InvalidTokens("there is no client in it")
    every = [token for of_client in tokens.values() for token in of_client]
    if len(set(every)) < len(every):
        raise InvalidTokens("a token stands there twice, so its owner is not clear")
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
    """Known tokens, kept as digests, so that a memory dump or a debugger shows none."""

    def __init__(self, tokens: Mapping[str, Sequence[str]]) -> None:
        self._owners = [
            (_digest(token), client) for client, known in tokens.items() for token in known
        ]

    def owner(self, token: str) -> str | None:
        """Return the client that owns `token`, or None.

        Takes the same time whichever token matches, or none: every known one is compared, in
        constant time, and digests hide the lengths.
        """
        given = _digest(token)
        owner = None
        for digest, client in self._owners:
            if hmac.compare_digest(digest, given):
                owner = client
        return owner


def _digest(token: str) -> bytes:
    # A body may hold lone surrogates, which strict UTF-8 could not encode.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def read_parameter() -> str:
    """Return the SecureString's value. Raises ClientError or BotoCoreError; waits up to 5 s."""
    client = aws.client(
        "ssm",
        config=Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1}),
    )
    answer = client.get_parameter(Name=settings.API_TOKENS_PARAMETER, WithDecryption=True)
    return str(answer["Parameter"]["Value"])


class TokenStore:
    """The tokens that are valid now.

    `read` returns the configuration text and must be bounded in time. It is called again every
    `refresh_seconds`, in a thread, so that no request waits for it, but for the first one after
    two intervals without any. With None it is read once.
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
        """Return the tokens that are valid now. Raises TokensUnavailable when none is known."""
        if self._tokens is None:
            self._load_first()
        elif self._refresh_seconds is not None and self._clock() >= self._next_read:
            if self._clock() >= self._next_read + self._refresh_seconds:
                # Nobody has asked for so long that what is known may be wrong by now: wait.
                self._refresh_now()
            else:
                self._refresh_aside()
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

    def _refresh_aside(self) -> None:
        # Whoever gets the lock starts the reading; the others go on with what is known.
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
    """Return this process's tokens, from whichever source is configured."""
    if settings.API_TOKENS_PARAMETER:
        return TokenStore(read_parameter, refresh_seconds=settings.API_TOKENS_REFRESH_SECONDS)
    return TokenStore(lambda: settings.API_TOKENS)


def owner_of(token: str) -> str | None:
    """Return the client that owns `token`, or None. Raises TokensUnavailable."""
    return store().current().owner(token)


def check() -> None:
    """Readiness probe: raises TokensUnavailable when no token is known."""
    store().current()
