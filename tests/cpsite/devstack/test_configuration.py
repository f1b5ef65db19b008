import json
import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from cpsite.devstack import __main__ as devstack
from cpsite.devstack import configuration
from cpsite.devstack.configuration import CannotStart, check_ports, lock, read_configuration
from tests.end_to_end.conftest import free_port

NAMES = ("PORT", "AWS_PORT", "VALIDATOR_METRICS_PORT", "UPLOADER_METRICS_PORT", "API_TOKENS")


@pytest.fixture
def read(tmp_path, monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)

    def read(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return read_configuration(tmp_path, python=Path("python"), ministack=Path("ministack"))

    return read


def test_the_defaults_are_the_documented_ones(read):
    config = read()
    assert config.ports == {
        "PORT": 8000,
        "AWS_PORT": 4566,
        "VALIDATOR_METRICS_PORT": 9100,
        "UPLOADER_METRICS_PORT": 9101,
    }
    environment = config.service_environment()
    assert environment["SQS_QUEUE_URL"] == "http://127.0.0.1:4566/000000000000/cpsite-messages"
    assert environment["SQS_DLQ_URL"].endswith("/cpsite-messages-dlq")
    assert environment["S3_BUCKET"] == "cpsite-messages"
    assert environment["AWS_REGION"] == "us-east-1"


def test_secrets_are_made_once_and_kept_private(read, tmp_path):
    first, second = read(), read()
    assert first == second
    assert len(first.api_tokens) >= 32
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_tokens_of_the_caller_are_respected(read):
    assert read(API_TOKENS="my-own-token").service_environment()["API_TOKENS"] == "my-own-token"


def test_the_token_of_a_shell_is_for_commands_alone(read, tmp_path, monkeypatch):
    config = read(CPSITE_TOKEN="a-token-of-the-shell")
    assert "CPSITE_TOKEN" not in config.service_environment()
    assert "CPSITE_TOKEN" not in config.aws_environment()
    configuration.remember(config)
    ran = []
    monkeypatch.setattr(os, "execve", lambda *call: ran.append(call) or sys.exit(0))
    umask = os.umask(0o077)
    try:
        with pytest.raises(SystemExit):
            devstack.main(["--state", str(tmp_path), "manage", "send"])
    finally:
        os.umask(umask)
    ((_, arguments, environment),) = ran
    assert arguments[-1] == "send"
    assert environment["CPSITE_TOKEN"] == "a-token-of-the-shell"


def test_the_callers_aws_account_is_out_of_reach(read):
    config = read(
        AWS_ACCESS_KEY_ID="real",
        AWS_SECRET_ACCESS_KEY="real",
        AWS_SESSION_TOKEN="real",
        AWS_PROFILE="real",
        AWS_ENDPOINT_URL="https://real",
        AWS_ENDPOINT_URL_SQS="https://real",
        AWS_ENDPOINT_URL_S3="https://real",
    )
    for environment in (config.service_environment(), config.aws_environment()):
        assert not [name for name, value in environment.items() if "real" in value]
    environment = config.service_environment()
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"


def test_only_a_database_meant_for_the_stack_is_used(read):
    config = read(DATABASE_URL="postgresql://elsewhere/product")
    assert config.service_environment()["DATABASE_URL"].startswith("sqlite:///")
    config = read(DEVSTACK_DATABASE_URL="postgresql://db/cpsite")
    assert config.service_environment()["DATABASE_URL"] == "postgresql://db/cpsite"


def test_the_embedded_aws_listens_on_loopback_and_keeps_its_state(read, tmp_path):
    environment = read(AWS_PORT="14566").aws_environment()
    assert environment["BIND_HOST"] == "127.0.0.1"
    assert environment["GATEWAY_PORT"] == "14566"
    assert environment["PERSIST_STATE"] == environment["S3_PERSIST"] == "1"
    assert environment["STATE_DIR"].startswith(str(tmp_path))


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "80.5"])
def test_a_port_that_is_none_is_named(read, port):
    with pytest.raises(CannotStart, match=f"AWS_PORT.*{port}"):
        read(AWS_PORT=port)


def test_a_busy_port_is_named_with_a_way_out(read):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = read(PORT=str(port))
        with pytest.raises(CannotStart, match=rf"Port {port} .*PORT=\d+ make run"):
            check_ports(config)


def test_one_port_for_two_things_is_named(read):
    with pytest.raises(CannotStart, match="PORT and AWS_PORT are both 18000"):
        check_ports(read(PORT="18000", AWS_PORT="18000"))


def test_free_ports_pass(read):
    check_ports(read(**{name: str(free_port()) for name in NAMES[:4]}))


def test_two_runs_do_not_share_a_state(tmp_path):
    with lock(tmp_path), pytest.raises(CannotStart, match="Another `make run`"):
        lock(tmp_path)
    lock(tmp_path).close()


def test_saved_secrets_are_plain_json(read, tmp_path):
    config = read()
    saved = json.loads((tmp_path / "secrets.json").read_text())
    assert saved["token"] == config.api_tokens
    assert os.environ.get("API_TOKENS") is None
    assert configuration.ADMIN == "admin"


def test_other_commands_use_what_a_running_stack_was_given(read, tmp_path, monkeypatch):
    config = read(PORT="18000", S3_PREFIX="raw/")
    configuration.remember(config)
    monkeypatch.delenv("S3_PREFIX")
    monkeypatch.delenv("PORT", raising=False)
    monkeypatch.setenv("AWS_PORT", "14566")
    monkeypatch.delenv("API_TOKENS", raising=False)
    assert configuration.recall(tmp_path)
    assert os.environ["PORT"] == "18000"
    assert os.environ["S3_PREFIX"] == "raw/"
    assert os.environ["AWS_PORT"] == "14566"  # the caller's value takes precedence
    assert os.environ["API_TOKENS"] == config.api_tokens
    configuration.forget(config)
    assert not configuration.recall(tmp_path)


@pytest.mark.parametrize("exists", [True, False])
def test_its_directory_is_for_its_user_alone(tmp_path, exists):
    state, umask = tmp_path / "parent" / "var", os.umask(0o022)
    try:
        if exists:
            state.mkdir(parents=True, mode=0o755)
        configuration.make_private(state)
        made = state / "cpsite.sqlite3"
        made.touch()
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        assert stat.S_IMODE(made.stat().st_mode) == 0o600
    finally:
        os.umask(umask)


def test_every_command_makes_its_directory_private(tmp_path, monkeypatch):
    umask = os.umask(0o022)
    tmp_path.chmod(0o755)
    try:
        assert devstack.main(["--state", str(tmp_path), "manage"]) == 1
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    finally:
        os.umask(umask)
