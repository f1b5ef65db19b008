"""Tasks that run once, and the exit code they end with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.aws import Aws
from deploy.errors import DeployError
from deploy.names import Task
from deploy.pace import Pace

if TYPE_CHECKING:
    from mypy_boto3_ecs.type_defs import (
        ContainerOverrideTypeDef,
        NetworkConfigurationOutputTypeDef,
        TaskTypeDef,
    )
    from mypy_boto3_logs.type_defs import GetLogEventsRequestTypeDef

#: How long a log may take to arrive after the end of what wrote it. Mostly it is there at once.
LOG_SECONDS: Final = 30


@dataclass(frozen=True)
class Ended:
    """How a task has ended."""

    #: None where the container never started, and why is in `reason`.
    exit_code: int | None
    reason: str
    lines: tuple[str, ...]


def run(
    aws: Aws, task: Task, revision: str, network_of: Task, pace: Pace, command: Sequence[str] = ()
) -> Ended:
    """Run a revision once, in the network of a service, and wait for its end.

    A task that is not done when the time is over goes on: half a migration helps nobody.
    """
    override: ContainerOverrideTypeDef = {"name": task.name}
    if command:
        override["command"] = command
    started = aws.ecs.run_task(
        cluster=task.cluster,
        taskDefinition=revision,
        launchType="FARGATE",
        networkConfiguration=_network(aws, network_of),
        overrides={"containerOverrides": [override]},
    )
    if started["failures"] or not started["tasks"]:
        reasons = ", ".join(failure.get("reason", "") for failure in started["failures"])
        raise DeployError(f"ECS does not start {revision}: {reasons or 'no reason given'}")
    arn = started["tasks"][0]["taskArn"]
    print(f"started {arn}", flush=True)
    stopped = pace.wait(lambda: _stopped(aws, task, arn), f"the task {arn} is to end; it goes on")
    ended = next(one for one in stopped["containers"] if one["name"] == task.name)
    return Ended(
        ended.get("exitCode"),
        "; ".join(
            filter(
                None, [stopped.get("stopCode"), stopped.get("stoppedReason"), ended.get("reason")]
            )
        ),
        _log(aws, task, arn, pace) if "exitCode" in ended else (),
    )


def _network(aws: Aws, service: Task) -> "NetworkConfigurationOutputTypeDef":
    found = aws.ecs.describe_services(cluster=service.cluster, services=[service.family])
    if not found["services"]:
        raise DeployError(f"ECS has no service {service.family}: apply Terraform first")
    return found["services"][0]["networkConfiguration"]


def _stopped(aws: Aws, task: Task, arn: str) -> "TaskTypeDef | None":
    found = aws.ecs.describe_tasks(cluster=task.cluster, tasks=[arn])
    # Just started, ECS may not know it yet.
    if not found["tasks"] or found["tasks"][0]["lastStatus"] != "STOPPED":
        return None
    return found["tasks"][0]


def _log(aws: Aws, task: Task, arn: str, pace: Pace) -> tuple[str, ...]:
    """Return what the container has written. It may arrive a little after the end."""
    wait = Pace(pace.poll_seconds, LOG_SECONDS)
    try:
        return wait.wait(lambda: _lines(aws, task, arn) or None, "log")
    except DeployError:
        return (f"(nothing in {task.log_group} {task.log_stream(arn)})",)


def _lines(aws: Aws, task: Task, arn: str) -> tuple[str, ...]:
    wanted: GetLogEventsRequestTypeDef = {
        "logGroupName": task.log_group,
        "logStreamName": task.log_stream(arn),
        "startFromHead": True,
    }
    lines: list[str] = []
    while True:
        try:
            page = aws.logs.get_log_events(**wanted)
        except aws.logs.exceptions.ResourceNotFoundException:
            return ()
        lines += [event["message"] for event in page["events"]]
        # At the end the token stays what it was.
        if wanted.get("nextToken") == page["nextForwardToken"]:
            return tuple(lines)
        wanted["nextToken"] = page["nextForwardToken"]
