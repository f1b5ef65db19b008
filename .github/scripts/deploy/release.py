"""A release: roll out, ask through the load balancer, note the image; or go back and say so."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy import revisions, rollout
from deploy.aws import Aws
from deploy.errors import DeployError
from deploy.names import Task
from deploy.pace import Pace

if TYPE_CHECKING:
    from mypy_boto3_ecs.type_defs import ServiceTypeDef


@dataclass(frozen=True)
class Released:
    """What runs now."""

    revision: str
    previous: str
    #: Tasks that run it: 0 where autoscaling had put the service to sleep.
    tasks: int
    smoke: list[str]
    #: Revisions of what runs the same image.
    companions: Mapping[Task, str]


def release(
    aws: Aws, service: Task, revision: str, image: str, smoke: Callable[[], list[str]], pace: Pace
) -> Released:
    """Deploy a revision, and then its image to the service's companions.

    Raises DeployError once all of them are back at what they ran before.
    """
    before = {each: rollout.describe(aws, each) for each in (service, *service.companions)}
    wanted = {each: revisions.register(aws, each, image) for each in service.companions}
    forward, begun = pace.begun(), [service]
    try:
        tasks = _roll_out(aws, service, revision, before, forward)
        lines = smoke()
        for each, its_revision in wanted.items():
            begun.append(each)
            _roll_out(aws, each, its_revision, before, forward)
    except DeployError as error:
        raise DeployError(f"{error}. {_undo(aws, begun, before, error, pace)}") from None
    aws.ssm.put_parameter(Name=service.image_parameter, Value=image, Overwrite=True)
    return Released(revision, _revision(before[service]), tasks, lines, wanted)


def _revision(service: "ServiceTypeDef") -> str:
    return rollout.primary(service)["taskDefinition"]


def _roll_out(
    aws: Aws, service: Task, revision: str, before: Mapping[Task, "ServiceTypeDef"], pace: Pace
) -> int:
    print(f"rolling out {revision}, after {_revision(before[service])}", flush=True)
    return rollout.roll_out(aws, service, revision, pace)


def _undo(
    aws: Aws,
    begun: Sequence[Task],
    before: Mapping[Task, "ServiceTypeDef"],
    error: DeployError,
    pace: Pace,
) -> str:
    """Bring back what has begun, the last one first. Return how that went, in words."""
    back, said = pace.begun(), []
    for each in reversed(begun):
        if isinstance(error, rollout.RolledBack) and each == begun[-1]:
            said.append(f"Rolled back by ECS: {rollout.settle(aws, each, back)} runs")
        elif rollout.never_ran(before[each]):
            said.append("No version has run before: none to go back to")
        else:
            said.append(_go_back(aws, each, _revision(before[each]), back))
    return ". ".join(said)


def _go_back(aws: Aws, service: Task, previous: str, pace: Pace) -> str:
    print(f"going back to {previous}", flush=True)
    try:
        rollout.roll_out(aws, service, previous, pace)
    except DeployError as error:
        return f"ROLLING BACK FAILED TOO ({error}): look at {service.family} now"
    return f"Rolled back: {previous} runs"
