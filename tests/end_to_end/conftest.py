"""Real gunicorn and run_uploader processes beside a real SQS and S3 API."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bench.processes import free_port, spawn
from tests import databases
from tests.conftest import Bucket, Queue
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
TOKENS = '{"alice": ["alice-token-1"], "bob": ["bob-token-1"]}'


class Process:
    """A service process whose output is kept for the failure report."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.log = log
        self.popen = spawn([sys.executable, *command], environment, log)

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def wait(self, seconds: float = 60) -> int:
        return self.popen.wait(seconds)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Kill the process and what it started, as `kill -9` of a container does."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def lines(self) -> list[dict[str, Any]]:
        """The JSON log lines so far."""
        found = []
        for line in self.log.read_text().splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return found


class Services:
    """Starts services with one configuration, and talks to them."""

    def __init__(self, environment: dict[str, str], scratch: Path, queue: Queue, bucket: Bucket):
        self.environment = environment
        self.scratch = scratch
        self.queue, self.bucket = queue, bucket
        self.port = int(environment["PORT"])
        self.started: list[Process] = []

    def _start(self, name: str, command: list[str], **environment: str) -> Process:
        process = Process(command, self.environment | environment, self.scratch / f"{name}.log")
        self.started.append(process)
        return process

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def validator(self, **environment: str) -> Process:
        process = self._start(
            "validator", ["-m", "gunicorn", "--config", "python:cpsite.gunicorn"], **environment
        )
        wait_for(
            lambda: self.get("/health/ready")[0] == 200 or process.popen.poll() is not None,
            "the validator",
        )
        assert process.popen.poll() is None, process.log.read_text()[-2000:]
        return process

    def uploader(self, *arguments: str, **environment: str) -> Process:
        heartbeat = Path(self.environment["UPLOADER_HEARTBEAT_FILE"])
        heartbeat.unlink(missing_ok=True)
        process = self._start("uploader", ["manage.py", "run_uploader", *arguments], **environment)
        wait_for(lambda: heartbeat.exists() or process.popen.poll() is not None, "the uploader")
        return process

    def get(self, path: str, port: int | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=20)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def post(
        self, data: dict[str, str], token: str = "alice-token-1", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            body = json.dumps({"token": token, "data": data})
            connection.request("POST", "/", body, {"Content-Type": "application/json"} | headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def metric(self, port_variable: str, name: str) -> float:
        """The value of one series, as Prometheus would scrape it; 0 where there is none yet."""
        _, text = self.get("/metrics", int(self.environment[port_variable]))
        for line in text.decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def audit(self) -> list[tuple[str, str]]:
        """(kind, message id or reason) of every event, in order."""
        query = "SELECT kind, message_id, reason FROM audit_auditevent ORDER BY occurred_at, id"
        return [
            (kind, str(UUID(str(message_id))) if message_id else reason)
            for kind, message_id, reason in databases.rows(self.environment["DATABASE_URL"], query)
        ]


def _migrate(url: str) -> None:
    environment = {**os.environ, "DATABASE_URL": url}
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


@cache
def _migrated_file() -> Path:
    """Return an SQLite file with all tables, of which each test gets a copy."""
    path = Path(_scratch().name) / "migrated.sqlite3"
    _migrate(f"sqlite:///{path}")
    return path


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="cpsite-migrated-")


@cache
def _migrated_template(server: str) -> str:
    """Return the name of a database with all tables on a server that ends with the run."""
    name = f"migrated_{uuid.uuid4().hex[:12]}"
    _execute(server, f"CREATE DATABASE {name}")
    _migrate(_database_of(server, name))
    return name


def _database_of(server: str, name: str) -> str:
    return server.replace("/postgres?", f"/{name}?")


def _execute(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[arg-type]


def sqlite_database(directory: Path) -> str:
    """Return the URL of an SQLite file of a test's own, with all tables."""
    path = directory / "audit.sqlite3"
    shutil.copy(_migrated_file(), path)
    return f"sqlite:///{path}"


@pytest.fixture
def database_url(tmp_path: Path) -> Iterator[str]:
    """A database of the test's own, with all tables, on the server that the run has started."""
    server = os.environ.get("SERVICES_DATABASE_URL", "")
    if not server:
        yield sqlite_database(tmp_path)
        return
    name = f"e2e_{uuid.uuid4().hex[:12]}"
    _execute(server, f"CREATE DATABASE {name} TEMPLATE {_migrated_template(server)}")
    yield _database_of(server, name)
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def services(
    queue: Queue, bucket: Bucket, aws_endpoint: str, database_url: str, tmp_path: Path
) -> Iterator[Services]:
    kept = ("PATH", "HOME", "CONTRACT_MODULE", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": aws_endpoint,
        "SQS_QUEUE_URL": queue.url,
        "SQS_DLQ_URL": queue.dlq_url,
        "S3_BUCKET": bucket.name,
        "API_TOKENS": TOKENS,
        "DJANGO_SECRET_KEY": "end-to-end-" + "x" * 50,
        "DATABASE_URL": database_url,
        "PORT": str(free_port()),
        "VALIDATOR_METRICS_PORT": str(free_port()),
        "UPLOADER_METRICS_PORT": str(free_port()),
        "UPLOADER_WAIT_SECONDS": "1",
        "UPLOADER_HEARTBEAT_FILE": str(tmp_path / "heartbeat"),
        "LOG_FORMAT": "json",
    }
    made = Services(environment, tmp_path, queue, bucket)
    yield made
    for process in made.started:
        process.kill()
