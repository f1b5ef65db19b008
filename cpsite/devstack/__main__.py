"""`python -m cpsite.devstack` runs the stack; `… objects` lists what it has stored.

`… manage trace <message_id>` and the like run a command of manage.py with the environment of the
running services. `… query "select …"` asks the stored messages.
"""

import argparse
import os
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from urllib.error import URLError

from cpsite import json_text
from cpsite.cli import UNREAD, readers_may_leave
from cpsite.devstack import configuration, embedded_aws
from cpsite.devstack.configuration import ADMIN, BUCKET, HOST, QUEUE, ROOT, CannotStart
from cpsite.devstack.supervisor import Child, ChildFailed, Stopped, Supervisor, tell

BANNER = """
cpsite is running. Ctrl-C stops it; its data stays in {state}.

  API           {url}/   (open it in a browser for a form)
  token         {token}
  admin         {url}/admin/   user {admin}, password {password}
  embedded AWS  {endpoint}   queue {queue}, bucket {bucket}, region {region}
  metrics       http://{host}:{validator_metrics}/metrics  http://{host}:{uploader_metrics}/metrics

Send a message:

  curl -i {url}/ -H 'Content-Type: application/json' \\
    -d '{body}'

Send one and follow it:

  make send
  make trace ID=<message_id>

Ask for what is stored, or list its objects (either line):

  make query
  make objects
  AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test aws s3 ls --recursive \\
    --region {region} --endpoint-url {endpoint} s3://{bucket}/messages/
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m cpsite.devstack",
        description="Run cpsite on this machine: an embedded AWS, the validator, the uploader.",
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=["run", "objects", "query", "manage"],
        default="run",
        help="run everything (default); of a running stack, list the newest stored objects, ask "
        "the stored messages in SQL, or run a command of manage.py",
    )
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="…",
        help="with manage: the command and its options, such as `send --wait`; with query: the SQL",
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=Path(os.environ.get("DEVSTACK_STATE") or ROOT / "var"),
        help="directory to keep everything in (default: DEVSTACK_STATE or var)",
    )
    parser.add_argument(
        "--ministack",
        type=Path,
        default=ROOT / ".venv-devstack" / "bin" / "ministack",
        help="the embedded AWS's program (default: the one `make run` installs)",
    )
    with readers_may_leave():
        options = parser.parse_args(arguments)
    # The stack itself goes on without a reader, as other services do.
    with readers_may_leave(exit_code=None if options.action == "run" else UNREAD):
        return _act(parser, options)


def _act(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    try:
        configuration.make_private(options.state)
        is_running = options.action != "run" and configuration.recall(options.state)
        config = configuration.read_configuration(
            options.state.resolve(), python=Path(sys.executable), ministack=options.ministack
        )
        if options.action == "manage":
            return _manage(config, options.command, is_running=is_running)
        if options.action == "query":
            return _query(config, options.command, python=options.ministack.with_name("python"))
        if options.command:
            parser.error(f"{options.action} takes no further arguments")
        return _list_objects(config) if options.action == "objects" else _run(config)
    except (CannotStart, ChildFailed) as exc:
        print(f"cpsite: {exc}", file=sys.stderr)
        return 1


def _run(config: configuration.Configuration) -> int:
    with configuration.lock(config.state):
        configuration.check_ports(config)
        configuration.remember(config)
        aws, validator, uploader = _children(config)
        supervisor = Supervisor([aws, validator, uploader], stop_order=[validator, uploader, aws])
        supervisor.install_signal_handlers()
        print("Starting the embedded AWS, the validator and the uploader …", flush=True)
        try:
            supervisor.start(aws)
            _prepare_django(config)
            supervisor.start(uploader)
            supervisor.start(validator)
            _print_banner(config)
            supervisor.watch()
        except Stopped:
            pass
        finally:
            tell("Stopping …")
            supervisor.stop()
            configuration.forget(config)
    tell("Stopped.")
    return 0


def _manage(
    config: configuration.Configuration, command: Sequence[str], *, is_running: bool
) -> int:
    """Become manage.py with the services' environment. Raises CannotStart if none are running."""
    if not is_running:
        raise CannotStart("Nothing is running here: is `make run` running?")
    arguments = [str(config.python), str(ROOT / "manage.py"), *(command or ["help"])]
    environment = config.service_environment() | configuration.token_of_shell()
    os.execve(arguments[0], arguments, environment)  # noqa: S606 - no shell is wanted


