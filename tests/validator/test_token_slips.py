"""What was saved by mistake in place of the tokens becomes no credential, whatever it is."""

import base64
import json
import secrets
import string
import uuid
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from validator.tokens import InvalidTokens, TokenStore, TokensUnavailable, parse_tokens

#: Tokens as people make them: long and random, with a mark that must not be quoted.
TOKENS = st.text(string.ascii_letters + string.digits + "-_", min_size=12, max_size=60).map(
    lambda text: f"Qz7{text}"
)
NAMES = st.text(string.ascii_lowercase, min_size=3, max_size=10)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


#: How a token, or two, come to be saved in a wrong form.
SLIPS: dict[str, Callable[[str, str, str], str]] = {
    "a list": lambda token, other, name: json.dumps([token]),
    "a list of two": lambda token, other, name: json.dumps([token, other]),
    "a text": lambda token, other, name: json.dumps(token),
    "a list in a list": lambda token, other, name: json.dumps([[token]]),
    "pairs in a list": lambda token, other, name: json.dumps([{name: token}]),
    "JSON in a text": lambda token, other, name: json.dumps(json.dumps({name: [token]})),
    "JSON in base64": lambda token, other, name: _encoded(json.dumps({name: [token]})),
    "a list in base64": lambda token, other, name: _encoded(json.dumps([token])),
    "Python's dict": lambda token, other, name: str({name: [token]}),
    "Python's list": lambda token, other, name: str([token]),
    "single quotes": lambda token, other, name: f"'{token}'",
    "backticks": lambda token, other, name: f"`{token}`",
    "a quote at one end": lambda token, other, name: f'{token}"',
    "a bracket lost": lambda token, other, name: f'"{name}": ["{token}"]}}',
    "a pair": lambda token, other, name: f"{name}:{token}",
    "a pair with a space": lambda token, other, name: f"{name}: {token}",
    "an assignment": lambda token, other, name: f"{name}={token}",
    "a line of .env": lambda token, other, name: f"API_TOKENS={token}",
    "pairs": lambda token, other, name: f"{name}:{token},bob:{other}",
    "commas": lambda token, other, name: f"{token},{other}",
    "semicolons": lambda token, other, name: f"{token};{other}",
    "bars": lambda token, other, name: f"{token}|{other}",
    "lines": lambda token, other, name: f"{token}\n{other}",
    "a list of YAML": lambda token, other, name: f"- {token}",
    "a header": lambda token, other, name: f"Bearer {token}",
    "a header with a colon": lambda token, other, name: f"Authorization:{token}",
    "angle brackets": lambda token, other, name: f"<{token}>",
    "XML": lambda token, other, name: f"<token>{token}</token>",
    "encoded for a URL": lambda token, other, name: f"%22{token}%22",
    "encoded for HTML": lambda token, other, name: f"&quot;{token}&quot;",
    "a byte order mark": lambda token, other, name: f"\ufeff{token}",
    "a variable": lambda token, other, name: f"${{{name}}}",
    "a variable of make": lambda token, other, name: f"$({name}_token)",
    "a variable of Windows": lambda token, other, name: f"%{name}_TOKEN%",
    "a file of the AWS CLI": lambda token, other, name: f"file://{name}.json",
    "a file of curl": lambda token, other, name: f"@{name}.json",
    "a file": lambda token, other, name: f"{name}-tokens.json",
    "the parameter's name": lambda token, other, name: f"/cpsite/{name}/api-tokens",
    "an ARN": lambda token, other, name: f"arn:aws:ssm:eu-west-1:123456789012:parameter/{name}",
    "a URL": lambda token, other, name: f"https://example.com/{token}",
    "a template": lambda token, other, name: f"{{{{ {name} }}}}",
    "a number": lambda token, other, name: "1234567890",
}


@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
@settings(max_examples=20)
@given(token=TOKENS, other=TOKENS, name=NAMES)
def test_a_slip_is_refused_and_not_quoted(slip, token, other, name):
    with pytest.raises(InvalidTokens) as caught:
        parse_tokens(slip(token, other, name))
    assert token not in str(caught.value)
    assert other not in str(caught.value)


WORDS = [
    *("CHANGEME", "change-me", "Change_Me_Please", "changeit", "CHANGE_THIS_TOKEN", "REPLACE_ME"),
    *("replace-with-token", "placeholder", "place_holder", "your-token", "YOUR_API_TOKEN_HERE"),
    *("insert-token-here", "enter_your_token", "put-the-token-here", "TODO-TODO", "tbd-tbd-"),
    *("to-be-defined", "undefined", "REDACTED", "xxxxxxxx", "XXXX-XXXX-XXXX", "--------"),
    *("........", "aaaaaaaa", "password", "api-token", "API_TOKENS", "secret-token", "not-set-"),
    *("nullnull", "dummy-token", "example-token", "<your-token>", "my-password", "bearer-token"),
]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("form", ["{}", '{{"alice": "{}"}}', '{{"alice": ["Qz7wP-fine-4", "{}"]}}'])
@settings(max_examples=5)
@given(suffix=st.from_regex(r"[0-9!._-]{0,6}", fullmatch=True))
def test_a_placeholder_is_refused_in_every_form(word, form, suffix):
    with pytest.raises(InvalidTokens):
        parse_tokens(form.format(word + suffix))


