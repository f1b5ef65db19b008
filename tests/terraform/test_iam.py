"""The services with exactly the policies that Terraform gives them: enough, and nothing else.

The real API, admin, uploader, `migrate`, `dlq` and `trace` run against an emulator, with IAM in
front of it (`iam_gate.py`) and credentials as ECS hands them out. The statements are those of the
state of prod.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.sqs import sqs_backends

from cpsite.web.health import CACHE_SECONDS
from tests import factories
from tests.end_to_end.conftest import Process, free_port
from tests.terraform import conftest
from tests.terraform.conftest import ROOT
from tests.terraform.iam_gate import ACCOUNT, REGION, Decision, Gate, Statement
from tests.waiting import wait_for

QUEUE = "cpsite-prod-messages"
DLQ = f"{QUEUE}-dlq"
BUCKET = f"cpsite-prod-messages-{ACCOUNT}"
TOKENS = "/cpsite-prod/api-tokens"
TOKEN = "alice-token-1"
ROLES = ("validator", "admin", "uploader")
PASSWORD = "correct-horse-battery"
ADMIN = {"aws_access_key_id": "admin", "aws_secret_access_key": "admin", "region_name": REGION}


# --- What Terraform says --------------------------------------------------------------------------


def _resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _resources(child)


@pytest.fixture(scope="module")
def state() -> list[dict[str, Any]]:
    """Every resource of prod, with ARNs as AWS gives them."""
    if not os.environ.get("TERRAFORM"):
        pytest.skip("`make terraform-check` runs these: TERRAFORM is not set")
    initialised = conftest._terraform("init", "-backend=false", "-input=false", "-no-color")
    assert initialised.returncode == 0, initialised.stderr
    document = conftest._run_tests("prod", "iam", "test_state")
    if isinstance(document, str):
        conftest._unusable(document)
    assert isinstance(document, dict)
    return list(_resources(document["root_module"]))


def statements(state: list[dict[str, Any]], role: str) -> list[Statement]:
    """Return what a role's policy document holds; only Allow statements are known here."""
    (document,) = (
        resource["values"]
        for resource in state
        if re.fullmatch(rf"data\.aws_iam_policy_document\.{role}(\[0\])?", resource["address"])
    )
    return statements_of(document)


def statements_of(document: dict[str, Any]) -> list[Statement]:
    """Return the statements of a planned policy document."""
    found = []
    for each in document["statement"]:
        assert each["effect"] in {None, "Allow"}
        assert not any(each[name] for name in ("not_actions", "not_resources", "principals"))
        conditions = tuple(
            (one["test"], one["variable"], tuple(one["values"])) for one in each["condition"]
        )
        found.append(
            Statement(each["sid"], tuple(each["actions"]), tuple(each["resources"]), conditions)
        )
    return found


# --- The services ---------------------------------------------------------------------------------


