"""Checks of the settings that the validator needs. `cpsite/checks.py` says how they are run."""

from collections.abc import Sequence
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error

from cpsite.queue.client import MESSAGE_BYTES
from validator.contracts import ContractInvalid, contracts
from validator.tokens import InvalidTokens, parse_clients

#: Bytes reserved for the envelope around a message on the queue; about 400 were measured.
_ENVELOPE_BYTES: Final = 2_048
#: Largest growth of text on the queue: two or four UTF-8 bytes become 6 or 12 bytes of \\u escapes.
#: The one exception, U+007F (DEL), grows sixfold; a message that is too long then gets a 413.
_GROWTH: Final = 3


def check_tokens(app_configs: Sequence[Any] | None, **_kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """cpsite.E001, E002: the API's tokens must be configured in one place and be valid."""
    if not settings.SERVES_API:
        return []
    if bool(settings.API_TOKENS) == bool(settings.API_TOKENS_PARAMETER):
        problem = "Both are set" if settings.API_TOKENS else "No API token is configured"
        return [
            Error(
                f"{problem}: API_TOKENS, API_TOKENS_PARAMETER.",
                hint="Set API_TOKENS to a token or to JSON like "
                '{"client": ["token", "next-token"]}, or API_TOKENS_PARAMETER to the name of an '
                "SSM SecureString that holds the same.",
                id="cpsite.E001",
            )
        ]
    try:
        clients = parse_clients(settings.API_TOKENS) if settings.API_TOKENS else {}
    except InvalidTokens as exc:
        return [Error(f"API_TOKENS is not valid: {exc}.", id="cpsite.E002")]
    known = _contract_names()
    return [
        Error(
            f"API_TOKENS binds client {name} to contracts that do not exist.",
            hint=f"There are: {', '.join(sorted(known))}.",
            id="cpsite.E002",
        )
        for name, client in clients.items()
        if known and client.contracts and not client.contracts <= known
    ]


def _contract_names() -> set[str]:
    """Return the names of the contracts, or nothing if they are not valid (cpsite.E013)."""
    try:
        return {contract.name for contract in contracts()}
    except ContractInvalid:
        return set()


def check_contracts(app_configs: Sequence[Any] | None, **_kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """cpsite.E013: CONTRACT_MODULE must declare contracts that can be enforced."""
    if not settings.SERVES_API:
        return []
    try:
        contracts()
    except ContractInvalid as exc:
        hint = "docs/changing-the-contract.md says what a contract may have."
        return [Error(f"The contract is not valid: {exc}.", hint=hint, id="cpsite.E013")]
    return []


def check_secret_key(app_configs: Sequence[Any] | None, **_kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """cpsite.E005: all workers and tasks must share one key, or admin sessions break."""
    if settings.DEBUG or not settings.SERVES_ADMIN:
        return []
    if not settings.SECRET_KEY.startswith("django-insecure-"):
        return []
    return [
        Error(
            "DJANGO_SECRET_KEY is not set.",
            hint="Set it to 50 or more random characters, the same for all tasks.",
            id="cpsite.E005",
        )
    ]


def check_body_limit(app_configs: Sequence[Any] | None, **_kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """cpsite.E006: a message that fits the contract must fit into an SQS message."""
    longest = (MESSAGE_BYTES - _ENVELOPE_BYTES) // _GROWTH
    if longest >= settings.MAX_BODY_BYTES:
        return []
    return [
        Error(
            f"MAX_BODY_BYTES is {settings.MAX_BODY_BYTES}, more than fits into an SQS message.",
            hint=f"Set it to at most {longest}.",
            id="cpsite.E006",
        )
    ]