@pytest.mark.parametrize(
    "wrapped", ["'{}'", "[{}]", "<{}>", "${{{}}}", "$({})", "`{}`", '\\"{}\\"']
)
@given(token=TOKENS)
def test_a_named_token_in_quotes_or_brackets_is_refused(wrapped, token):
    with pytest.raises(InvalidTokens, match="quotes or brackets") as caught:
        parse_tokens(f'{{"alice": ["{wrapped.format(token)}"]}}')
    assert token not in str(caught.value)


@given(token=TOKENS)
def test_long_and_random_ones_are_taken(token):
    # A key that was held down is refused.
    assume(len(set(token)) > 5)
    assume(3 * max(map(token.count, token)) < len(token))
    assert parse_tokens(token) == {"default": (token,)}
    assert parse_tokens(json.dumps({"alice": token})) == {"alice": (token,)}


def test_what_people_make_tokens_with_is_taken():
    makers: list[Callable[[], str]] = [
        lambda: secrets.token_urlsafe(32),
        lambda: secrets.token_urlsafe(24),
        lambda: secrets.token_hex(32),
        lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
        lambda: str(uuid.uuid4()),
        lambda: f"{uuid.uuid4().hex}.{uuid.uuid4().hex}",
    ]
    for make in makers * 500:
        token = make()
        assert parse_tokens(token) == {"default": (token,)}
        assert parse_tokens(json.dumps({"alice": [token]})) == {"alice": (token,)}


@pytest.mark.parametrize(
    "token", ["tok-tok-tok", "my-own-token", "a-token-of-tests", "smoke-test-1", "p@ss:w(or)d,9"]
)
def test_short_ones_of_a_trial_are_taken(token):
    assert parse_tokens(json.dumps({"alice": token})) == {"alice": (token,)}


# --- On a refresh -----------------------------------------------------------------------------

NAMED = '{"alice": ["Qz7-alice-1"], "bob": ["Qz7-bob-1"]}'


def _store(*texts: str) -> tuple[TokenStore, list[float]]:
    given, clock = list(texts), [1_000.0]
    store = TokenStore(
        lambda: given.pop(0) if len(given) > 1 else given[0],
        refresh_seconds=60,
        clock=lambda: clock[0],
    )
    return store, clock


def _much_later(clock: list[float]) -> None:
    """So much that the next request waits for the read."""
    clock[0] += 36_000


@pytest.mark.parametrize(
    "slip",
    ["Qz7-bare-token", *(make("Qz7-one-token", "Qz7-other", "carol") for make in SLIPS.values())],
)
def test_named_clients_are_kept_when_something_else_is_saved(slip, caplog):
    store, clock = _store(NAMED, slip)
    assert store.current().owner("Qz7-alice-1") == "alice"
    _much_later(clock)
    for token in (slip, slip.strip(), "Qz7-one-token"):
        assert store.current().owner(token) is None
    assert store.current().owner("Qz7-alice-1") == "alice"
    assert store.current().owner("Qz7-bob-1") == "bob"

    (line,) = [each for each in caplog.records if each.getMessage() == "tokens_not_refreshed"]
    assert (line.kept, line.kept_clients, line.kept_for_seconds) == ("alice, bob", 2, 36_000)
    assert "Qz7" not in caplog.text + str(vars(line))


def test_a_bare_token_may_become_named_clients_and_a_single_one_needs_its_name():
    store, clock = _store("Qz7-bare-token", NAMED, '{"default": ["Qz7-only-one"]}')
    assert store.current().owner("Qz7-bare-token") == "default"
    _much_later(clock)
    assert store.current().owner("Qz7-bob-1") == "bob"
    _much_later(clock)
    assert store.current().owner("Qz7-only-one") == "default"


@pytest.mark.parametrize(
    "slip", ['["Qz7-token-A"]', '"Qz7-token-A"', "alice:Qz7-token-A", "CHANGEME1"]
)
def test_a_slip_at_the_start_is_no_token_either(slip, caplog):
    store, _ = _store(slip)
    with pytest.raises(TokensUnavailable):
        store.current()
    (line,) = [each for each in caplog.records if each.getMessage() == "tokens_not_refreshed"]
    assert (line.kept, line.kept_clients, line.kept_for_seconds) == ("", 0, None)
    assert "Qz7" not in caplog.text + str(vars(line))
