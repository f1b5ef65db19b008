"""A small ECS over HTTP, for what moto's does not have.

moto registers revisions (test_revisions.py uses it), but its deployments never become stable, are
never given up by a circuit breaker, and its tasks have no exit codes. This one does what it is told
to; each answer is held against botocore's own description of the API.
"""

import itertools
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

ACCOUNT = "arn:aws:ecs:us-east-1:123456789012"
_SHAPES = botocore.session.get_session().get_service_model("ecs")


class Refused(Exception):
    """An error that the API answers with."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class TaskEnd:
    """How a task that is run will end: after being looked at twice, or at once."""

    exit_code: int | None = 0
    reason: str = "Essential container in task exited"
    lines: tuple[str, ...] = ()
    at_once: bool = False


@dataclass
class Ecs:
    """Families and services by name; what deployments and tasks come to; and what was asked."""

    families: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: What becomes of each deployment to come, in turn; the last one goes for all others.
    fates: list[str] = field(default_factory=lambda: ["completes"])
    #: How each task to come ends, in turn; likewise.
    ends: list[TaskEnd] = field(default_factory=lambda: [TaskEnd(lines=("done",))])
    on_stop: Callable[[str, str, TaskEnd], None] = lambda family, task_id, end: None
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    #: Digests that the main containers of a service's tasks run, by the service's name.
    digests: dict[str, list[str]] = field(default_factory=dict)
    _ahead: dict[str, tuple[str, int]] = field(default_factory=dict)
    _tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def add_family(self, family: str, *containers: str, image: str) -> str:
        """Make the first revision, as Terraform would; return its ARN."""
        definition = {
            "family": family,
            "cpu": "256",
            "memory": "512",
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "executionRoleArn": f"arn:aws:iam::123456789012:role/{family}-execution",
            "containerDefinitions": [{"name": name, "image": image} for name in containers],
            "tags": [{"key": "Environment", "value": "dev"}],
        }
        arn: str = self.RegisterTaskDefinition(definition)["taskDefinition"]["taskDefinitionArn"]
        return arn

    def add_service(self, name: str, revision: str, desired: int = 2) -> None:
        self.services[name] = {
            "serviceName": name,
            "status": "ACTIVE",
            "desiredCount": desired,
            "runningCount": desired,
            "deployments": [self._deployment(revision, "COMPLETED")],
            "events": [],
            "networkConfiguration": {
                "awsvpcConfiguration": {"subnets": [f"subnet-{name}"], "securityGroups": ["sg-1"]}
            },
        }

    def running(self, service: str) -> str:
        revision: str = self._primary(self.services[service])["taskDefinition"]
        return revision

    def asked(self, operation: str) -> list[dict[str, Any]]:
        return [parameters for name, parameters in self.calls if name == operation]

    def answer(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self.calls.append((operation, parameters))
        found: dict[str, Any] = getattr(self, operation)(parameters)
        shape = _SHAPES.operation_model(operation).output_shape
        wrong = ParamValidator().validate(found, shape)
        if wrong.has_errors():
            raise Refused("TestIsWrong", wrong.generate_report())
        return found

    # Operations, under the API's names.

    def RegisterTaskDefinition(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        family = given["family"]
        revisions = self.families.setdefault(family, [])
        number = len(revisions) + 1
        definition = {key: value for key, value in given.items() if key != "tags"} | {
            "taskDefinitionArn": f"{ACCOUNT}:task-definition/{family}:{number}",
            "revision": number,
            "status": "ACTIVE",
            "compatibilities": ["EC2", "FARGATE"],
            "registeredBy": "somebody",
        }
        revisions.append({"taskDefinition": definition, "tags": given.get("tags", [])})
        return deepcopy(revisions[-1])

    def DescribeTaskDefinition(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if given["taskDefinition"] not in self.families:
            raise Refused("ClientException", "Unable to describe task definition.")
        return deepcopy(self.families[given["taskDefinition"]][-1])

    def DescribeServices(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found = [self.services[name] for name in given["services"] if name in self.services]
        for service in found:
            self._go_on(service)
        return {"services": deepcopy(found), "failures": []}

    def UpdateService(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        service = self.services[given["service"]]
        self._deploy(service, given["taskDefinition"], self._next(self.fates))
        return {"service": deepcopy(service)}

    def RunTask(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        end = self._next(self.ends)
        if end.reason == "RESOURCE:FARGATE":
            return {"tasks": [], "failures": [{"reason": end.reason}]}
        arn = f"{ACCOUNT}:task/{given['cluster']}/{uuid.uuid4().hex}"
        name = given["overrides"]["containerOverrides"][0]["name"]
        family = given["taskDefinition"].rpartition("/")[2].partition(":")[0]
        self._tasks[arn] = {"end": end, "name": name, "family": family, "looks": 0, "writes": True}
        return {"tasks": [{"taskArn": arn, "lastStatus": "PROVISIONING"}], "failures": []}

    def ListTasks(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Answer one task a page: a service's tasks are more than a page has."""
        service = given["serviceName"]
        number = int(given.get("nextToken", "0"))
        found = [f"{ACCOUNT}:task/{given['cluster']}/{service}/{number}"]
        more = number + 1 < len(self.digests.get(service, ()))
        return {
            "taskArns": found if self.digests.get(service) else [],
            **({"nextToken": str(number + 1)} if more else {}),
        }

    def _running(self, arn: str) -> dict[str, Any]:
        service, number = arn.split("/")[-2:]
        name = service.rpartition("-")[2]
        main = {"name": name, "imageDigest": self.digests[service][int(number)]}
        sidecar = {"name": "a-sidecar", "imageDigest": "sha256:of-a-sidecar"}
        return {"taskArn": arn, "lastStatus": "RUNNING", "containers": [sidecar, main]}

    def DescribeTasks(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if not set(given["tasks"]) <= set(self._tasks):
            return {"tasks": [self._running(arn) for arn in given["tasks"]], "failures": []}
        (arn,) = given["tasks"]
        task = self._tasks[arn]
        task["looks"] += 1
        if task["looks"] == 1 and not task["end"].at_once:
            return {"tasks": [], "failures": [{"arn": arn, "reason": "MISSING"}]}
        if task["looks"] == 2 and not task["end"].at_once:
            return {"tasks": [{"taskArn": arn, "lastStatus": "RUNNING"}], "failures": []}
        end: TaskEnd = task["end"]
        container: dict[str, Any] = {"name": task["name"], "lastStatus": "STOPPED"}
        if end.exit_code is not None:
            container["exitCode"] = end.exit_code
        if task.pop("writes", None):
            self.on_stop(task["family"], arn.rpartition("/")[2], end)
        sidecar = {"name": "a-sidecar", "lastStatus": "STOPPED", "exitCode": 137}
        stopped = {
            "taskArn": arn,
            "lastStatus": "STOPPED",
            "stopCode": "EssentialContainerExited"
            if end.exit_code is not None
            else "TaskFailedToStart",
            "stoppedReason": end.reason,
            "containers": [sidecar, container],
        }
        return {"tasks": [stopped], "failures": []}

    # What happens meanwhile.

    @staticmethod
    def _next(turns: list[Any]) -> Any:
        return turns.pop(0) if len(turns) > 1 else turns[0]

    @staticmethod
    def _primary(service: dict[str, Any]) -> dict[str, Any]:
        return next(one for one in service["deployments"] if one["status"] == "PRIMARY")

    def _deployment(self, revision: str, state: str) -> dict[str, Any]:
        return {
            "id": f"ecs-svc/{next(self._numbers)}",
            "status": "PRIMARY",
            "taskDefinition": revision,
            "rolloutState": state,
            "rolloutStateReason": "",
        }

    def _deploy(self, service: dict[str, Any], revision: str, fate: str) -> None:
        self._primary(service)["status"] = "ACTIVE"
        service["deployments"].insert(0, self._deployment(revision, "IN_PROGRESS"))
        self._ahead[service["serviceName"]] = (fate, 0)

    def _go_on(self, service: dict[str, Any]) -> None:
        name = service["serviceName"]
        fate, looks = self._ahead.pop(name, ("", 0))
        if fate == "hangs" or (fate and looks < 1 and fate != "completes_at_once"):
            self._ahead[name] = (fate, looks + 1)
        elif fate:
            getattr(self, f"_{fate}")(service, self._primary(service))

    def _completes(self, service: dict[str, Any], ours: dict[str, Any]) -> None:
        ours["rolloutState"] = "COMPLETED"
        service["deployments"] = [ours]
        service["runningCount"] = service["desiredCount"]
        event = {"id": ours["id"], "message": f"(service) {ours['id']} reached a steady state."}
        service["events"].insert(0, event)

    _completes_at_once = _completes

    def _is_given_up(self, service: dict[str, Any], ours: dict[str, Any]) -> None:
        ours["rolloutState"] = "FAILED"
        ours["rolloutStateReason"] = "ECS deployment circuit breaker: tasks failed to start."
        before = service["deployments"][1]["taskDefinition"]
        self._deploy(service, before, "completes")

    def _fails(self, service: dict[str, Any], ours: dict[str, Any]) -> None:
        ours["rolloutState"] = "FAILED"
        ours["rolloutStateReason"] = "tasks failed to start."

    def _is_changed(self, service: dict[str, Any], ours: dict[str, Any]) -> None:
        """The deployment is done, and yet it is not what was asked for."""
        self._completes(service, ours)
        ours["taskDefinition"] = f"{ACCOUNT}:task-definition/somebody-elses:1"

    def _is_replaced(self, service: dict[str, Any], ours: dict[str, Any]) -> None:
        """Somebody else deploys another revision meanwhile, and it is done at once."""
        other = self._deployment(f"{ACCOUNT}:task-definition/somebody-elses:1", "COMPLETED")
        service["deployments"] = [other]


@contextmanager
def served(ecs: Ecs) -> Iterator[str]:
    """Serve it on a free port; yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            status = 200
            try:
                body = ecs.answer(operation, json.loads(self.rfile.read(length)))
            except Refused as error:
                status, body = 400, {"__type": error.code, "message": str(error)}
            payload = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
