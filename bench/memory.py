"""Memory of a validator process with many requests in flight: `python -m bench.memory`.

The queue accepts connections and never answers, so all requests are in flight at the same time:
each body has been read, checked and encoded, and waits for SQS. docs/scaling.md has the results.
"""

import argparse
import json
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from bench import environment
from bench.processes import Process, free_port

NUMBERS: Final = (1, 64, 512)
_MIB: Final = 2**20
_TOKEN: Final = "memory-token"  # noqa: S105 - of this benchmark alone
_CLIENT_SECONDS: Final = 60.0
#: Hundredths of a second of CPU time in two seconds that count as idle.
_IDLE_TICKS: Final = 5

#: Bodies by their name. Python holds a text with an emoji in four bytes for each character, and
#: DEL grows sixfold in the envelope for SQS, which may take 1 MiB.
BODIES: Final = {
    "1 KB": "x" * 210,
    "320 KB": "x" * 65_536,
    "320 KB, an emoji in each text": "x" * 65_532 + "😀",
    "320 KB, 1 MiB in SQS's envelope": "x" * 29_000 + "\x7f" * 36_000 + "😀",
}

#: The validator takes all messages, where it would otherwise take at most half of its connections.
_CONFIGURATION: Final = """
from cpsite.gunicorn import *
from cpsite.web import load_shedding
load_shedding.ALWAYS = worker_connections
"""
#: What the validator takes for the service's memory, where this is given.
_MEMORY: Final = """
from cpsite.observability import resource_limits
resource_limits.find = lambda: resource_limits.Limits(cpu_cores=1.0, memory_bytes={memory_bytes})
"""


def body(text: str) -> bytes:
    """Return a message with this text in each of its four fields."""
    data = {f"field{number}": text for number in range(1, 5)}
    return json.dumps({"token": _TOKEN, "data": data}, ensure_ascii=False).encode()


def _status(pid: int, file: str, name: str) -> int:
    """Return a value of a file of /proc in bytes."""
    text = Path(f"/proc/{pid}/{file}").read_text()
    match = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def _children(pid: int) -> list[int]:
    return [int(found) for found in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _ticks(pid: int) -> int:
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(values[11]) + int(values[12])


def _wait_until_idle(pid: int) -> None:
    while True:
        before = _ticks(pid)
        time.sleep(2)
        if _ticks(pid) - before <= _IDLE_TICKS:
            return


@contextmanager
def _validator(scratch: Path, queue_port: int, memory_mib: int | None) -> Iterator[tuple[int, int]]:
    """Start a validator of one process; yield its port and the id of its master."""
    port = free_port()
    queue = f"http://127.0.0.1:{queue_port}"
    settings = environment.bare(scratch) | environment.of_aws(sqs=queue, s3=queue)
    settings |= {
        "SQS_QUEUE_URL": f"{queue}/123456789012/messages",
        "API_TOKENS": _TOKEN,
        "DJANGO_SECRET_KEY": "memory-" + "x" * 50,
        "DATABASE_URL": f"sqlite:///{scratch / 'audit.sqlite3'}",
        "PORT": str(port),
        "VALIDATOR_METRICS_PORT": str(free_port()),
        "WEB_CONCURRENCY": "1",
        # Longer than all the bodies take to arrive.
        "SQS_PUBLISH_TIMEOUT_SECONDS": "60",
        "LOG_LEVEL": "ERROR",
    }
    configuration = scratch / "configuration.py"
    memory = "" if memory_mib is None else _MEMORY.format(memory_bytes=memory_mib * _MIB)
    configuration.write_text(_CONFIGURATION + memory)
    command = (environment.PYTHON, "-m", "gunicorn", "--config", str(configuration))
    with Process("validator", command, settings, scratch / "validator.log") as process:
        process.wait_for_port(port)
        time.sleep(2)
        yield port, process.session


def measure(number: int, message: bytes, memory_mib: int | None) -> tuple[int, int]:
    """Return the most memory of the service in bytes, and how many requests were refused."""
    head = (
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(message)}\r\n\r\n"
    ).encode()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1_024))
        validator = _validator(scratch, silent.getsockname()[1], memory_mib)
        port, master = stack.enter_context(validator)
        (worker,) = _children(master)
        clients = []
        for _ in range(number):
            client = socket.create_connection(("127.0.0.1", port), _CLIENT_SECONDS)
            clients.append(stack.enter_context(closing(client)))
            with suppress(OSError):  # refused, and closed
                client.sendall(head + message)
        _wait_until_idle(worker)
        shared = _status(master, "smaps_rollup", "Pss") + _status(worker, "smaps_rollup", "Pss")
        most = _status(worker, "status", "VmHWM") - _status(worker, "status", "VmRSS")
        return shared + most, sum(map(_is_refused, clients))


def _is_refused(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(100).startswith(b"HTTP/1.1 503")
    except OSError:  # no answer yet
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", type=int, metavar="MIB", help="what the validator may use")
    memory_mib = parser.parse_args().memory
    for name, text in BODIES.items():
        message = body(text)
        for number in NUMBERS:
            used, refused = measure(number, message, memory_mib)
            print(
                f"{number:4} of {name} ({len(message):,} bytes): {used / _MIB:.0f} MiB, "
                f"{refused} refused",
                flush=True,
            )


if __name__ == "__main__":
    main()
