"""IAM in front of an emulator of AWS: what the policies of a role do not allow is refused.

moto's own IAM ignores most resources and denies on any condition. This one evaluates what our
policies use and raises on anything else: Allow statements with actions, resources and conditions
(`StringEquals`, `StringLike`), as AWS documents them ("Policy evaluation logic", "How IAM roles
differ from resource-based policies"). Credentials come as they do on ECS, from an endpoint for each
role; a request is the role's whose key it carries. Signatures are not checked.
"""

import http.client
import json
import re
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

ACCOUNT, REGION = "123456789012", "us-east-1"

#: The permission that a batch call needs, and that S3 asks for other calls (AWS: "Service
#: Authorization Reference", SQS and S3).
PERMISSION = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "s3:GET object": "s3:GetObject",
    "s3:HEAD object": "s3:GetObject",
    "s3:PUT object": "s3:PutObject",
    "s3:DELETE object": "s3:DeleteObject",
    "s3:GET bucket": "s3:ListBucket",
    "s3:HEAD bucket": "s3:ListBucket",
}


@dataclass(frozen=True)
class Statement:
    """One statement that allows something."""

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    #: (operator, key, values)
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    def allows(self, action: str, resource: str, context: Mapping[str, str]) -> bool:
        return (
            # Actions are compared without regard to case, resources with it.
            any(_matches(each.lower(), action.lower()) for each in self.actions)
            and any(_matches(each, resource) for each in self.resources)
            and all(_holds(*condition, context) for condition in self.conditions)
        )


def _matches(pattern: str, value: str) -> bool:
    wild = "".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in pattern)
    return re.fullmatch(wild, value, re.DOTALL) is not None


def _holds(operator: str, key: str, values: Sequence[str], context: Mapping[str, str]) -> bool:
    given = context.get(key)
    if given is None:
        return False
    if operator == "StringEquals":
        return given in values
    if operator == "StringLike":
        return any(_matches(value, given) for value in values)
    raise NotImplementedError(operator)


@dataclass(frozen=True)
class Need:
    """One permission that a request needs."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Decision:
    """What became of a need: the statements that allow it, none when it was refused."""

    role: str
    need: Need
    sids: tuple[str, ...]


class Gate:
    """Listens on loopback in front of `backend`, host and port; `keys` are ARNs by parameter.

    `policies` may be changed while it runs: they are asked for each request.
    """

    def __init__(self, backend: tuple[str, int], keys: Mapping[str, str]) -> None:
        self.policies: dict[str, list[Statement]] = {}
        self.decisions: list[Decision] = []
        self._backend = backend
        self._keys = keys
        self._roles: dict[str, tuple[str, str]] = {}
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                gate._serve(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815 - its names

            def log_message(self, *_args: Any) -> None:
                """A line for each request is too much."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self, role: str) -> dict[str, str]:
        """Return what a task of the role is started with."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.url}/credentials/{role}",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def issue(self, role: str) -> dict[str, str]:
        """Return new credentials of a role, as the endpoint of ECS answers."""
        key, token = f"ASIA{uuid.uuid4().hex[:16].upper()}", uuid.uuid4().hex
        self._roles[key] = (role, token)
        return {
            "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{role}",
            "AccessKeyId": key,
            "SecretAccessKey": uuid.uuid4().hex,
            "Token": token,
            "Expiration": f"{datetime.now(UTC) + timedelta(hours=6):%Y-%m-%dT%H:%M:%SZ}",
        }

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if request.path.startswith("/credentials/"):
            role = request.path.rpartition("/")[2]
            _answer(request, 200, json.dumps(self.issue(role)), "application/json")
            return
        service, role = self._caller(request)
        allowed = [self._decide(role, need) for need in self._needs(service, request, body)]
        if role and allowed and all(allowed):
            self._forward(request, body)
        elif service == "s3":
            error = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            _answer(request, 403, error, "application/xml")
        else:
            error = json.dumps({"__type": "AccessDeniedException", "message": "not authorized"})
            _answer(request, 400, error, "application/x-amz-json-1.0")

    def _caller(self, request: BaseHTTPRequestHandler) -> tuple[str, str]:
        """Return service and role of a request; an unknown key or a wrong token has no role."""
        query = parse_qs(urlsplit(request.path).query)
        scope = request.headers.get("Authorization", "").partition("Credential=")[2]
        token = request.headers.get("X-Amz-Security-Token", "")
        if not scope:  # a link
            scope = query.get("X-Amz-Credential", [""])[0]
            token = query.get("X-Amz-Security-Token", [""])[0]
        key, _date, _region, service = [*scope.partition(",")[0].split("/"), "", "", ""][:4]
        role, issued = self._roles.get(key, ("", ""))
        return service, role if token == issued else ""

    def _needs(self, service: str, request: BaseHTTPRequestHandler, body: bytes) -> list[Need]:
        if service == "s3":
            return [_need_of_s3(request)]
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        arguments = json.loads(body or b"{}")
        name = f"{service}:{operation}"
        if service == "sqs":
            queue = arguments["QueueUrl"].rpartition("/")[2]
            return [Need(PERMISSION.get(name, name), f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}")]
        if service == "ssm":
            parameter = arguments["Name"]
            needs = [Need(name, f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{parameter}")]
            if arguments.get("WithDecryption") and parameter in self._keys:
                via = {"kms:ViaService": f"ssm.{REGION}.amazonaws.com"}
                needs.append(Need("kms:Decrypt", self._keys[parameter], via))
            return needs
        return [Need(name or "unknown", "*")]

    def _decide(self, role: str, need: Need) -> bool:
        sids = tuple(
            statement.sid
            for statement in self.policies.get(role, [])
            if statement.allows(need.action, need.resource, need.context)
        )
        self.decisions.append(Decision(role, need, sids))
        return bool(sids)

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        connection = http.client.HTTPConnection(*self._backend, timeout=60)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in {"host", "connection"}
        }
        connection.request(request.command, request.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        request.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                request.send_header(name, value)
        length = answer.getheader("Content-Length") if request.command == "HEAD" else None
        request.send_header("Content-Length", length or str(len(content)))
        request.end_headers()
        request.wfile.write(content)
        connection.close()


def _need_of_s3(request: BaseHTTPRequestHandler) -> Need:
    """Return the need of a request with the bucket in its path."""
    url = urlsplit(request.path)
    bucket, _, key = unquote(url.path).lstrip("/").partition("/")
    kind = "object" if key else "bucket"
    action = PERMISSION.get(f"s3:{request.command} {kind}", f"s3:{request.command} {kind}")
    if key:
        return Need(action, f"arn:aws:s3:::{bucket}/{key}")
    prefix = parse_qs(url.query).get("prefix", [""])[0]
    return Need(action, f"arn:aws:s3:::{bucket}", {"s3:prefix": prefix})


def _answer(request: BaseHTTPRequestHandler, status: int, text: str, media_type: str) -> None:
    request.send_response(status)
    request.send_header("Content-Type", media_type)
    request.send_header("Content-Length", str(len(text)))
    request.end_headers()
    request.wfile.write(text.encode())