@dataclass
class Cloud:
    """AWS behind the gate, and the program in front of it."""

    gate: Gate
    scratch: Path
    queue_url: str
    dlq_url: str
    #: Clients that may do all, past the gate.
    sqs: Any
    s3: Any
    port: int
    admin_port: int

    def environment(self, role: str) -> dict[str, str]:
        """Return the variables of a role's task: the API's are not the admin's."""
        given = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        destinations = {"SQS_DLQ_URL": self.dlq_url, "S3_BUCKET": BUCKET}
        own = {
            "validator": {"VALIDATOR_SERVES": "api", "API_TOKENS_PARAMETER": TOKENS},
            "admin": {
                "VALIDATOR_SERVES": "admin",
                "DJANGO_SECRET_KEY": "k" * 50,
                "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
                **destinations,
            },
            "uploader": destinations,
            "migrate": {},
        }
        return given | self.gate.environment(role) | own[role] | {
            "SQS_QUEUE_URL": self.queue_url,
            "DATABASE_URL": f"sqlite:///{self.scratch / 'audit.sqlite3'}",
            "PORT": str(self.admin_port if role == "admin" else self.port),
            "WEB_CONCURRENCY": "1",
            "VALIDATOR_METRICS_PORT": str(free_port()),
            "UPLOADER_METRICS_PORT": str(free_port()),
            "UPLOADER_WAIT_SECONDS": "1",
            "UPLOADER_HEARTBEAT_FILE": str(self.scratch / "heartbeat"),
            "LOG_FORMAT": "json",
        }  # fmt: skip

    def manage(
        self, role: str, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment(role) | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @contextlib.contextmanager
    def running(self, role: str, *command: str) -> Iterator[Process]:
        log = self.scratch / f"{role}-{free_port()}.log"
        process = Process(list(command), self.environment(role), log)
        try:
            yield process
        finally:
            # Gently: the poll of a killed one would still take the next test's message.
            if process.popen.poll() is None:
                process.stop()
            process.kill()

    def made_since(self, before: int) -> list[Decision]:
        """Return the decisions after the first `before`, but for samples of running services."""
        return [each for each in self.gate.decisions[before:] if not _is_sample(each)]

    def bury(self) -> None:
        """Put a message into the dead-letter queue."""
        body = factories.kombu_envelope(factories.message().encode())
        self.sqs.send_message(QueueUrl=self.dlq_url, MessageBody=body)


def _is_sample(decision: Decision) -> bool:
    """Whether API or admin has just asked for the depth of a queue, as it may (queue_watch.py)."""
    asked = (decision.role, decision.need.action)
    samples = {("validator", "sqs:GetQueueAttributes"), ("admin", "sqs:GetQueueAttributes")}
    return asked in samples and decision.sids != ()


@pytest.fixture(scope="module")
def cloud(
    state: list[dict[str, Any]],
    aws_endpoint: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cloud]:
    host, _, port = aws_endpoint.removeprefix("http://").partition(":")
    admin = {"endpoint_url": aws_endpoint, **ADMIN}
    sqs, s3, ssm = (boto3.client(name, **admin) for name in ("sqs", "s3", "ssm"))  # type: ignore[call-overload]
    ssm.put_parameter(Name=TOKENS, Type="SecureString", Value=json.dumps({"alice": [TOKEN]}))
    dlq_url = sqs.create_queue(QueueName=DLQ)["QueueUrl"]
    redrive = {
        "deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{DLQ}",
        # The fewest that Terraform takes: a foreign body is waited for that often.
        "maxReceiveCount": 3,
    }
    attributes = {"RedrivePolicy": json.dumps(redrive), "VisibilityTimeout": "30"}
    sqs.create_queue(QueueName=QUEUE, Attributes=attributes)
    s3.create_bucket(Bucket=BUCKET)
    # The parameter is encrypted with the key whose ARN the policy names.
    (key,) = (
        resource["values"]["arn"]
        for resource in state
        if resource["address"] == "module.secrets.aws_kms_key.this"
    )
    gate = Gate((host, int(port)), {TOKENS: key})
    made = Cloud(
        gate,
        tmp_path_factory.mktemp("iam"),
        f"{gate.url}/{ACCOUNT}/{QUEUE}",
        f"{gate.url}/{ACCOUNT}/{DLQ}",
        boto3.client("sqs", **admin),  # type: ignore[call-overload]
        s3,
        free_port(),
        free_port(),
    )
    made.dlq_url, made.queue_url = (
        url.replace(aws_endpoint, gate.url)
        for url in (dlq_url, sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"])
    )
    gate.policies = {role: statements(state, role) for role in ROLES}
    migrated = made.manage("migrate", "migrate", "--verbosity", "0")
    assert migrated.returncode == 0, migrated.stderr
    yield made
    gate.close()


@pytest.fixture(scope="module")
def validator(cloud: Cloud) -> Iterator[Process]:
    command = ("-m", "gunicorn", "--config", "python:cpsite.gunicorn")
    with cloud.running("validator", *command) as process:
        wait_for(lambda: _send(cloud) == "", "the validator to accept a message")
        yield process


def _page(browser: urllib.request.OpenerDirector, url: str) -> str:
    """Return the page, empty where there is none yet."""
    with contextlib.suppress(urllib.error.URLError), browser.open(url, timeout=60) as answer:
        return str(answer.read().decode())
    return ""


@pytest.fixture(scope="module")
def operator(cloud: Cloud) -> Iterator[urllib.request.OpenerDirector]:
    """The admin's process, and a browser that is logged in to it."""
    named = ("--username", "ops", "--email", "ops@example.com")
    created = cloud.manage(
        "admin", "createsuperuser", "--noinput", *named, DJANGO_SUPERUSER_PASSWORD=PASSWORD
    )
    assert created.returncode == 0, created.stderr
    with cloud.running("admin", "-m", "gunicorn", "--config", "python:cpsite.gunicorn"):
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        login = f"http://127.0.0.1:{cloud.admin_port}/admin/login/?next=/admin/"
        page = wait_for(lambda: _page(browser, login), "the admin's login page")
        form = {
            "username": "ops",
            "password": PASSWORD,
            "csrfmiddlewaretoken": re.findall(r'csrfmiddlewaretoken" value="(\w+)"', page)[0],
        }
        browser.open(login, urllib.parse.urlencode(form).encode(), timeout=60).close()
        yield browser


# --- What each does: an empty text, or why it failed ----------------------------------------------


def _outcome(done: subprocess.CompletedProcess[str]) -> str:
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _send(cloud: Cloud) -> str:
    return _outcome(cloud.manage("validator", "send"))


def _list_letters(cloud: Cloud) -> str:
    """List them, which hides them for a moment: that they stay hidden is said, and no failure."""
    cloud.bury()
    listed = cloud.manage("admin", "dlq", "list")
    return _outcome(listed) or "".join(re.findall("could not be made visible", listed.stderr))


def _redrive(cloud: Cloud) -> str:
    cloud.bury()
    return _outcome(cloud.manage("admin", "dlq", "redrive", "--all"))


def _verify(cloud: Cloud) -> str:
    """Send, store and read one message back."""
    sent = cloud.manage("validator", "send")
    message_id = json.loads(sent.stdout.partition(" ")[2].splitlines()[0])["message_id"]
    if failure := _store(cloud):
        return failure
    known = ("trace", message_id)
    wait_for(lambda: "stored" in cloud.manage("admin", *known).stdout, "the audit log")
    return _outcome(cloud.manage("admin", *known, "--verify"))


def _store(cloud: Cloud) -> str:
    """Store what is on the queue, and leave a foreign body to the dead-letter queue."""
    return _uploader(cloud, "acknowledge_failed|receive_failed|release_failed|write_failed")


def _uploader(cloud: Cloud, failures: str) -> str:
    """Run the uploader until the queue is empty, or a log line of `failures` has come."""
    envelope = factories.kombu_envelope(factories.message().encode())
    cloud.sqs.send_message(QueueUrl=cloud.queue_url, MessageBody=envelope)

    def failed(process: Process) -> list[dict[str, Any]]:
        return [line for line in process.lines() if re.fullmatch(failures, line["event"])]

    with cloud.running("uploader", "manage.py", "run_uploader", "--drain") as process:
        wait_for(
            lambda: process.popen.poll() is not None or failed(process), "the uploader to be done"
        )
        found = failed(process)
        return " ".join(
            f"{line['event']} {line.get('error', line.get('reason'))}" for line in found
        )


def _leave_foreign(cloud: Cloud) -> str:
    cloud.sqs.send_message(QueueUrl=cloud.queue_url, MessageBody="no message of ours")
    return _uploader(cloud, "acknowledge_failed|receive_failed|release_failed")


def _ready(cloud: Cloud) -> str:
    """Ask whether it is ready for longer than an answer is kept (`cpsite/web/health.py`)."""
    until = time.monotonic() + 2 * CACHE_SECONDS
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{cloud.port}/health/ready").close()
        except urllib.error.HTTPError as exc:
            return str(exc.code)
        time.sleep(0.5)
    return ""


def _measure(cloud: Cloud) -> str:
    return _uploader(cloud, "queue_depth_unknown")


@dataclass(frozen=True)
class Use:
    """What a statement's action is for, and how its lack shows."""

    role: str
    sid: str
    action: str
    does: Callable[[Cloud], str]
    without: str


USES = [
    Use("validator", "SendMessages", "sqs:SendMessage", _send, "queue_unavailable"),
    Use("validator", "SendMessages", "sqs:GetQueueAttributes", _ready, "503"),
    Use("admin", "TakeDeadLetters", "sqs:ReceiveMessage", _list_letters, "ReceiveMessage"),
    Use("admin", "TakeDeadLetters", "sqs:GetQueueAttributes", _list_letters, "Attributes"),
    Use("admin", "TakeDeadLetters", "sqs:ChangeMessageVisibility", _list_letters, "visible"),
    Use("admin", "TakeDeadLetters", "sqs:DeleteMessage", _redrive, "DeleteMessage"),
    Use("admin", "RedriveThem", "sqs:SendMessage", _redrive, "SendMessage"),
    Use("admin", "ReadMessages", "s3:GetObject", _verify, "cannot be read"),
    Use("validator", "ReadTokens", "ssm:GetParameter", _send, "cannot be read"),
    Use("validator", "DecryptTokens", "kms:Decrypt", _send, "cannot be read"),
    Use("uploader", "TakeMessages", "sqs:ReceiveMessage", _store, "receive_failed aws_Acc"),
    Use("uploader", "TakeMessages", "sqs:DeleteMessage", _store, "acknowledge_failed aws_Acc"),
    Use("uploader", "TakeMessages", "sqs:ChangeMessageVisibility", _leave_foreign, "release_fail"),
    Use("uploader", "TakeMessages", "sqs:GetQueueAttributes", _measure, "queue_depth_unknown"),
    Use("uploader", "CountDeadLetters", "sqs:GetQueueAttributes", _measure, "queue_depth_unknown"),
    Use("uploader", "StoreMessages", "s3:PutObject", _store, "write_failed aws_AccessDenied"),
]


@pytest.fixture(autouse=True)
def _empty_queues(cloud: Cloud) -> None:
    """Take away what the last test left, hidden messages too, as often as it is asked for."""
    for name in (QUEUE, DLQ):
        sqs_backends[ACCOUNT][REGION].queues[name]._messages.clear()


@pytest.mark.usefixtures("validator")
@pytest.mark.parametrize(
    "does", dict.fromkeys(use.does for use in USES), ids=lambda does: does.__name__
)
def test_all_that_they_need_is_allowed(cloud: Cloud, does: Callable[[Cloud], str]) -> None:
    before = len(cloud.gate.decisions)

    assert does(cloud) == ""

    made = cloud.gate.decisions[before:]
    assert {use.role for use in USES if use.does == does} <= {decision.role for decision in made}
    assert [decision for decision in made if not decision.sids] == []


def test_each_action_of_each_statement_has_a_use(state: list[dict[str, Any]]) -> None:
    given = {
        (role, statement.sid, action)
        for role in ROLES
        for statement in statements(state, role)
        for action in statement.actions
    }
    assert given == {(use.role, use.sid, use.action) for use in USES}


@pytest.mark.usefixtures("validator")
@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.role}-{use.sid}-{use.action}")
def test_without_it_something_breaks(cloud: Cloud, use: Use) -> None:
    whole = cloud.gate.policies[use.role]
    cloud.gate.policies[use.role] = [
        replace(each, actions=tuple(set(each.actions) - {use.action}))
        if each.sid == use.sid
        else each
        for each in whole
    ]
    try:
        assert use.without in use.does(cloud)
    finally:
        cloud.gate.policies[use.role] = whole


def test_the_admin_shows_dead_letters_and_links_to_objects(
    cloud: Cloud, operator: urllib.request.OpenerDirector
) -> None:
    before = len(cloud.gate.decisions)
    cloud.bury()

    shown = _page(operator, f"http://127.0.0.1:{cloud.admin_port}/admin/uploader/deadletterentry/")

    assert factories.message().client in shown
    asked = cloud.made_since(before)
    assert {decision.role for decision in asked} == {"admin"}
    assert [decision for decision in asked if not decision.sids] == []


@pytest.mark.usefixtures("validator", "operator")
def test_api_and_admin_each_ask_for_the_depth_of_the_queue_that_they_may(cloud: Cloud) -> None:
    before = len(cloud.gate.decisions)

    def samples() -> set[tuple[str, str]]:
        found = filter(_is_sample, cloud.gate.decisions[before:])
        return {(each.role, each.need.resource.rpartition(":")[2]) for each in found}

    wait_for(lambda: len(samples()) == 2, "a sample of each")
    assert samples() == {("validator", QUEUE), ("admin", DLQ)}
    assert cloud.made_since(before) == []


@pytest.mark.parametrize("role", ROLES)
def test_each_is_denied_what_only_the_others_need(state: list[dict[str, Any]], role: str) -> None:
    """Read from the policies: no list that a new permission could be left out of."""
    via = {"kms:ViaService": f"ssm.{REGION}.amazonaws.com"}
    given = {each: statements(state, each) for each in ROLES}
    needs = {
        each: {
            (action, resource.replace("*", "2026/11/25/x.json"))
            for statement in given[each]
            for action in statement.actions
            for resource in statement.resources
        }
        for each in ROLES
    }
    foreign = set().union(*needs.values()) - needs[role]

    assert len(foreign) >= 5
    assert [need for need in foreign if any(each.allows(*need, via) for each in given[role])] == []


def test_migrating_asks_aws_for_nothing(cloud: Cloud, state: list[dict[str, Any]]) -> None:
    before = len(cloud.gate.decisions)
    assert cloud.manage("migrate", "migrate", "--verbosity", "0").returncode == 0

    assert cloud.made_since(before) == []
    of_task = "module.migration.aws_iam_role_policy.task"
    assert [each for each in state if each["address"].startswith(of_task)] == []


#: What none of the roles may do, beside what is not in the table of uses.
FOREIGN: list[tuple[str, str, str, dict[str, Any]]] = [
    ("uploader", "s3", "put_object", {"Bucket": BUCKET, "Key": "elsewhere/x.json"}),
    ("uploader", "s3", "put_object", {"Bucket": BUCKET, "Key": "messages"}),
    ("uploader", "s3", "put_object", {"Bucket": "another-bucket", "Key": "messages/x.json"}),
    ("uploader", "s3", "get_object", {"Bucket": BUCKET, "Key": "messages/x.json"}),
    ("uploader", "s3", "delete_object", {"Bucket": BUCKET, "Key": "messages/x.json"}),
    ("uploader", "s3", "list_objects_v2", {"Bucket": BUCKET}),
    ("uploader", "sqs", "receive_message", {"QueueUrl": DLQ}),
    ("uploader", "sqs", "receive_message", {"QueueUrl": f"{QUEUE}-of-another"}),
    ("uploader", "sqs", "send_message", {"QueueUrl": QUEUE, "MessageBody": "x"}),
    ("uploader", "sqs", "purge_queue", {"QueueUrl": QUEUE}),
    ("uploader", "ssm", "get_parameter", {"Name": TOKENS, "WithDecryption": True}),
    ("validator", "s3", "put_object", {"Bucket": BUCKET, "Key": "messages/x.json"}),
    ("validator", "s3", "delete_object", {"Bucket": BUCKET, "Key": "messages/x.json"}),
    ("validator", "s3", "get_object", {"Bucket": BUCKET, "Key": "messages/x.json"}),
    ("validator", "s3", "list_objects_v2", {"Bucket": BUCKET, "Prefix": "messages/"}),
    ("validator", "sqs", "receive_message", {"QueueUrl": QUEUE}),
    ("validator", "sqs", "receive_message", {"QueueUrl": DLQ}),
    ("validator", "sqs", "delete_message", {"QueueUrl": DLQ, "ReceiptHandle": "x"}),
    ("validator", "sqs", "get_queue_attributes", {"QueueUrl": DLQ}),
    ("admin", "s3", "put_object", {"Bucket": BUCKET, "Key": "messages/x.json"}),
    ("admin", "s3", "delete_object", {"Bucket": BUCKET, "Key": "messages/x.json"}),
    ("admin", "s3", "get_object", {"Bucket": BUCKET, "Key": "elsewhere/x.json"}),
    ("admin", "s3", "list_objects_v2", {"Bucket": BUCKET, "Prefix": "messages/"}),
    ("admin", "sqs", "receive_message", {"QueueUrl": QUEUE}),
    ("admin", "sqs", "delete_message", {"QueueUrl": QUEUE, "ReceiptHandle": "x"}),
    ("admin", "sqs", "purge_queue", {"QueueUrl": DLQ}),
    ("admin", "ssm", "get_parameter", {"Name": TOKENS, "WithDecryption": True}),
    ("admin", "ssm", "get_parameter", {"Name": "/cpsite-prod/database-url"}),
    ("validator", "sqs", "delete_message", {"QueueUrl": QUEUE, "ReceiptHandle": "x"}),
    ("validator", "sqs", "send_message", {"QueueUrl": DLQ, "MessageBody": "x"}),
    ("validator", "sqs", "send_message", {"QueueUrl": "another-queue", "MessageBody": "x"}),
    ("validator", "sqs", "purge_queue", {"QueueUrl": DLQ}),
    ("validator", "ssm", "get_parameter", {"Name": "/cpsite-dev/api-tokens"}),
    ("validator", "ssm", "get_parameter", {"Name": "/cpsite-prod/database-url"}),
    ("validator", "ssm", "put_parameter", {"Name": TOKENS, "Value": "x", "Overwrite": True}),
    ("migrate", "sqs", "receive_message", {"QueueUrl": QUEUE}),
    ("migrate", "ssm", "get_parameter", {"Name": TOKENS, "WithDecryption": True}),
]


@pytest.mark.parametrize(("role", "service", "operation", "arguments"), FOREIGN)
def test_nothing_else_is_allowed(
    cloud: Cloud, role: str, service: str, operation: str, arguments: dict[str, Any]
) -> None:
    given = cloud.gate.issue(role)
    client = boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=cloud.gate.url,
        region_name=REGION,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["Token"],
    )
    if "QueueUrl" in arguments:
        arguments = arguments | {"QueueUrl": f"{cloud.gate.url}/{ACCOUNT}/{arguments['QueueUrl']}"}
    before = len(cloud.gate.decisions)

    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(client, operation)(**arguments)

    (decision,) = cloud.made_since(before)[:1]
    assert (decision.role, decision.sids) == (role, ())