def _query(config: configuration.Configuration, arguments: Sequence[str], *, python: Path) -> int:
    """Become cpsite.devstack.query, in the environment that has DuckDB. Raises CannotStart."""
    _check_it_is_up(config)
    # The contracts that run here, which CONTRACT_MODULE may name. The caller's option comes later.
    command = [str(python), "-m", "cpsite.devstack.query"]
    command += ["--contracts", str(config.contracts), *arguments]
    environment = config.service_environment() | {"PYTHONPATH": str(ROOT)}
    os.execve(command[0], command, environment)  # noqa: S606 - no shell is wanted


def _check_it_is_up(config: configuration.Configuration) -> None:
    if not embedded_aws.is_up(config):
        raise CannotStart(f"Nothing answers at {config.endpoint}: is `make run` running?")


def _children(config: configuration.Configuration) -> tuple[Child, Child, Child]:
    environment = config.service_environment()
    heartbeat = Path(environment["UPLOADER_HEARTBEAT_FILE"])
    heartbeat.unlink(missing_ok=True)
    python, manage = str(config.python), str(ROOT / "manage.py")
    return (
        Child(
            name="aws",
            command=[str(config.ministack)],
            environment=config.aws_environment(),
            # Creates the queues again after a crash, which loses them.
            is_ready=lambda: embedded_aws.is_prepared(config),
            may_be_hurried=False,
            log=config.state / "ministack.log",
        ),
        Child(
            name="validator",
            command=[
                *(python, "-m", "gunicorn", "--chdir", str(ROOT)),
                *("--config", "python:cpsite.gunicorn"),
            ],
            environment=environment,
            is_ready=lambda: _answers(f"{config.url}/health/ready"),
        ),
        Child(
            name="uploader",
            command=[python, manage, "run_uploader"],
            environment=environment,
            is_ready=heartbeat.exists,
        ),
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):  # noqa: S310 - our own address
            return True
    except (URLError, OSError):
        return False


def _prepare_django(config: configuration.Configuration) -> None:
    """Migrate, collect static files, and set the admin's password to the one in the banner.

    Raises CannotStart if the contract is not valid.
    """
    os.environ.update(config.service_environment() | {"DJANGO_SETTINGS_MODULE": "cpsite.settings"})
    import django
    from django.core.management import CommandError, call_command

    django.setup()
    try:
        call_command("contract", file=config.contracts)
    except CommandError as exc:
        raise CannotStart(str(exc)) from exc
    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    from django.contrib.auth.models import User
    from django.db import connections

    user, _ = User.objects.get_or_create(
        username=ADMIN, defaults={"is_staff": True, "is_superuser": True}
    )
    if not user.check_password(config.admin_password):
        user.set_password(config.admin_password)
        user.save()
    connections.close_all()


def _print_banner(config: configuration.Configuration) -> None:
    from validator.contracts import default
    from validator.tokens import parse_tokens

    token = next(iter(parse_tokens(config.api_tokens).values()))[0]
    print(
        BANNER.format(
            state=config.state,
            url=config.url,
            token=token,
            body=json_text.write({"token": token, "data": default().example}),
            admin=ADMIN,
            password=config.admin_password,
            endpoint=config.endpoint,
            queue=QUEUE,
            bucket=BUCKET,
            region=config.region,
            host=HOST,
            validator_metrics=config.validator_metrics_port,
            uploader_metrics=config.uploader_metrics_port,
        ),
        flush=True,
    )


def _list_objects(config: configuration.Configuration, newest: int = 20) -> int:
    _check_it_is_up(config)
    pages = embedded_aws.client("s3", config).get_paginator("list_objects_v2")
    found = [item for page in pages.paginate(Bucket=BUCKET) for item in page.get("Contents", [])]
    found.sort(key=lambda item: item["LastModified"])
    for item in found[-newest:]:
        print(f"{item['LastModified']:%Y-%m-%d %H:%M:%S} {item['Size']:>8} {item['Key']}")
    print(f"{len(found)} objects in s3://{BUCKET}; the newest {min(newest, len(found))} are above.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
