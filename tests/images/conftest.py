"""Both images, built once; a database and AWS beside them. `make images-check` runs these.

IMAGES_BASE=stand-in builds on a base of our own (stand_in.py), where the Dockerfile's cannot be
pulled. IMAGES_STORAGE names a directory that keeps the images for the next run.
"""

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg
import pytest

from tests import postgresql
from tests.conftest import Bucket, Queue
from tests.end_to_end.conftest import TOKENS, free_port
from tests.images import stand_in
from tests.images.engine import ROOT, Container, Engine

SERVICES = ("validator", "uploader")
#: Where the database's socket is in a container.
SOCKETS = "/run/postgresql"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.images)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    kept = os.environ.get("IMAGES_STORAGE")
    storage = Path(kept or tempfile.mkdtemp(prefix="cpsite-images-", dir="/var/tmp"))
    made = Engine(storage)
    made.prepare()
    yield made
    made("rm", "--all", "--force", "--time=0")
    if not kept:
        # podman would remove layer by layer, which takes minutes.
        made.unmount()
        shutil.rmtree(storage)


@pytest.fixture(scope="session")
def base(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of the base image, which is there or can be pulled."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    name = re.findall(r"^ARG PYTHON_IMAGE=(.*)$", dockerfile, re.MULTILINE)[0]
    if os.environ.get("IMAGES_BASE") == "stand-in":
        if engine.try_run("image", "exists", name).returncode:
            stand_in.build(engine, name, tmp_path_factory.mktemp("base"))
    else:
        engine("pull", "--quiet", name)
    return str(name)


@pytest.fixture(scope="session")
def images(engine: Engine, base: str) -> dict[str, str]:
    """The name of each service's image."""
    names = {service: f"localhost/cpsite-{service}:test" for service in SERVICES}
    for service, name in names.items():
        engine.build(
            ROOT,
            *("--target", service, "--build-arg", "REVISION=0123abc"),
            *("--build-arg", "SOURCE=https://example.com/cpsite"),
            tag=name,
        )
    return names


@pytest.fixture(params=SERVICES)
def image(request: pytest.FixtureRequest, images: dict[str, str]) -> str:
    return images[request.param]


@pytest.fixture(scope="session")
def sockets() -> Iterator[Path]:
    """The directory of the socket of a PostgreSQL server."""
    binaries = postgresql.find_binaries()
    if binaries is None:
        pytest.fail("PostgreSQL's initdb and pg_ctl are needed (Debian: postgresql)")
    with postgresql.server(binaries) as url:
        directory = Path(url.rpartition("host=")[2])
        # The containers' user is nobody that this machine knows.
        directory.chmod(0o755)
        yield directory


@pytest.fixture
def database_url(sockets: Path) -> str:
    """A database of the test's own, as a container sees it."""
    name = f"images_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(
        f"postgresql://cpsite@/postgres?host={sockets}", autocommit=True
    ) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    return f"postgresql://cpsite@/{name}?host={SOCKETS}"


@pytest.fixture
def environment(
    queue: Queue, bucket: Bucket, aws_endpoint: str, database_url: str
) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": aws_endpoint,
        "SQS_QUEUE_URL": queue.url,
        "SQS_DLQ_URL": queue.dlq_url,
        "S3_BUCKET": bucket.name,
        "DATABASE_URL": database_url,
        "API_TOKENS": TOKENS,
        "DJANGO_SECRET_KEY": "images-" + "x" * 50,
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "METRICS_HOST": "127.0.0.1",
        "VALIDATOR_METRICS_PORT": str(free_port()),
        "UPLOADER_METRICS_PORT": str(free_port()),
        "UPLOADER_WAIT_SECONDS": "1",
    }


Start = Callable[..., Container]


@pytest.fixture
def start(
    engine: Engine, images: dict[str, str], sockets: Path, environment: Mapping[str, str]
) -> Iterator[Start]:
    """Start a service's container, or a command in it; its log is printed when the test fails."""
    started: list[Container] = []

    def run(service: str, *command: str, options: tuple[str, ...] = ()) -> Container:
        container = engine.start(
            images[service],
            *command,
            environment=environment,
            options=(f"--volume={sockets}:{SOCKETS}", *options),
        )
        started.append(container)
        return container

    yield run
    for container in started:
        print(container.logs())
        container.remove()
