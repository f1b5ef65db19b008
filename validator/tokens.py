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
from dataclasses import dataclass
from functools import cache
from typing import Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from cpsite import aws
from cpsite.message import CLIENT_NAME, CONTRACT_NAME
from validator.contracts import contracts
from validator.token_slips import slip_in, slip_in_bare

logger = logging.getLogger(__name__)

#: Client of a bare token in API_TOKENS.
DEFAULT_CLIENT: Final = "default"
#: Tokens of one client that may be valid at once.
TOKENS_PER_CLIENT: Final = 2
#: Names of clients in the log line about a read that failed.
LOGGED_CLIENTS: Final = 20
#: Seconds until the next attempt when SSM could not be read and no token is known yet.
RETRY_SECONDS: Final = 2.0

# Printable ASCII without spaces, which an HTTP header carries unchanged.
_TOKEN = re.compile(r"[\x21-\x7e]{8,512}")


class InvalidTokens(ValueError):
    """The token configuration is not valid. The text may name the client, never a token."""


class TokensUnavailable(Exception):
    """No token is known, because no read has succeeded since the process started."""


@dataclass(frozen=True, slots=True)
class Client:
    """What is configured for a client: its tokens, and the contracts that it is bound to."""

    tokens: tuple[str, ...]
    #: Names of contracts; None for a client that may send messages of any.
    contracts: frozenset[str] | None = None


def parse_tokens(text: str) -> dict[str, tuple[str, ...]]:
    """Return the tokens of each client. Raises InvalidTokens, as `parse_clients` does."""
    return {name: client.tokens for name, client in parse_clients(text).items()}


def parse_clients(text: str) -> dict[str, Client]:
    """Read `{"client": ["token", "next-token"]}` or a bare token, whose client is `default`.

    Instead of its tokens, a client may have `{"tokens": […], "contracts": ["name"]}`, which binds
    it to these contracts. A client name has 1 to 64 letters, digits and `_.-`. A token has 8 to
    512 printable ASCII characters; a bare one those of RFC 6750 alone. Raises InvalidTokens for
    anything else, and for what looks like a slip.
    """
    text = text.strip()
    if not is_named(text):
        clients = _validated({DEFAULT_CLIENT: [text]})
        if slip := slip_in_bare(text):
            raise InvalidTokens(f"as one bare token it {slip}")
        return clients
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except InvalidTokens:
        raise
    except (ValueError, RecursionError):
        raise InvalidTokens("it starts with { but is not valid JSON") from None
    return _validated(document)


def is_named(text: str) -> bool:
    """Whether a configuration text has the form with names of clients."""
    return text.lstrip().startswith("{")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise InvalidTokens("a client, or a name in it, is listed twice")
    return document


def _validated(document: Mapping[str, object]) -> dict[str, Client]:
    clients = {name: _client(name, given) for name, given in document.items()}
    if not clients:
        raise InvalidTokens("there is no client in it")
    every = [token for client in clients.values() for token in client.tokens]
    if len(set(every)) < len(every):
        raise InvalidTokens("a token is listed twice, so its owner is ambiguous")
    return clients


def _client(name: str, given: object) -> Client:
    if not CLIENT_NAME.fullmatch(name):
        raise InvalidTokens("a client's name is not 1 to 64 of letters, digits and _.-")
    if not isinstance(given, dict):
        return Client(_tokens_of(name, given))
    if given.keys() != {"tokens", "contracts"}:
        raise InvalidTokens(f"client {name} is an object of other names than tokens and contracts")
    contracts = given["contracts"]
    if (
        not isinstance(contracts, list)
        or not contracts
        or not all(isinstance(each, str) and CONTRACT_NAME.fullmatch(each) for each in contracts)
    ):
        raise InvalidTokens(f"contracts of client {name} is not a list of names of contracts")
    return Client(_tokens_of(name, given["tokens"]), frozenset(contracts))


def _tokens_of(client: str, given: object) -> tuple[str, ...]:
    tokens = [given] if isinstance(given, str) else given
    if not isinstance(tokens, list) or not 1 <= len(tokens) <= TOKENS_PER_CLIENT:
        raise InvalidTokens(f"client {client} does not have one or two tokens")
    if not all(isinstance(token, str) and _TOKEN.fullmatch(token) for token in tokens):
        raise InvalidTokens(
            f"a token of client {client} is not 8 to 512 printable ASCII characters"
        )
    if slip := next(filter(None, map(slip_in, tokens)), None):
        raise InvalidTokens(f"a token of client {client} {slip}")
    return tuple(tokens)


