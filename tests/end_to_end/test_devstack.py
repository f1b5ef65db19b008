"""`make run`, as a newcomer meets it: with the real embedded AWS, on free ports."""

import http.client
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from tests import factories
from tests.end_to_end.conftest import ROOT, Process, free_port
from tests.waiting import wait_for

MINISTACK = ROOT / ".venv-devstack" / "bin" / "ministack"

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.slow(reason="starts the whole of `make run`"),
    pytest.mark.skipif(
        not MINISTACK.exists() and not os.environ.get("CI"),
        reason="the embedded AWS is installed by `make run` and `make test-slow`",
    ),
]


class Devstack:
    def __init__(self, tmp_path):
        self.tmp_path = tmp_path
        self.state = tmp_path / "state"
        names = ("PORT", "AWS_PORT", "VALIDATOR_METRICS_PORT", "UPLOADER_METRICS_PORT")
        self.ports = {name: free_port() for name in names}
        kept = (
            "PATH",
            "HOME",
            "CONTRACT_MODULE",
            "COVERAGE_PROCESS_START",
            "COVERAGE_PROCESS_CONFIG",
        )
        self.environment = {name: os.environ[name] for name in kept if name in os.environ}
        self.environment |= {name: str(port) for name, port in self.ports.items()}
        self.environment |= {"PYTHONUNBUFFERED": "1", "VISIBILITY_TIMEOUT_SECONDS": "12"}
        self.started = []

    def command(self, *arguments):
        return ["-m", "cpsite.devstack", "--state", str(self.state), *arguments]

    def start(self, **environment):
        log = self.tmp_path / f"run-{len(self.started)}.log"
        process = Process(self.command(), self.environment | environment, log)
        self.started.append(process)
        wait_for(
            lambda: "cpsite is running" in log.read_text() or process.popen.poll() is not None,
            "the banner",
            120,
        )
        return process

    def output(self):
        return self.started[-1].log.read_text()

    def run(self, *arguments, **environment):
        return subprocess.run(
            [sys.executable, *self.command(*arguments)],
            cwd=ROOT,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def curl(self):
        """Run the printed curl line as it stands."""
        match = re.search(r"  (curl -i .*?}}')", self.output(), re.DOTALL)
        words = shlex.split(match[1].replace("\\\n", ""))
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        return int(head.split()[1]), json.loads(body)

    def post(self, token, data):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["PORT"], timeout=30)
        body = json.dumps({"token": token, "data": data})
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        found = answer.status, json.loads(answer.read())
        connection.close()
        return found

    def token(self):
        return re.search(r"  token +(\S+)", self.output())[1]

    def objects(self):
        """Message id → stored document."""
        s3 = boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self.ports['AWS_PORT']}",
        )
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="cpsite-messages")
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        read = [s3.get_object(Bucket="cpsite-messages", Key=key)["Body"].read() for key in keys]
        documents = [json.loads(body) for body in read]
        assert len({document["message_id"] for document in documents}) == len(keys)
        return {document["message_id"]: document for document in documents}

    def child(self, command):
        """The pid of the stack's own child whose command line holds `command`."""
        children = Path(f"/proc/{self.started[-1].popen.pid}/task").glob("*/children")
        for pid in " ".join(path.read_text() for path in children).split():
            if command in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "):
                return int(pid)
        return None


@pytest.fixture
def devstack(tmp_path):
    stack = Devstack(tmp_path)
    yield stack
    for process in stack.started:
        if process.popen.poll() is None:
            process.stop()
        process.kill()


def _admin(devstack):
    """A browser session of the admin, logged in with the printed password."""
    password = re.search(r"user admin, password (\S+)", devstack.output())[1]
    base = f"http://127.0.0.1:{devstack.ports['PORT']}/admin/"
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    page = opener.open(f"{base}login/").read().decode()
    csrf = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    form = {"username": "admin", "password": password, "csrfmiddlewaretoken": csrf}
    opener.open(f"{base}login/?next=/admin/", urllib.parse.urlencode(form).encode())
    return lambda path: opener.open(base + path).read().decode()


def test_from_the_banner_to_the_object_and_the_audit_log_and_back_after_a_restart(devstack):
    run = devstack.start()
    status, accepted = devstack.curl()
    assert status == 202
    stored = wait_for(devstack.objects, "the object")
    assert stored[accepted["message_id"]]["data"] == {
        "field1": "a",
        "field2": "b",
        "field3": "c",
        "field4": "d",
    }
    token = devstack.token()
    assert devstack.post("bad-token", factories.fields())[0] == 401
    assert devstack.post(token, {"field1": "a", "field2": "b", "field3": "c"})[0] == 400
    listed = devstack.run("objects")
    assert f"{accepted['message_id']}.json" in listed.stdout
    asked = devstack.run(
        "query", f"select field1, day from messages where message_id = '{accepted['message_id']}'"
    )
    assert asked.stdout.splitlines()[1].split()[0] == "a"
    assert asked.stderr.startswith("Rows: 1. Objects read: 1 (")
    wrong = devstack.run("query", "select field5 from messages")
    assert (wrong.returncode, "field5" in wrong.stderr) == (1, True)
    traced = devstack.run("manage", "trace", accepted["message_id"], "--verify")
    assert f"{accepted['message_id']}  stored" in traced.stdout
    assert "verified intact" in traced.stdout
    admin = _admin(devstack)
    log = wait_for(
        lambda: (page := admin("audit/auditevent/")).count("field-kind_badge") == 5 and page,
        "five audit events",
    )
    for told in ("accepted", "stored", "token_unknown", "contract_required", "object_verified"):
        assert told in log
    assert accepted["message_id"] in admin(f"audit/auditevent/?q={accepted['message_id']}")

    run.signal(signal.SIGINT)
    assert run.wait() == 0
    assert "Stopped." in devstack.output()

    devstack.start()
    assert devstack.token() == token
    assert accepted["message_id"] in devstack.objects()
    assert _admin(devstack)("audit/auditevent/").count("field-kind_badge") == 5


