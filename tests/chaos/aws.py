"""SQS and S3 on this machine: fauxqs and SeaweedFS for a long run, MiniStack for a short one."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from botocore.exceptions import BotoCoreError, ClientError
from obstore.store import S3Store

from bench import emulators, environment
from bench.processes import Process, free_port
from tests.chaos.schedule import Shape

MINISTACK = environment.ROOT / ".venv-devstack" / "bin" / "ministack"

#: Objects that are read at a time.
_READERS = 8

_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@dataclass(frozen=True)
class Aws:
    """The queue, its dead-letter queue and the bucket, as the outside sees them."""

    product: str
    sqs: Any
    sqs_endpoint: str
    s3_endpoint: str
    queue_url: str
    dlq_url: str
    bucket: str

    def depth(self) -> tuple[int, int, int]:
        """Return how many messages are visible, in flight and delayed."""
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=_COUNTS)
        visible, hidden, delayed = (int(answer["Attributes"].get(name, 0)) for name in _COUNTS)
        return visible, hidden, delayed

    def send(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)

    def set_visibility_timeout(self, seconds: int) -> None:
        self.sqs.set_queue_attributes(
            QueueUrl=self.queue_url, Attributes={"VisibilityTimeout": str(seconds)}
        )

    def dead_letters(self) -> list[str]:
        """Return what is on the dead-letter queue, taken off it."""
        found = []
        while messages := self.sqs.receive_message(
            QueueUrl=self.dlq_url, MaxNumberOfMessages=10, VisibilityTimeout=600
        ).get("Messages"):
            found += [message["Body"] for message in messages]
        return found

    def objects(self) -> Iterator[tuple[str, bytes]]:
        """Return key and content of each object in the bucket."""
        store = self._store()
        keys = [item["path"] for page in obstore.list(store) for item in page]
        with ThreadPoolExecutor(_READERS) as pool:
            yield from zip(keys, pool.map(lambda key: _read(store, key), keys), strict=True)

    def _store(self) -> S3Store:
        return S3Store(
            self.bucket,
            endpoint=self.s3_endpoint,
            region=environment.REGION,
            access_key_id=environment.ACCESS_KEY,
            secret_access_key=environment.ACCESS_KEY,
            client_options={"allow_http": True, "timeout": timedelta(seconds=30)},
        )


def _read(store: S3Store, key: str) -> bytes:
    return obstore.get(store, key).bytes().to_bytes()


@contextmanager
def fauxqs_and_seaweedfs(scratch: Path, shape: Shape) -> Iterator[Aws]:
    with (
        emulators.sqs(scratch, delay_ms=0) as sqs,
        emulators.s3(scratch) as s3,
        sqs.queue(
            visibility_timeout=shape.visibility_timeout, max_receive_count=shape.max_receive_count
        ) as queue,
    ):
        yield Aws(
            product="fauxqs and SeaweedFS",
            sqs=sqs.client,
            sqs_endpoint=sqs.endpoint,
            s3_endpoint=s3.endpoint,
            queue_url=queue.url,
            dlq_url=queue.dlq_url,
            bucket=s3.bucket,
        )


@contextmanager
def ministack(scratch: Path, shape: Shape) -> Iterator[Aws]:
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    variables = environment.bare(scratch) | {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_REGION": environment.REGION,
        "SERVICES": "sqs,s3",
        "LOG_LEVEL": "WARNING",
    }
    with Process("MiniStack", [MINISTACK], variables, scratch / "ministack.log") as process:
        sqs, s3 = emulators.client("sqs", port), emulators.client("s3", port)
        process.wait_for_port(port)
        process.wait_for(lambda: _answers(sqs), "its first answer")
        dlq_url = sqs.create_queue(QueueName="chaos-dlq")["QueueUrl"]
        attributes = emulators.redriving(sqs, dlq_url, shape.max_receive_count)
        attributes["VisibilityTimeout"] = str(shape.visibility_timeout)
        queue_url = sqs.create_queue(QueueName="chaos", Attributes=attributes)["QueueUrl"]
        s3.create_bucket(Bucket="chaos")
        yield Aws(
            product="MiniStack",
            sqs=sqs,
            sqs_endpoint=endpoint,
            s3_endpoint=endpoint,
            queue_url=queue_url,
            dlq_url=dlq_url,
            bucket="chaos",
        )


def _answers(sqs: Any) -> bool:
    try:
        sqs.list_queues()
    except (BotoCoreError, ClientError):
        return False
    return True


def missing(*, is_short: bool) -> Sequence[Path]:
    """Return which of the programs that a run needs are not there."""
    needed = (
        [MINISTACK]
        if is_short
        else [
            environment.node(),
            environment.PEER_BIN / "weed",
            environment.PEERS / "node_modules" / "fauxqs",
        ]
    )
    return [path for path in needed if not path.exists()]
