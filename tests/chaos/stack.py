"""What a run runs: emulators behind proxies, a database, and our services."""

import random
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import environment
from bench.errors import CannotMeasure
from bench.processes import free_port, is_open
from tests import postgresql
from tests.chaos import aws, contents, sabotage, services
from tests.chaos.aws import Aws
from tests.chaos.clock import Clock
from tests.chaos.dialects import S3, Container, Dialect, Sqs, Sts
from tests.chaos.faults import (
    CREDENTIAL_RATES,
    S3_RATES,
    Fault,
    Injector,
    Upstream,
    sqs_rates,
)
from tests.chaos.proxy import Proxy
from tests.chaos.schedule import Schedule, Shape
from tests.chaos.services import Service
from tests.stands import credentials

_TOKENS = ", ".join(f'"{client}": ["{token}"]' for client, token in contents.TOKENS.items())


@dataclass(frozen=True, kw_only=True)
class Options:
    seed: int
    shape: Shape
    is_short: bool = False
    with_keys: bool = True
    #: Name of the protection that is switched off, or empty.
    sabotage: str = ""


@dataclass(kw_only=True)
class Stack:
    """What runs."""

    options: Options
    scratch: Path
    aws: Aws
    proxies: Mapping[Upstream, Proxy]
    sts: credentials.Sts
    database: postgresql.Server | None
    database_url: str
    clock: Clock | None
    services: dict[str, Service] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list)

    @property
    def injectors(self) -> dict[Upstream, Injector]:
        return {upstream: proxy.injector for upstream, proxy in self.proxies.items()}


@contextmanager
def running(options: Options, plan: Schedule, scratch: Path) -> Iterator[Stack]:
    """Start everything; inside the context all services are ready. Raises CannotMeasure."""
    with ExitStack() as started:
        emulators = aws.ministack if options.is_short else aws.fauxqs_and_seaweedfs
        found = started.enter_context(emulators(scratch, options.shape))
        issuing = {
            "lifetime": options.shape.credential_seconds,
            "access_key": environment.ACCESS_KEY,
        }
        container = started.enter_context(credentials.Metadata(**issuing))
        sts = started.enter_context(credentials.Sts(**issuing))
        upstreams: dict[Upstream, tuple[str, Dialect, Mapping[Fault, float]]] = {
            Upstream.SQS: (found.sqs_endpoint, Sqs(), sqs_rates(options.shape.partial_failures)),
            Upstream.S3: (found.s3_endpoint, S3(), S3_RATES),
            Upstream.CONTAINER: (container.url, Container(), CREDENTIAL_RATES),
            Upstream.STS: (sts.url, Sts(), CREDENTIAL_RATES),
        }
        database = started.enter_context(_database(scratch))
        stack = Stack(
            options=options,
            scratch=scratch,
            aws=found,
            proxies={
                name: started.enter_context(_proxy(options, plan, name, *upstream))
                for name, upstream in upstreams.items()
            },
            sts=sts,
            database=database,
            database_url=database.url if database else f"sqlite:///{scratch / 'audit.sqlite3'}",
            clock=Clock(scratch) if Clock.is_available() else None,
        )
        _migrate(stack)
        _make_services(stack)
        started.callback(_kill_all, stack)
        _start_services(stack)
        yield stack


def seeded(seed: int, name: str) -> random.Random:
    """Return the chance of one part: no other part's draws change what it draws."""
    return random.Random(f"{seed}/{name}")


def _proxy(
    options: Options,
    plan: Schedule,
    name: Upstream,
    endpoint: str,
    dialect: Dialect,
    rates: Mapping[Fault, float],
) -> Proxy:
    injector = Injector(seeded(options.seed, name.lower()), rates, plan.outages[name])
    return Proxy(endpoint, dialect, injector)


