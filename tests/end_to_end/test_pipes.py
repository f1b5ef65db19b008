"""Commands whose output is no longer read, as in `command | head -1`: real processes and pipes."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cpsite.cli import UNREAD
from tests import factories
from tests.conftest import client
from tests.end_to_end.conftest import ROOT

pytestmark = pytest.mark.end_to_end


def run(command, environment, *, stdout, stderr=subprocess.PIPE):
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        stdout=stdout,
        stderr=stderr,
        text=True,
        check=False,
        timeout=120,
    )


def said(stderr):
    """Return what is on standard error beside the log."""
    return [line for line in stderr.splitlines() if not line.startswith('{"event": ')]


@pytest.fixture
def unread():
    """The writing end of a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


@pytest.fixture
def letter(services):
    """A dead letter that is longer than a pipe takes at once."""
    message = factories.message(data=factories.fields(field1="x" * 200_000))
    body = factories.kombu_envelope(message.encode())
    services.queue.client.send_message(QueueUrl=services.queue.dlq_url, MessageBody=body)
    return message


@pytest.mark.parametrize(
    "command",
    [
        ["help"],
        ["help", "dlq"],
        ["contract"],
        ["check"],
        ["showmigrations"],
        ["prune_audit", "--older-than", "90d"],
        ["send", "--help"],
        ["trace", "--help"],
        ["check_uploader", "--help"],
        ["dlq", "list"],
        ["dlq", "show", str(factories.message().message_id)],
        ["dlq", "show", str(factories.message().message_id), "--body"],
        ["dlq", "redrive", "--all", "--dry-run"],
    ],
    ids=" ".join,
)
def test_a_command_ends_quietly(services, letter, unread, command):
    done = run(["manage.py", *command], services.environment, stdout=unread)
    assert (done.returncode, said(done.stderr)) == (UNREAD, [])
    # What was hidden while the command looked at it is visible again.
    assert services.queue.count(dead=True) == {"visible": 1, "in_flight": 0}


def test_it_does_so_in_the_middle_of_its_output(services, letter):
    command = [sys.executable, "manage.py", "dlq", "show", str(letter.message_id), "--body"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=services.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout.read(50).startswith(b"message id:")
        process.stdout.close()
        assert process.wait(60) == UNREAD
        assert said(process.stderr.read().decode()) == []
    assert services.queue.count(dead=True) == {"visible": 1, "in_flight": 0}


def test_what_is_to_be_done_is_done_though_nobody_reads_how(services, letter, unread):
    done = run(["manage.py", "dlq", "redrive", "--all"], services.environment, stdout=unread)
    assert (done.returncode, said(done.stderr)) == (UNREAD, [])
    assert services.queue.count()["visible"] == 1
    assert services.queue.count(dead=True) == {"visible": 0, "in_flight": 0}


@pytest.mark.parametrize(
    ("command", "code"),
    [(["dlq", "list"], UNREAD), (["dlq", "show", "no-such-id"], 1), (["dlq", "burn"], 2)],
    ids=str,
)
def test_it_does_so_when_nobody_reads_its_errors_either(services, letter, unread, command, code):
    done = run(["manage.py", *command], services.environment, stdout=unread, stderr=unread)
    assert done.returncode == code


@pytest.mark.parametrize("action", [["--help"], ["objects"], ["manage", "help"]], ids=" ".join)
def test_commands_beside_make_run_end_quietly(services, unread, aws_endpoint, tmp_path, action):
    """Here moto stands for the embedded AWS."""
    s3 = client("s3", aws_endpoint)
    s3.create_bucket(Bucket="cpsite-messages")
    s3.put_object(Bucket="cpsite-messages", Key="messages/a.json", Body=b"{}")
    state = Path(tmp_path / "state")
    state.mkdir()
    (state / "running.json").write_text("{}")
    environment = services.environment | {"AWS_PORT": str(urlsplit(aws_endpoint).port)}
    command = ["-m", "cpsite.devstack", "--state", str(state), *action]
    shown = run(command, environment, stdout=subprocess.PIPE)
    assert (shown.returncode, shown.stderr) == (0, "")
    done = run(command, environment, stdout=unread)
    assert (done.returncode, said(done.stderr)) == (UNREAD, [])