def test_undelivered_messages_outlive_a_stop(devstack):
    run = devstack.start()
    uploader = devstack.child("run_uploader")
    os.kill(uploader, signal.SIGSTOP)  # so that nothing takes the message off the queue
    status, accepted = devstack.post(devstack.token(), factories.fields())
    assert status == 202
    assert not devstack.objects()
    os.kill(uploader, signal.SIGKILL)
    run.stop()
    devstack.start()
    wait_for(lambda: accepted["message_id"] in devstack.objects(), "the object", 180)


def test_every_202_has_exactly_one_object_though_the_uploader_is_killed(devstack):
    devstack.start(API_TOKENS="my-own-token", UPLOADER_CONCURRENCY="4")
    killed = []

    def post(number):
        if number == 150:
            killed.append(devstack.child("run_uploader"))
            os.kill(killed[0], signal.SIGKILL)
        return devstack.post("my-own-token", factories.fields(field1=f"number {number}"))

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(post, range(300)))
    assert {status for status, _ in answers} == {202}
    accepted = {answer["message_id"]: number for number, (_, answer) in enumerate(answers)}
    # What the killed one had in hand comes back after the visibility timeout.
    stored = wait_for(
        lambda: (found := devstack.objects()).keys() >= accepted.keys() and found, "all", 240
    )
    assert stored.keys() == accepted.keys()
    for message_id, number in accepted.items():
        assert stored[message_id]["data"] == factories.fields(field1=f"number {number}")
    assert "uploader ended with status -9; starting it again" in devstack.output()
    assert devstack.child("run_uploader") not in {None, killed[0]}


def test_after_a_crash_of_the_embedded_aws_messages_are_accepted_again(devstack):
    devstack.start()
    os.kill(devstack.child("ministack"), signal.SIGKILL)
    wait_for(lambda: devstack.post(devstack.token(), factories.fields())[0] == 202, "a 202", 120)


def test_closing_the_terminal_stops_everything(devstack):
    run = devstack.start()
    run.signal(signal.SIGHUP)
    assert run.wait() == 0
    for port in devstack.ports.values():
        assert subprocess.call(["bash", "-c", f"! true > /dev/tcp/127.0.0.1/{port}"]) == 0


def test_a_busy_port_is_one_clear_line(devstack):
    devstack.start()
    other = devstack.run(AWS_PORT=str(free_port()))
    assert other.returncode == 1
    assert "Another `make run`" in other.stderr
    devstack.state = devstack.state.with_name("other-state")
    other = devstack.run()
    assert other.returncode == 1
    (line,) = other.stderr.strip().splitlines()
    assert f"Port {devstack.ports['PORT']} on 127.0.0.1 is in use" in line


def test_a_child_that_cannot_start_is_told_with_its_last_lines(devstack):
    failed = devstack.run(API_TOKENS="short")
    assert failed.returncode == 1
    assert "API_TOKENS is not valid" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_message_sent_from_the_shell_is_stored(devstack):
    tokens = {"alice": ["a-token-of-alice"], "bob": ["a-token-of-bob"]}
    run = devstack.start(API_TOKENS=json.dumps(tokens))
    # From another shell, which knows neither the ports nor the token.
    for name in devstack.ports:
        del devstack.environment[name]
    sent = devstack.run("manage", "send", "--wait")
    assert sent.returncode == 0, sent.stderr
    # One that is set up for a client, or for another cpsite.
    as_bob = devstack.run("manage", "send", CPSITE_TOKEN="a-token-of-bob")
    assert as_bob.returncode == 0, as_bob.stderr
    message_id = json.loads(as_bob.stdout.partition("202 ")[2])["message_id"]
    traced = wait_for(
        lambda: (found := devstack.run("manage", "trace", message_id)).returncode == 0 and found,
        "the audit log",
    )
    assert re.search(r"client +bob", traced.stdout)
    other = devstack.run("manage", "send", CPSITE_TOKEN="for-another-cpsite")
    assert other.returncode == 1
    assert "CPSITE_TOKEN is set" in other.stderr
    remembered = devstack.state / "running.json"
    assert remembered.stat().st_mode & 0o777 == 0o600
    accepted = json.loads(sent.stdout.partition("202 ")[2].partition("\n")[0])
    assert re.search(rf"stored as messages/.*{accepted['message_id']}\.json", sent.stdout)
    run.signal(signal.SIGINT)
    assert run.wait() == 0
    assert not remembered.exists()


def test_commands_without_a_running_stack_say_so(devstack):
    sent = devstack.run("manage", "send")
    assert sent.returncode == 1
    assert "is `make run` running?" in sent.stderr


@pytest.mark.parametrize("command", ["objects", "query"])
def test_without_a_running_stack_they_say_so(devstack, command):
    listed = devstack.run(command)
    assert listed.returncode == 1
    assert "is `make run` running?" in listed.stderr
