"""Credentials are found and renewed whatever their source does meanwhile."""

import os
import threading
import time

import pytest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError

from cpsite import aws, credentials
from cpsite.credentials import CredentialsUnavailable, Found, RenewedCredentials
from tests.stands.credentials import Metadata, Sts
from tests.waiting import wait_for


class Source:
    """A function that finds credentials, fails or hangs, as a test sets it."""

    def __init__(self, *, lifetime=3600.0):
        self.lifetime = lifetime
        self.error = None
        self.calls = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self):
        self.calls += 1
        number = self.calls
        assert self.go_on.wait(30)
        if self.error is not None:
            raise self.error
        expires_at = None if self.lifetime is None else time.time() + self.lifetime
        return Found(ReadOnlyCredentials(f"key-{number}", "secret", "token"), expires_at)


@pytest.fixture
def source(monkeypatch):
    monkeypatch.setattr(credentials, "WAIT_SECONDS", 5)
    monkeypatch.setattr(credentials, "PAUSE_SECONDS_MAX", 0.05)
    return Source()


def test_they_are_looked_up_once_and_kept(source):
    found = RenewedCredentials(source)
    assert {found.access_key for _ in range(50)} == {"key-1"}
    assert source.calls == 1


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Credentials were refreshed, but are still expired."),
        BotoCoreError(),
        ClientError({"Error": {"Code": "AccessDenied"}}, "AssumeRole"),
        KeyError("AccessKeyId"),
        OSError("private words"),
    ],
    ids=repr,
)
def test_whatever_a_provider_raises_is_an_outage_that_ends(source, error, caplog):
    source.error = error
    found = RenewedCredentials(source)
    with pytest.raises(BotoCoreError) as caught:
        found.get_frozen_credentials()
    assert isinstance(caught.value, CredentialsUnavailable)
    assert "private" not in f"{caught.value}{caplog.text}"
    source.error = None
    wait_for(lambda: _is_there(found), "credentials")


def _is_there(found):
    try:
        return found.get_frozen_credentials()
    except CredentialsUnavailable:
        return None


def test_a_lasting_failure_is_one_log_line_and_few_look_ups(source, caplog, monkeypatch):
    monkeypatch.setattr(credentials, "PAUSE_SECONDS_MAX", 30)
    source.error = OSError()
    found = RenewedCredentials(source)
    for _ in range(500):
        assert _is_there(found) is None
    assert source.calls <= 2
    assert caplog.text.count("credentials_not_found") == 1


def test_valid_ones_are_used_while_their_source_hangs(source):
    source.lifetime = 1.5
    found = RenewedCredentials(source)
    assert found.access_key == "key-1"
    source.go_on.clear()
    found._renew_at = 0.0
    found._not_before = 0.0
    began = source.calls
    assert [found.access_key for _ in range(20)] == ["key-1"] * 20
    wait_for(lambda: source.calls == began + 1, "a look-up aside")
    source.lifetime = 3600
    source.go_on.set()
    wait_for(lambda: found.access_key == "key-2", "new ones")


def test_a_call_without_valid_ones_waits_for_a_bounded_time(source, monkeypatch):
    monkeypatch.setattr(credentials, "WAIT_SECONDS", 0.05)
    source.go_on.clear()
    found = RenewedCredentials(source)
    with pytest.raises(CredentialsUnavailable, match="no answer yet"):
        found.get_frozen_credentials()
    source.go_on.set()
    wait_for(lambda: _is_there(found), "credentials")


@pytest.mark.parametrize("lifetime", [2.0, 60.0, 3600.0, 43200.0])
def test_they_are_renewed_in_time_and_not_all_the_time(source, lifetime):
    source.lifetime = lifetime
    found = RenewedCredentials(source)
    current = found.current()
    left = current.expires_at - found._renew_at
    assert 0.4 * min(lifetime, 1800) <= left <= 900
    for _ in range(100):
        found.get_frozen_credentials()
    assert source.calls == 1


def test_expired_ones_are_no_credentials(source):
    source.lifetime = -60
    with pytest.raises(CredentialsUnavailable, match="expired"):
        RenewedCredentials(source).get_frozen_credentials()


