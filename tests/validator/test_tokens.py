import hashlib
import hmac
import json
import threading
import time

import boto3
import pytest

from validator import tokens
from validator.tokens import InvalidTokens, TokenSet, TokenStore, TokensUnavailable, parse_tokens

GOOD = '{"alice": ["alice-token-1", "alice-token-2"], "bob": "bob-token-1"}'


def test_a_bare_token_belongs_to_default():
    assert parse_tokens(" some-token \n") == {"default": ("some-token",)}


def test_json_names_the_clients():
    assert parse_tokens(GOOD) == {
        "alice": ("alice-token-1", "alice-token-2"),
        "bob": ("bob-token-1",),
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "8 to 512"),
        ("seven77", "8 to 512"),
        ("with space", "8 to 512"),
        ("tökentöken", "8 to 512"),
        ("x" * 513, "8 to 512"),
        ("{", "not"),
        ("{" * 100_000, "not"),
        ("{}", "no client"),
        ('{"a b": "long-enough"}', "name"),
        ('{"": "long-enough"}', "name"),
        (json.dumps({"x" * 65: "long-enough"}), "name"),
        ('{"alice": []}', "one or two"),
        ('{"alice": null}', "one or two"),
        ('{"alice": ["one-token-1", "one-token-2", "one-token-3"]}', "one or two"),
        ('{"alice": [12345678]}', "8 to 512"),
        ('{"alice": "same-token", "bob": "same-token"}', "twice"),
        ('{"alice": "long-enough", "alice": "other-token"}', "twice"),
    ],
)
def test_anything_else_is_refused_without_quoting_a_token(text, problem):
    with pytest.raises(InvalidTokens, match=problem) as caught:
        parse_tokens(text)
    assert "long-enough" not in str(caught.value)
    assert "same-token" not in str(caught.value)


def test_both_tokens_of_a_client_are_its_own():
    known = TokenSet(parse_tokens(GOOD))
    assert known.owner("alice-token-1") == known.owner("alice-token-2") == "alice"
    assert known.owner("bob-token-1") == "bob"


@pytest.mark.parametrize(
    "token", ["", "alice", "alice-token-1 ", "ALICE-TOKEN-1", "\ud800", "x" * 10**6]
)
def test_unknown_tokens_belong_to_no_client(token):
    assert TokenSet(parse_tokens(GOOD)).owner(token) is None


@pytest.mark.parametrize("token", ["alice-token-1", "bob-token-1", "nobody"])
def test_every_known_token_is_compared_in_constant_time_whatever_matches(token, monkeypatch):
    compared = []

    def compare(known, given):
        compared.append(given)
        return hmac_compare(known, given)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr(tokens.hmac, "compare_digest", compare)
    TokenSet(parse_tokens(GOOD)).owner(token)
    assert compared == [hashlib.sha256(token.encode()).digest()] * 3


def test_known_tokens_are_kept_as_digests_only():
    assert "alice-token" not in repr(vars(TokenSet(parse_tokens(GOOD))))


class Parameter:
    """A fake SSM parameter that can fail, change or hang."""

    def __init__(self, *values):
        self.values = list(values)
        self.reads = 0
        self.read_once = threading.Event()

    def __call__(self):
        value = self.values[min(self.reads, len(self.values) - 1)]
        self.reads += 1
        self.read_once.set()
        if isinstance(value, Exception):
            raise value
        return value


@pytest.fixture
def clock():
    return [1000.0]


def _store(parameter, clock):
    return TokenStore(parameter, refresh_seconds=60, clock=lambda: clock[0])


def _wait_for_refresh(store):
    for _ in range(500):
        if not store._reading.locked():
            return
        time.sleep(0.01)
    pytest.fail("the refresh did not end")


def test_rotation_needs_no_restart(clock):
    parameter = Parameter("first-token", "second-token")
    store = _store(parameter, clock)
    assert store.current().owner("first-token") == "default"
    clock[0] += 59
    assert store.current().owner("first-token") == "default"
    assert parameter.reads == 1
    clock[0] += 1
    store.current()
    _wait_for_refresh(store)
    assert store.current().owner("second-token") == "default"
    assert store.current().owner("first-token") is None
    assert parameter.reads == 2