def test_a_link_is_honoured_for_the_role_that_signed_it_and_for_no_other(cloud: Cloud) -> None:
    cloud.s3.put_object(Bucket=BUCKET, Key="messages/link.json", Body=b"{}")
    for role, status in (("admin", 200), ("validator", 403), ("uploader", 403)):
        given = cloud.gate.issue(role)
        client = boto3.client(
            "s3",
            endpoint_url=cloud.gate.url,
            region_name=REGION,
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["Token"],
            # As the messages storage signs (cpsite/settings.py).
            config=Config(signature_version="s3v4"),
        )
        url = client.generate_presigned_url(
            "get_object", Params={"Bucket": BUCKET, "Key": "messages/link.json"}
        )
        try:
            with urllib.request.urlopen(url) as answer:
                found = answer.status
        except urllib.error.HTTPError as exc:
            found = exc.code
        assert found == status


# --- The gate itself ------------------------------------------------------------------------------

ONE = Statement("One", ("sqs:Send*",), ("arn:aws:sqs:*:1:queue",))
CONDITIONED = replace(ONE, conditions=(("StringEquals", "kms:ViaService", ("ssm",)),))


@pytest.mark.parametrize(
    ("statement", "action", "resource", "context", "allows"),
    [
        (ONE, "sqs:SendMessage", "arn:aws:sqs:eu-west-1:1:queue", {}, True),
        (ONE, "SQS:sendmessage", "arn:aws:sqs:eu-west-1:1:queue", {}, True),
        (ONE, "sqs:SendMessage", "arn:aws:sqs:eu-west-1:1:Queue", {}, False),
        (ONE, "sqs:SendMessage", "arn:aws:sqs:eu-west-1:1:queue-2", {}, False),
        (ONE, "sqs:ReceiveMessage", "arn:aws:sqs:eu-west-1:1:queue", {}, False),
        (CONDITIONED, "sqs:SendMessage", "arn:aws:sqs:x:1:queue", {"kms:ViaService": "ssm"}, True),
        (CONDITIONED, "sqs:SendMessage", "arn:aws:sqs:x:1:queue", {"kms:ViaService": "s3"}, False),
        (CONDITIONED, "sqs:SendMessage", "arn:aws:sqs:x:1:queue", {}, False),
    ],
)
def test_a_statement_is_read_as_iam_reads_it(
    statement: Statement, action: str, resource: str, context: dict[str, str], allows: bool
) -> None:
    assert statement.allows(action, resource, context) == allows


def test_a_condition_that_it_does_not_know_is_an_error() -> None:
    unknown = replace(ONE, conditions=(("IpAddress", "aws:SourceIp", ("10.0.0.0/8",)),))
    with pytest.raises(NotImplementedError):
        unknown.allows("sqs:SendMessage", "arn:aws:sqs:x:1:queue", {"aws:SourceIp": "10.0.0.1"})