@contextmanager
def _database(scratch: Path) -> Iterator[postgresql.Server | None]:
    """Run PostgreSQL, where it is installed, and keep its log."""
    binaries = postgresql.find_binaries()
    if binaries is None:
        yield None
        return
    database = postgresql.Server(binaries)
    try:
        database.start()
        yield database
        (scratch / "postgresql.log").write_bytes(database.log.read_bytes())
    finally:
        database.close()


def _start_services(stack: Stack) -> None:
    for service in stack.services.values():
        service.start()
    for service in stack.services.values():
        if not service.wait_until_ready():
            raise CannotMeasure(f"{service.name} does not start, see {service.life.log}")


def _migrate(stack: Stack) -> None:
    subprocess.run(
        [str(environment.PYTHON), "manage.py", "migrate", "--verbosity", "0"],
        cwd=environment.ROOT,
        env=environment.bare(stack.scratch) | {"DATABASE_URL": stack.database_url},
        check=True,
    )


def _environment(stack: Stack) -> dict[str, str]:
    return (
        environment.bare(stack.scratch)
        | environment.of_aws(
            sqs=stack.proxies[Upstream.SQS].endpoint, s3=stack.proxies[Upstream.S3].endpoint
        )
        | {
            "SQS_QUEUE_URL": stack.aws.queue_url,
            "SQS_DLQ_URL": stack.aws.dlq_url,
            "S3_BUCKET": stack.aws.bucket,
            "API_TOKENS": f"{{{_TOKENS}}}",
            "DATABASE_URL": stack.database_url,
            "DJANGO_SECRET_KEY": "chaos-" + "x" * 50,
            "LOG_FORMAT": "json",
            "HOST": "127.0.0.1",
            "WEB_CONCURRENCY": "2",
            # All clients have one address, and some are refused on purpose.
            "THROTTLE_REFUSED_RATE": "",
            "S3_TIMEOUT_SECONDS": str(stack.options.shape.s3_timeout),
            "UPLOADER_CONCURRENCY": "8",
            "UPLOADER_WAIT_SECONDS": "2",
            "UPLOADER_RETRY_SECONDS": "5",
        }
        | sabotage.environment(stack.options.sabotage)
    )


def _credentials(stack: Stack, number: int) -> dict[str, str]:
    """Return where a service takes its credentials: from the container or, if it is odd, STS."""
    fixed = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    if number % 2:
        sts = stack.proxies[Upstream.STS].endpoint
        return fixed | stack.sts.environment(stack.scratch) | {"AWS_ENDPOINT_URL_STS": sts}
    container = stack.proxies[Upstream.CONTAINER].endpoint
    return fixed | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{container}/role"}


def _make_services(stack: Stack) -> None:
    common = _environment(stack)
    for number in range(stack.options.shape.masters):
        port = free_port()
        stack.ports.append(port)
        name = f"master {number}"
        variables = {"PORT": str(port), "VALIDATOR_METRICS_PORT": str(free_port())}
        if number > 0 or stack.clock is None:
            variables |= _credentials(stack, number)
        else:
            # By its clock all credentials have expired: it has the ones that never do.
            variables |= stack.clock.environment()
        stack.services[name] = Service(
            name,
            services.MASTER,
            common | variables,
            stack.scratch,
            partial(is_open, port),
            stack.options.shape.stop_seconds,
        )
    for number in range(stack.options.shape.uploaders):
        name = f"uploader {number}"
        heartbeat = stack.scratch / f"heartbeat-{number}"
        variables = {
            "UPLOADER_HEARTBEAT_FILE": str(heartbeat),
            "UPLOADER_METRICS_PORT": str(free_port()),
        } | _credentials(stack, number)
        stack.services[name] = Service(
            name,
            services.UPLOADER,
            common | variables,
            stack.scratch,
            heartbeat.exists,
            stack.options.shape.stop_seconds,
            leftovers=[heartbeat],
        )


def _kill_all(stack: Stack) -> None:
    for service in stack.services.values():
        with service.lock:
            if service.lives and service.life.popen.poll() is None:
                service.kill()
