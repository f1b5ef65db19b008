"""A release: roll out, ask through the load balancer, note the image; or go back and say so."""

from collections.abc import Callable
from dataclasses import dataclass

from deploy import rollout
from deploy.aws import Aws
from deploy.errors import DeployError
from deploy.names import Task
from deploy.pace import Pace


@dataclass(frozen=True)
class Released:
    """What runs now."""

    revision: str
    previous: str
    #: Tasks that run it: 0 where autoscaling had put the service to sleep.
    tasks: int
    smoke: list[str]


def release(
    aws: Aws, service: Task, revision: str, image: str, smoke: Callable[[], list[str]], pace: Pace
) -> Released:
    """Deploy a revision. Raises DeployError once the service is back at the earlier one."""
    before = rollout.describe(aws, service)
    previous = rollout.primary(before)["taskDefinition"]
    print(f"rolling out {revision}, after {previous}", flush=True)
    try:
        tasks = rollout.roll_out(aws, service, revision, pace)
        lines = smoke()
    except rollout.RolledBack as error:
        now = rollout.settle(aws, service, pace)
        raise DeployError(f"{error}. Rolled back by ECS: {now} runs") from None
    except DeployError as error:
        if rollout.never_ran(before):
            raise DeployError(f"{error}. No version has run before: none to go back to") from None
        print(f"{error}. Going back to {previous}", flush=True)
        raise DeployError(f"{error}. {_go_back(aws, service, previous, pace)}") from None
    aws.ssm.put_parameter(Name=service.image_parameter, Value=image, Overwrite=True)
    return Released(revision, previous, tasks, lines)


def _go_back(aws: Aws, service: Task, previous: str, pace: Pace) -> str:
    try:
        rollout.roll_out(aws, service, previous, pace)
    except DeployError as error:
        return f"ROLLING BACK FAILED TOO ({error}): look at {service.family} now"
    return f"Rolled back: {previous} runs"
