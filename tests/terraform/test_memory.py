"""Terraform and the program ask for the same memory for what may be in flight.

Terraform names what it asks for where it refuses a size. The real validator starts with just as
much, as ECS's task metadata tells it, and not with less.
"""

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Process, free_port
from tests.terraform.conftest import _terraform
from tests.waiting import wait_for

#: CPU units, and connections that need more memory than the smallest task of that CPU has.
SIZES = [(256, 2048), (1024, 12_000), (2048, 14_000)]


@pytest.fixture(scope="module")
def _initialised() -> None:
    if not os.environ.get("TERRAFORM"):
        pytest.skip("`make terraform-check` runs these: TERRAFORM is not set")
    done = _terraform("init", "-backend=false", "-input=false", "-no-color")
    assert done.returncode == 0, done.stderr


def asked_for(cpu: int, connections: int) -> tuple[int, int]:
    """Return what Terraform asks for in MiB, and for how many processes."""
    smallest = {256: 512, 1024: 2048, 2048: 4096}[cpu]
    size = f"{{cpu={cpu}, memory_mib={smallest}, connections={connections}}}"
    planned = _terraform(
        *("plan", "-input=false", "-no-color", "-refresh=false", "-lock=false"),
        *("-var-file=environments/dev.tfvars", f"-var=validator={size}"),
    )
    # Terraform breaks lines.
    words = " ".join(planned.stderr.replace("│", " ").split())
    found = re.search(
        r"and (\d+) processes with validator\.connections = \d+ need (\d+) MiB", words
    )
    assert found, words
    return int(found[2]), int(found[1])


@contextmanager
def task_of(memory_mib: int) -> Iterator[str]:
    """Serve the metadata of a task with this memory; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"Limits": {"CPU": 4, "Memory": memory_mib}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def outcome(memory_mib: int, processes: int, connections: int, scratch: Path) -> str:
    """Start the API in a task of this memory. Return "starts", or what it says."""
    log = scratch / f"{memory_mib}.log"
    with task_of(memory_mib) as metadata:
        environment = {
            "PATH": os.environ["PATH"],
            "ECS_CONTAINER_METADATA_URI_V4": metadata,
            "VALIDATOR_SERVES": "api",
            "SQS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/messages",
            "DATABASE_URL": f"sqlite:///{scratch / 'audit.sqlite3'}",
            "API_TOKENS": "a-token-for-this-test",
            "AWS_REGION": "us-east-1",
            "PORT": str(free_port()),
            "VALIDATOR_METRICS_PORT": str(free_port()),
            "WEB_CONCURRENCY": str(processes),
            "WEB_CONNECTIONS": str(connections),
        }
        process = Process(
            ["-m", "gunicorn", "--config", "python:cpsite.gunicorn"], environment, log
        )
        try:
            wait_for(
                lambda: process.popen.poll() is not None or "Listening at" in log.read_text(),
                "the validator to start or to refuse",
            )
            return "starts" if process.popen.poll() is None else log.read_text()
        finally:
            process.kill()


@pytest.mark.usefixtures("_initialised")
@pytest.mark.parametrize(("cpu", "connections"), SIZES)
def test_terraform_asks_for_what_the_program_does(
    cpu: int, connections: int, tmp_path: Path
) -> None:
    needed, processes = asked_for(cpu, connections)

    assert outcome(needed, processes, connections, tmp_path) == "starts"
    refused = outcome(needed - 1, processes, connections, tmp_path)
    assert f"MiB of memory, and there are {needed - 1} " in refused