def test_ones_that_aws_refuses_are_looked_up_again_but_not_each_time(source, monkeypatch):
    monkeypatch.setattr(credentials, "DISTRUST_SECONDS", 0)
    source.lifetime = None
    found = RenewedCredentials(source)
    assert found.access_key == "key-1"
    found.distrust()
    wait_for(lambda: found.access_key == "key-2", "new ones")
    monkeypatch.setattr(credentials, "DISTRUST_SECONDS", 60)
    found.distrust()
    wait_for(lambda: found.access_key == "key-3", "new ones")
    for _ in range(20):
        found.distrust()
        found.get_frozen_credentials()
    assert source.calls == 3


def test_a_fork_during_a_look_up_does_not_leave_the_child_waiting(source):
    source.go_on.clear()
    found = RenewedCredentials(source)
    found._renew_at = 0.0
    threading.Thread(target=lambda: _is_there(found), daemon=True).start()
    wait_for(lambda: source.calls == 1, "a look-up")
    child = os.fork()
    if child == 0:
        found.forget_threads()
        source.go_on = threading.Event()
        source.go_on.set()
        os._exit(0 if _is_there(found) else 1)
    source.go_on.set()
    assert os.waitpid(child, 0)[1] == 0


@pytest.fixture
def fresh(queue, monkeypatch):
    """Take the tests' own credentials away, and begin as a new process does."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setattr(credentials, "PAUSE_SECONDS_MAX", 0.05)
    monkeypatch.setattr(credentials, "WAIT_SECONDS", 20)
    aws.credentials.cache_clear()
    aws._session.cache_clear()
    yield monkeypatch
    aws.credentials.cache_clear()
    aws._session.cache_clear()


def _point_at(fresh, environment):
    for name, value in environment.items():
        fresh.setenv(name, value)


@pytest.mark.parametrize("kind", ["instance", "container"])
def test_a_client_made_while_the_metadata_fails_recovers(fresh, queue, kind):
    with Metadata(state="down") as metadata:
        environment = {
            "instance": metadata.environment,
            "container": metadata.container_environment,
        }[kind]()
        _point_at(fresh, environment)
        client = aws.client("sqs")
        for _ in range(2):
            with pytest.raises(CredentialsUnavailable):
                client.get_queue_attributes(QueueUrl=queue.url)
        metadata.state = "ok"
        wait_for(lambda: _works(client, queue), "credentials")
        assert set(metadata.issued) & {aws.credentials().access_key}


def _works(client, queue):
    try:
        return client.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["QueueArn"])
    except CredentialsUnavailable:
        return None


@pytest.mark.parametrize("state", ["down", "refused", "empty", "expired"])
def test_sts_fails_in_each_way_and_comes_back(fresh, queue, state, tmp_path):
    with Sts(state=state) as sts:
        _point_at(fresh, sts.environment(tmp_path))
        client = aws.client("sqs")
        with pytest.raises(CredentialsUnavailable):
            client.get_queue_attributes(QueueUrl=queue.url)
        sts.state = "ok"
        wait_for(lambda: _works(client, queue), "credentials")


def test_the_expiry_is_what_the_source_says(fresh, tmp_path):
    with Sts(lifetime=60) as sts:
        _point_at(fresh, sts.environment(tmp_path))
        found = credentials.look_up()
        assert found.expires_at == pytest.approx(sts.issued[found.frozen.access_key], abs=1.5)


def test_providers_own_clients_have_short_time_outs(fresh, tmp_path, monkeypatch):
    quick = credentials._CLIENT_CONFIG
    assert quick.connect_timeout + quick.read_timeout <= 10
    monkeypatch.setattr(
        credentials,
        "_CLIENT_CONFIG",
        quick.merge(type(quick)(read_timeout=0.3, retries={"total_max_attempts": 1})),
    )
    with Sts(state="hangs") as sts:
        _point_at(fresh, sts.environment(tmp_path))
        with pytest.raises(BotoCoreError):
            credentials.look_up()


def test_a_profile_that_is_added_later_is_found(fresh, queue, tmp_path):
    fresh.setenv("AWS_PROFILE", "later")
    fresh.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    found = aws.credentials()
    with pytest.raises(CredentialsUnavailable, match="ProfileNotFound"):
        found.get_frozen_credentials()
    (tmp_path / "config").write_text(
        "[profile later]\naws_access_key_id = file-key\naws_secret_access_key = s\n"
    )
    assert wait_for(lambda: _is_there(found), "the profile").access_key == "file-key"
