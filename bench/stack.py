"""What all measured processes share: the emulators, and one environment for ours and the peers."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import emulators, environment
from bench.emulators import S3, Database, Queue, Sqs
from bench.processes import Process, free_port, run

#: Python that runs our manage.py.
MANAGE: Final = (environment.PYTHON, environment.ROOT / "manage.py")


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The running emulators. `ours` is the caller's addition to our services' environment."""

    scratch: Path
    sqs: Sqs
    s3: S3
    database: Database
    ours: Mapping[str, str]

    def environment(self, queue: Queue, *, port: int = 0, s3_prefix: str = "") -> dict[str, str]:
        """Return the environment of a measured process, ours or a peer, as in production."""
        aws = environment.of_aws(sqs=self.sqs.endpoint, s3=self.s3.endpoint)
        return (
            environment.bare(self.scratch)
            | aws
            | {
                "SQS_QUEUE_URL": queue.url,
                "SQS_DLQ_URL": queue.dlq_url,
                "S3_BUCKET": self.s3.bucket,
                "S3_PREFIX": s3_prefix,
                "API_TOKENS": environment.TOKEN,
                "HOST": "127.0.0.1",
                "PORT": str(port),
            }
        )

    def our_environment(
        self, queue: Queue, *, port: int = 0, s3_prefix: str = "messages/"
    ) -> dict[str, str]:
        """Return the environment of our services, which need more than that."""
        return (
            self.environment(queue, port=port, s3_prefix=s3_prefix)
            | {
                "DATABASE_URL": self.database.url,
                "DJANGO_SECRET_KEY": "bench-" + "x" * 50,
                "LOG_FORMAT": "json",
                "VALIDATOR_METRICS_PORT": str(free_port()),
                "UPLOADER_METRICS_PORT": str(free_port()),
                "UPLOADER_HEARTBEAT_FILE": str(self.scratch / "uploader-heartbeat"),
            }
            | dict(self.ours)
        )

    def start(self, name: str, command: tuple[str | Path, ...], env: Mapping[str, str]) -> Process:
        """Start a measured process. All rounds of the same process share a log."""
        log = re.sub("[^a-z0-9]+", "-", name.lower())
        return Process(name, command, env, self.scratch / f"{log}.log")


@contextmanager
def running(scratch: Path, ours: Mapping[str, str], *, sqs_delay_ms: int) -> Iterator[Stack]:
    """Start the emulators and the database, and create the audit log's tables."""
    with ExitStack() as started:
        stack = Stack(
            scratch=scratch,
            sqs=started.enter_context(emulators.sqs(scratch, delay_ms=sqs_delay_ms)),
            s3=started.enter_context(emulators.s3(scratch)),
            database=started.enter_context(emulators.database(scratch)),
            ours=ours,
        )
        bare = environment.bare(scratch) | {"DATABASE_URL": stack.database.url}
        run("migrate", [*MANAGE, "migrate", "--verbosity", "0"], bare)
        yield stack
