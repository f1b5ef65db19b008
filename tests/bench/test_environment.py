"""`make bench` takes minutes and runs by hand: what would stop it at its start is noticed here."""

from bench import environment
from validator.tokens import parse_tokens


def test_our_services_take_the_token():
    assert parse_tokens(environment.TOKEN) == {"default": (environment.TOKEN,)}
