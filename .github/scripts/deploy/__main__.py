"""The command line. Exit codes: 0 done, 1 failed with the reason in words, 2 a wrong option."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from deploy import registry, release, report, revisions, running, schema, smoke
from deploy.aws import Aws
from deploy.errors import DeployError
from deploy.names import SERVICES, Task
from deploy.pace import Pace


def push(aws: Aws, service: Task, options: argparse.Namespace) -> None:
    """Push the image of a commit, unless ECR has it."""
    image = registry.image_of(aws, service, options.commit)
    if registry.is_pushed(aws, image):
        print("ECR has it already, and keeps what it has: tags are immutable", flush=True)
    elif options.archive is None:
        raise DeployError(f"ECR does not have {image}: only what was pushed can be deployed again")
    else:
        registry.push(aws, image, options.archive)
    report.output("image", image)
    report.output("repository", image.rpartition(":")[0])
    report.output("digest", registry.digest_of(aws, image))


def log_in(aws: Aws, service: Task, _options: argparse.Namespace) -> None:
    """Let docker into the registry, for later steps of the job."""
    registry.log_in(aws, registry.deployed_image(aws, service).partition("/")[0])


def list_running(aws: Aws, service: Task, _options: argparse.Namespace) -> None:
    """Print what runs in the environment, whatever the service: repository@digest, a line each."""
    print("\n".join(running.images(aws, service.environment)))


def register(aws: Aws, service: Task, options: argparse.Namespace) -> None:
    """Register the newest revision with another image."""
    report.output("revision", revisions.register(aws, service, options.image))


def migrate(aws: Aws, service: Task, options: argparse.Namespace) -> None:
    """Migrate the database (validator), or wait until that was done (uploader)."""
    if service.name == "validator":
        schema.migrate(aws, service, options.image, _pace(options))
    else:
        schema.wait_for_migrations(aws, service, options.revision, _pace(options))


def release_(aws: Aws, service: Task, options: argparse.Namespace) -> None:
    """Roll a revision out, test it through the load balancer, note its image; or roll back."""

    def ask() -> list[str]:
        return _smoke(options, options.image.rpartition(":")[2])

    done = release.release(aws, service, options.revision, options.image, ask, _pace(options))
    report.succeeded(aws, service, options.image, done)


def smoke_(aws: Aws, service: Task, options: argparse.Namespace) -> None:
    """Ask the API through its load balancer."""
    _smoke(options, "by-hand")


def _smoke(options: argparse.Namespace, key: str) -> list[str]:
    token = os.environ.get("SMOKE_TOKEN")
    return smoke.run(options.url, token, f"smoke-{key}", options.smoke_seconds)


def _pace(options: argparse.Namespace) -> Pace:
    return Pace(options.poll_seconds, options.limit_minutes * 60)


COMMANDS = {
    "log-in": log_in,
    "running": list_running,
    "push": push,
    "register": register,
    "migrate": migrate,
    "release": release_,
    "smoke": smoke_,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deploy", description="Deploy one service to ECS.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in COMMANDS.items():
        command = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        command.add_argument("--environment", required=True, help="its name in AWS: cpsite-dev")
        command.add_argument("--service", required=True, choices=SERVICES)
        command.add_argument("--region", default=os.environ.get("AWS_REGION") or "us-east-1")
        if name == "push":
            command.add_argument("--commit", required=True, help="its hash, which is the tag")
            command.add_argument("--archive", type=Path, help="what `docker save` wrote")
        if name in {"register", "migrate", "release"}:
            command.add_argument("--image", required=True, help="the whole name, with its tag")
        if name in {"migrate", "release"}:
            command.add_argument("--revision", required=True, help="ARN that `register` printed")
            command.add_argument("--poll-seconds", type=float, default=10)
            command.add_argument("--limit-minutes", type=float, default=20)
        if name in {"release", "smoke"}:
            command.add_argument(
                "--url", required=True, help="the API's; with SMOKE_TOKEN set, a message is sent"
            )
            command.add_argument("--smoke-seconds", type=float, default=60)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    service = Task(options.environment, options.service)
    try:
        COMMANDS[options.command](Aws.connect(options.region), service, options)
    except (DeployError, ClientError, BotoCoreError) as error:
        # GitHub shows a line of this form on the run's page.
        print(f"::error title={service.family}::{' '.join(str(error).split())}", flush=True)
        report.failed(service, options.command, str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