class TokenSet:
    """Known tokens, kept as digests: nothing that shows this object shows a token.

    The process has the texts elsewhere: API_TOKENS in its environment, an answer of SSM until its
    memory is used again.
    """

    def __init__(
        self,
        tokens: Mapping[str, Sequence[str]],
        contracts: Mapping[str, frozenset[str] | None] | None = None,
    ) -> None:
        #: Of each client that is bound to contracts, their names.
        self.contracts = {name: bound for name, bound in (contracts or {}).items() if bound}
        self._owners = [
            (_digest(token), client) for client, known in tokens.items() for token in known
        ]

    @property
    def clients(self) -> list[str]:
        """The names of the clients, sorted."""
        return sorted({client for _, client in self._owners})

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
        #: Whether they came with names of clients, and when they were read.
        self._are_named = False
        self._read_at = 0.0
        self._next_read = 0.0
        #: Clients of the last warning.
        self._told: list[str] = []
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
            try:
                threading.Thread(target=self._load_and_release, name="tokens", daemon=True).start()
            except RuntimeError:  # the system is out of threads: the next request tries again
                self._reading.release()
                logger.exception("tokens_thread_not_started")

    def _load_and_release(self) -> None:
        try:
            self._load()
        finally:
            self._reading.release()

    def _load(self) -> None:
        try:
            text = self._read()
            tokens = self._parsed(text)
        except (ClientError, BotoCoreError, OSError, InvalidTokens) as exc:
            self._log_failure(exc)
            delay = RETRY_SECONDS if self._tokens is None else self._refresh_seconds
        else:
            self._tokens, self._are_named, self._read_at = tokens, is_named(text), self._clock()
            self._tell_of_unknown_contracts(tokens)
            delay = self._refresh_seconds
        self._next_read = self._clock() + (delay or 0.0)

    def _parsed(self, text: str) -> TokenSet:
        """Read a configuration text. Raises InvalidTokens, also for a bare token after names."""
        clients = parse_clients(text)
        tokens = TokenSet(
            {name: client.tokens for name, client in clients.items()},
            {name: client.contracts for name, client in clients.items()},
        )
        if self._are_named and not is_named(text):
            raise InvalidTokens(
                "clients with names are known, and this is one bare token: "
                f'for that alone, write {{"{DEFAULT_CLIENT}": ["token"]}}'
            )
        return tokens

    def _tell_of_unknown_contracts(self, tokens: TokenSet) -> None:
        """Log, once, who is bound to contracts that this process does not have.

        It is no error: another version of the service may have them.
        """
        known = {contract.name for contract in contracts()}
        clients = sorted(name for name, bound in tokens.contracts.items() if not bound <= known)
        if clients and clients != self._told:
            logger.warning("client_contracts_unknown", extra={"clients": ", ".join(clients)})
        self._told = clients

    def _log_failure(self, exc: Exception) -> None:
        """Log why the tokens were not read, and whose stay valid, since when."""
        reason = str(exc) if isinstance(exc, InvalidTokens) else type(exc).__name__
        kept = self._tokens.clients if self._tokens else []
        logger.error(
            "tokens_not_refreshed",
            extra={
                "error": reason,
                "kept_clients": len(kept),
                "kept": ", ".join(kept[:LOGGED_CLIENTS]),
                "kept_for_seconds": round(self._clock() - self._read_at) if kept else None,
            },
        )


@cache
def store() -> TokenStore:
    """Return this process's tokens, from the configured source."""
    if settings.API_TOKENS_PARAMETER:
        return TokenStore(read_parameter, refresh_seconds=settings.API_TOKENS_REFRESH_SECONDS)
    return TokenStore(lambda: settings.API_TOKENS)


def owner_of(token: str) -> str | None:
    """Return the client that owns `token`, or None. Raises TokensUnavailable."""
    return store().current().owner(token)


def contracts_of(client: str) -> frozenset[str] | None:
    """Return the contracts that a client is bound to, or None. Raises TokensUnavailable."""
    return store().current().contracts.get(client)


def check() -> None:
    """Readiness probe: raises TokensUnavailable when no token is known."""
    store().current()
