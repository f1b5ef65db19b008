"""What a new worker does before its first request."""

from contextlib import suppress

from validator import publisher, tokens


def warm_up() -> None:
    """Create the SQS client and read the tokens.

    Tokens that cannot be read now are tried again, and readiness tells meanwhile.
    """
    publisher.warm_up()
    with suppress(tokens.TokensUnavailable):
        tokens.check()
