"""The local stack's configuration: ports, names, secrets, and its processes' environment."""

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol

ROOT: Final = Path(__file__).resolve().parents[2]
HOST: Final = "127.0.0.1"
QUEUE: Final = "cpsite-messages"
DLQ: Final = "cpsite-messages-dlq"
BUCKET: Final = "cpsite-messages"
ADMIN: Final = "admin"

_CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
#: Variables that the stack sets itself or must not inherit: those of the caller's AWS account, of
#: another database (the stack would change its admin's password), and of another cpsite's token.
_FOREIGN: Final = ("AWS_", "API_TOKENS", "CPSITE_TOKEN", "DATABASE_URL", "DJANGO_")


class CannotStart(Exception):
    """The stack cannot start. The text is what to show."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What can differ between runs. The constants above do not."""

    state: Path
    python: Path
    ministack: Path
    port: int
    aws_port: int
    validator_metrics_port: int
    uploader_metrics_port: int
    visibility_timeout_seconds: int
    region: str
    api_tokens: str
    secret_key: str
    admin_password: str

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.aws_port}"

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def ports(self) -> dict[str, int]:
        """Every port the stack listens on, by the variable that sets it."""
        return {
            "PORT": self.port,
            "AWS_PORT": self.aws_port,
            "VALIDATOR_METRICS_PORT": self.validator_metrics_port,
            "UPLOADER_METRICS_PORT": self.uploader_metrics_port,
        }

    def aws_environment(self) -> dict[str, str]:
        """Return the environment of the embedded AWS."""
        return _inherited() | {
            "GATEWAY_PORT": str(self.aws_port),
            "BIND_HOST": HOST,
            "MINISTACK_REGION": self.region,
            "SERVICES": "sqs,s3,ssm",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.state / "ministack"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.state / "ministack-s3"),
            "LOG_LEVEL": "WARNING",
        }

    @property
    def contracts(self) -> Path:
        """The description of the contracts of the running stack, for `make query`."""
        return self.state / "contract.json"

    def service_environment(self) -> dict[str, str]:
        """Return the environment of both services: the caller's, with the stack's own values."""
        account = f"{self.endpoint}/000000000000"
        return {
            # Ctrl-C waits for the current poll, so polls are short here.
            "UPLOADER_WAIT_SECONDS": "2",
            "LOG_FORMAT": "text",
            **_inherited(),
            **_CREDENTIALS,
            "DATABASE_URL": os.environ.get("DEVSTACK_DATABASE_URL")
            or f"sqlite:///{self.state / 'cpsite.sqlite3'}",
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint,
            "SQS_QUEUE_URL": f"{account}/{QUEUE}",
            "SQS_DLQ_URL": f"{account}/{DLQ}",
            "S3_BUCKET": BUCKET,
            "API_TOKENS": self.api_tokens,
            "DJANGO_SECRET_KEY": self.secret_key,
            "UPLOADER_HEARTBEAT_FILE": str(self.state / "uploader-heartbeat"),
            "HOST": HOST,
            "PORT": str(self.port),
            "VALIDATOR_METRICS_PORT": str(self.validator_metrics_port),
            "UPLOADER_METRICS_PORT": str(self.uploader_metrics_port),
            "PYTHONUNBUFFERED": "1",
        }


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}


def token_of_shell() -> dict[str, str]:
    """Return what `manage.py send` sends with, where the shell says so. No service needs it."""
    return {name: value for name, value in os.environ.items() if name == "CPSITE_TOKEN"}


def read_configuration(state: Path, *, python: Path, ministack: Path) -> Configuration:
    """Read the environment and the secrets in `state`, which are created on the first run.

    Raises CannotStart for an invalid number.
    """
    saved = _saved_secrets(state / "secrets.json")
    return Configuration(
        state=state,
        python=python,
        ministack=ministack,
        port=read_port("PORT", 8000),
        aws_port=read_port("AWS_PORT", 4566),
        validator_metrics_port=read_port("VALIDATOR_METRICS_PORT", 9100),
        uploader_metrics_port=read_port("UPLOADER_METRICS_PORT", 9101),
        visibility_timeout_seconds=_number("VISIBILITY_TIMEOUT_SECONDS", 60, most=43_200),
        region=os.environ.get("AWS_REGION") or "us-east-1",
        api_tokens=os.environ.get("API_TOKENS") or saved["token"],
        secret_key=saved["secret_key"],
        admin_password=saved["admin_password"],
    )


def make_private(state: Path) -> None:
    """Let only this user read `state`, also one that exists, and what this process and others make.

    It holds password hashes, sessions and messages.
    """
    os.umask(0o077)
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700)


def remember(configuration: Configuration) -> None:
    """Write what a shell may have set for the stack to a file, for `make send` and the like."""
    path = _running(configuration.state)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    given = {name: str(port) for name, port in configuration.ports.items()}
    if "S3_PREFIX" in os.environ:
        given["S3_PREFIX"] = os.environ["S3_PREFIX"]
    path.write_text(json.dumps({**given, "API_TOKENS": configuration.api_tokens}))


def recall(state: Path) -> bool:
    """Set in the environment what was remembered of the running stack and is not set yet.

    Returns whether a stack is running.
    """
    if not _running(state).exists():
        return False
    for name, value in json.loads(_running(state).read_text()).items():
        os.environ.setdefault(name, value)
    return True


def forget(configuration: Configuration) -> None:
    _running(configuration.state).unlink(missing_ok=True)


def _running(state: Path) -> Path:
    return state / "running.json"


def _saved_secrets(path: Path) -> dict[str, str]:
    if path.exists():
        saved: dict[str, str] = json.loads(path.read_text())
        return saved
    made = {
        "token": secrets.token_urlsafe(24),
        "secret_key": secrets.token_urlsafe(48),
        "admin_password": secrets.token_urlsafe(9),
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(made, indent=2))
    return made


def _number(name: str, default: int, *, most: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise CannotStart(f"{name} is {text!r}, which is not a number from 1 to {most}.")
    return int(text)


def read_port(name: str, default: int) -> int:
    """Return the port in the environment variable `name`. Raises CannotStart when it is none."""
    return _number(name, default, most=65_535)


class HasPorts(Protocol):
    """Something that listens on ports, each set by a variable."""

    @property
    def ports(self) -> Mapping[str, int]: ...


def check_ports(configuration: HasPorts, command: str = "make run") -> None:
    """Raise CannotStart if a port of `command` is in use, or is set for two purposes."""
    ports = configuration.ports
    for name, port in ports.items():
        others = [other for other in ports if other != name and ports[other] == port]
        if others:
            raise CannotStart(f"{name} and {others[0]} are both {port}. Set one to another port.")
        with socket.socket() as probe:
            # As servers do: a port counts as free while its last connections are still closing.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as exc:
                raise CannotStart(
                    f"Port {port} on {HOST} is in use. Free it, or choose another: "
                    f"{name}={port + 10_000 if port < 50_000 else port - 10_000} {command}"  # noqa: PLR2004
                ) from exc


def lock(state: Path, command: str = "make run") -> IO[str]:
    """Lock the state directory for this run of `command`, while the returned file is open.

    Raises CannotStart if another run has locked it.
    """
    file = (state / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        file.close()
        raise CannotStart(f"Another `{command}` is using {state}.") from exc
    return file
