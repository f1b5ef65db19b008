"""SQS, S3 and a database on this machine, for the duration of a run."""

import http.client
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
import psycopg
from botocore.config import Config

from bench import environment
from bench.errors import CannotMeasure
from bench.processes import Command, Process, free_port
from tests import databases, postgresql

#: Visibility timeout in seconds. Longer than any run, so that a message is delivered again only if
#: the uploader has released it.
_VISIBILITY_TIMEOUT: Final = 600
#: Deliveries before SQS moves a message to the dead-letter queue, as in production.
_MAX_RECEIVE_COUNT: Final = 5
_BUCKET: Final = "bench"
_PUT_SERIES: Final = re.compile(
    r'^SeaweedFS_s3_request_total\{.*type="PUT".*\} (\S+)$', re.MULTILINE
)
#: weed opens these ports even if they are not used.
_OTHER_WEED_PORTS: Final = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port.grpc",
    "admin.port",
    "admin.port.grpc",
)


def client(service: str, port: int) -> Any:
    """Return a client of an emulator's."""
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=environment.REGION,
        aws_access_key_id=environment.ACCESS_KEY,
        aws_secret_access_key=environment.ACCESS_KEY,
        config=Config(
            retries={"mode": "standard"},
            max_pool_connections=16,
            connect_timeout=5,
            read_timeout=20,
        ),
    )


def get(port: int, path: str) -> str:
    """Return the body of a page on loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    except OSError as exc:
        raise CannotMeasure(f"An emulator does not answer {path}: {exc}.") from exc
    finally:
        connection.close()


@dataclass(frozen=True)
class Queue:
    """A queue of one run."""

    port: int
    name: str
    url: str
    dlq_url: str

    def depth(self) -> int:
        """Return how many messages the queue holds, in flight or not."""
        for queue in json.loads(get(self.port, "/_fauxqs/queues")):
            if queue["name"] == self.name:
                waiting: int = queue["approximateMessageCount"]
                in_flight: int = queue["approximateInflightCount"]
                return waiting + in_flight
        return 0


class Sqs:
    """fauxqs: SQS in memory, which counts its calls."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        self.client = client("sqs", port)
        self._queues = 0

    def calls(self) -> dict[str, int]:
        """Return the calls of each SQS action so far."""
        counted: dict[str, int] = json.loads(get(self.port, "/_bench/calls"))
        return counted

    @contextmanager
    def queue(
        self,
        *,
        visibility_timeout: int = _VISIBILITY_TIMEOUT,
        max_receive_count: int = _MAX_RECEIVE_COUNT,
    ) -> Iterator[Queue]:
        """Make a queue with a dead-letter queue, and delete both in the end."""
        self._queues += 1
        name = f"bench-{self._queues}"
        dlq_url = self._create(f"{name}-dlq")
        url = self._create(
            name,
            **redriving(self.client, dlq_url, max_receive_count),
            VisibilityTimeout=str(visibility_timeout),
        )
        yield Queue(self.port, name, url, dlq_url)
        for made in (url, dlq_url):
            self.client.delete_queue(QueueUrl=made)

    def _create(self, name: str, **attributes: str) -> str:
        made = self.client.create_queue(QueueName=name, Attributes=attributes)
        # fauxqs returns a URL with a host name that does not resolve, and Node's SDK would use it.
        return f"{self.endpoint}{urlsplit(made['QueueUrl']).path}"


def redriving(sqs: Any, dlq_url: str, max_receive_count: int) -> dict[str, str]:
    """Return the attributes of a queue whose messages go to a dead-letter queue in the end."""
    answer = sqs.get_queue_attributes(QueueUrl=dlq_url, AttributeNames=["QueueArn"])
    arn = answer["Attributes"]["QueueArn"]
    policy = {"deadLetterTargetArn": arn, "maxReceiveCount": max_receive_count}
    return {"RedrivePolicy": json.dumps(policy)}


@contextmanager
def sqs(scratch: Path, *, delay_ms: int) -> Iterator[Sqs]:
    """Run fauxqs, with a delay of `delay_ms` before each answer."""
    port = free_port()
    command: Command = [
        environment.node(),
        environment.PEERS / "fauxqs.mjs",
        str(port),
        str(delay_ms),
    ]
    with Process("fauxqs", command, environment.bare(scratch), scratch / "fauxqs.log") as process:
        process.wait_for_port(port)
        yield Sqs(port)


class S3:
    """SeaweedFS with one bucket. It checks signatures."""

    bucket = _BUCKET

    def __init__(self, port: int, metrics_port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.client = client("s3", port)
        self._metrics_port = metrics_port

    def puts(self) -> int:
        """Return the number of PutObject requests so far, from SeaweedFS's own metrics."""
        metrics = get(self._metrics_port, "/metrics")
        return sum(int(float(value)) for value in _PUT_SERIES.findall(metrics))


@contextmanager
def s3(scratch: Path) -> Iterator[S3]:
    """Run SeaweedFS."""
    data = scratch / "weed"
    data.mkdir()
    identity = {
        "name": "bench",
        "credentials": [{"accessKey": environment.ACCESS_KEY, "secretKey": environment.ACCESS_KEY}],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    config = scratch / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    port, metrics_port = free_port(), free_port()
    options = {
        "dir": data,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.port": port,
        "s3.config": config,
        "s3.localSocket": scratch / "s3.sock",
        "filer.localSocket": scratch / "filer.sock",
        "metricsPort": metrics_port,
        "bucket": _BUCKET,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.autoCreateBucket": "false",
        "master.telemetry": "false",
        "webdav": "false",
        "admin.ui": "false",
    } | {name: free_port() for name in _OTHER_WEED_PORTS}
    command: Command = [
        environment.PEER_BIN / "weed",
        "mini",
        *(f"-{name}={value}" for name, value in options.items()),
    ]
    with Process("SeaweedFS", command, environment.bare(scratch), scratch / "weed.log") as process:
        process.wait_for_port(port)
        found = S3(port, metrics_port)
        process.wait_for(lambda: _has_bucket(found), "its bucket")
        yield found


def _has_bucket(s3: S3) -> bool:
    return any(bucket["Name"] == _BUCKET for bucket in s3.client.list_buckets()["Buckets"])


@dataclass(frozen=True)
class Database:
    """The audit log's database, with its tables."""

    url: str
    product: str

    def events(self) -> int:
        """Return the number of audit events."""
        return int(databases.rows(self.url, "SELECT COUNT(*) FROM audit_auditevent")[0][0])


@contextmanager
def database(scratch: Path) -> Iterator[Database]:
    """Run PostgreSQL if its programs are installed; otherwise use an SQLite file."""
    binaries = postgresql.find_binaries()
    if binaries is None:
        yield Database(f"sqlite:///{scratch / 'audit.sqlite3'}", f"SQLite {sqlite3.sqlite_version}")
        return
    with postgresql.server(binaries) as url:
        with psycopg.connect(url) as connection:
            version = connection.info.parameter_status("server_version")
        yield Database(url, f"PostgreSQL {version}")
