"""Prepares a new worker for its first request."""

from contextlib import suppress

from validator import publisher, tokens


def warm_up() -> None:
    """Create the SQS client and read the tokens.

    If the tokens cannot be read now, they are read again later. Until then readiness fails.
    """
    publisher.warm_up()
    with suppress(tokens.TokensUnavailable):
        tokens.check()