def test_after_an_idle_period_the_first_request_sees_the_rotation(clock):
    parameter = Parameter("first-token", "second-token")
    store = _store(parameter, clock)
    store.current()
    clock[0] += 36_000
    assert store.current().owner("first-token") is None
    assert store.current().owner("second-token") == "default"
    assert parameter.reads == 2


@pytest.mark.parametrize("failure", [OSError("down"), "short", "{"])
def test_last_known_tokens_stay_valid_while_the_parameter_cannot_be_read(clock, failure, caplog):
    store = _store(Parameter("first-token", failure, "third-token"), clock)
    store.current()
    clock[0] += 60
    store.current()
    _wait_for_refresh(store)
    assert store.current().owner("first-token") == "default"
    assert "tokens_not_refreshed" in caplog.text
    clock[0] += 60
    store.current()
    _wait_for_refresh(store)
    assert store.current().owner("third-token") == "default"


def test_requests_do_not_wait_for_a_refresh(clock):
    reading, go_on = threading.Event(), threading.Event()
    first = True

    def read():
        nonlocal first
        if not first:
            reading.set()
            go_on.wait(10)
        first = False
        return "first-token"

    store = _store(read, clock)
    store.current()
    clock[0] += 60
    store.current()
    assert reading.wait(10)
    assert store.current().owner("first-token") == "default"
    (thread,) = [each for each in threading.enumerate() if each.name == "tokens"]
    assert thread.daemon  # a read under way does not keep the process
    go_on.set()
    _wait_for_refresh(store)


def test_a_thread_that_cannot_start_does_not_end_refreshes(clock, monkeypatch, caplog):
    store = _store(Parameter("first-token", "second-token"), clock)
    store.current()
    clock[0] += 60

    def fail(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as out_of_threads:
        out_of_threads.setattr(threading.Thread, "start", fail)
        assert store.current().owner("first-token") == "default"
    assert "tokens_thread_not_started" in caplog.text
    store.current()
    _wait_for_refresh(store)
    assert store.current().owner("second-token") == "default"


def test_without_any_tokens_it_raises_and_retries_soon(clock):
    parameter = Parameter(OSError("down"), "first-token")
    store = _store(parameter, clock)
    for _ in range(3):
        with pytest.raises(TokensUnavailable):
            store.current()
    assert parameter.reads == 1
    clock[0] += tokens.RETRY_SECONDS
    assert store.current().owner("first-token") == "default"


def test_first_requests_read_the_parameter_once(clock):
    parameter = Parameter("first-token")
    store = _store(parameter, clock)
    threads = [threading.Thread(target=store.current) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert parameter.reads == 1


def test_the_secure_string_is_read_decrypted(aws_endpoint, settings):
    settings.API_TOKENS, settings.API_TOKENS_PARAMETER = "", "/cpsite/tokens"
    client = boto3.client("ssm", region_name="us-east-1", endpoint_url=aws_endpoint)
    client.put_parameter(Name="/cpsite/tokens", Value=GOOD, Type="SecureString", Overwrite=True)
    assert tokens.owner_of("bob-token-1") == "bob"
    tokens.check()


def test_a_read_that_hangs_ends_within_five_seconds(monkeypatch, settings):
    """A request may wait for it."""
    settings.API_TOKENS_PARAMETER = "/cpsite/tokens"
    asked = []

    class Client:
        def get_parameter(self, **arguments):
            asked.append(arguments)
            return {"Parameter": {"Value": "some-token"}}

    def make(service, *, config):
        asked.append((service, config.connect_timeout, config.read_timeout, config.retries))
        return Client()

    monkeypatch.setattr(tokens.aws, "client", make)
    assert tokens.read_parameter() == "some-token"
    assert asked == [
        ("ssm", 1, 2, {"total_max_attempts": 1}),
        {"Name": "/cpsite/tokens", "WithDecryption": True},
    ]


def test_a_missing_parameter_means_no_tokens(aws_endpoint, settings, caplog):
    settings.API_TOKENS, settings.API_TOKENS_PARAMETER = "", "/cpsite/missing"
    with pytest.raises(TokensUnavailable):
        tokens.check()
    assert "ParameterNotFound" in caplog.text or "tokens_not_refreshed" in caplog.text


def test_environment_tokens_are_read_once(settings):
    assert tokens.owner_of("alice-token-1") == "alice"
    settings.API_TOKENS = "other-token"
    assert tokens.owner_of("alice-token-1") == "alice"
