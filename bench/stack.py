"""What all measured processes share: the emulators, and one environment for ours and the peers."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench import emulators, environment
from bench.emulators import S3, Database, Queue, Sqs
from bench.processes import Process, free_port, run

#: Python that runs the manage.py of the checkout in which it is started.
MANAGE: Final = (environment.PYTHON, "manage.py")


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The running emulators. `ours` is the caller's addition to our services' environment."""

    scratch: Path
    sqs: Sqs
    s3: S3
    #: Of the checkout's services. Two checkouts share none: their migrations may differ.
    database: Database
    ours: Mapping[str, str]
    #: Where the code of our services lies.
    checkout: Path = environment.ROOT
    #: The same emulators with the checkout that ours is compared with.
    before: "Stack | None" = None

    def of(self, *, is_before: bool) -> "Stack":
        """Return the stack of a measured process: this one, or that of the checkout before."""
        if not is_before:
            return self
        assert self.before is not None  # it is measured only where it was given
        return self.before

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
        """Start a measured process in its checkout. All rounds of one process share a log."""
        log = re.sub("[^a-z0-9]+", "-", name.lower())
        return Process(name, command, env, self.scratch / f"{log}.log", self.checkout)


@contextmanager
def running(
    scratch: Path, ours: Mapping[str, str], *, sqs_delay_ms: int, before: Path | None = None
) -> Iterator[Stack]:
    """Start the emulators and a database for each checkout, with the audit log's tables."""
    with ExitStack() as started:
        stack = Stack(
            scratch=scratch,
            sqs=started.enter_context(emulators.sqs(scratch, delay_ms=sqs_delay_ms)),
            s3=started.enter_context(emulators.s3(scratch)),
            database=started.enter_context(emulators.database(scratch)),
            ours=ours,
        )
        _migrate(stack)
        if before is not None:
            other = scratch / "before"
            other.mkdir()
            database = started.enter_context(emulators.database(other))
            stack = replace(stack, before=replace(stack, database=database, checkout=before))
            _migrate(stack.of(is_before=True))
        yield stack


def _migrate(stack: Stack) -> None:
    env = environment.bare(stack.scratch) | {"DATABASE_URL": stack.database.url}
    run("migrate", [*MANAGE, "migrate", "--verbosity", "0"], env, stack.checkout)
