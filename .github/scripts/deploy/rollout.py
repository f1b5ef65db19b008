"""Rolling a revision out, and back."""

from typing import TYPE_CHECKING

from deploy.aws import Aws
from deploy.errors import DeployError
from deploy.names import Task
from deploy.pace import Pace

if TYPE_CHECKING:
    from mypy_boto3_ecs.type_defs import DeploymentTypeDef, ServiceTypeDef


class RolledBack(DeployError):
    """ECS has given the revision up and gone back by itself."""


def describe(aws: Aws, service: Task) -> "ServiceTypeDef":
    """Return what ECS knows of a service. Raises DeployError where there is none."""
    found = aws.ecs.describe_services(cluster=service.cluster, services=[service.family])
    if not found["services"] or found["services"][0]["status"] != "ACTIVE":
        raise DeployError(f"ECS has no active service {service.family}: apply Terraform first")
    return found["services"][0]


def primary(service: "ServiceTypeDef") -> "DeploymentTypeDef":
    """Return the deployment that ECS brings, or has brought, the service to."""
    return next(one for one in service["deployments"] if one["status"] == "PRIMARY")


def never_ran(service: "ServiceTypeDef") -> bool:
    """Tell whether no revision has become stable yet, as before the first image."""
    return service["runningCount"] == 0 and primary(service)["rolloutState"] != "COMPLETED"


def roll_out(aws: Aws, service: Task, revision: str, pace: Pace) -> int:
    """Deploy a revision, and wait until no other runs. Return how many tasks run it.

    Raises RolledBack when ECS gave it up, by its circuit breaker or an alarm, and DeployError when
    the time is over or the deployment failed without a way back.
    """
    updated = aws.ecs.update_service(
        cluster=service.cluster, service=service.family, taskDefinition=revision
    )
    ours = primary(updated["service"])["id"]
    events = _Events(updated["service"])

    def ask() -> "ServiceTypeDef | None":
        now = describe(aws, service)
        events.tell(now)
        return now if _is_done(now, ours) else None

    stable = pace.wait(ask, f"{revision} is to become stable")
    # A deployment that is done is not enough: it must be the one that was asked for.
    running = primary(stable)["taskDefinition"]
    if running != revision:
        raise RolledBack(f"the service runs {running}, not {revision}")
    return stable["runningCount"]


def settle(aws: Aws, service: Task, pace: Pace) -> str:
    """Wait until the deployment that ECS is at is done. Return its revision."""

    def ask() -> str | None:
        now = primary(describe(aws, service))
        return now["taskDefinition"] if now["rolloutState"] == "COMPLETED" else None

    return pace.wait(ask, "the earlier revision is to run again")


def _is_done(service: "ServiceTypeDef", ours: str) -> bool:
    found = next((one for one in service["deployments"] if one["id"] == ours), None)
    if found is None or found["status"] != "PRIMARY":
        reason = found.get("rolloutStateReason", "") if found else "the deployment is gone"
        raise RolledBack(f"ECS has gone back to {primary(service)['taskDefinition']}: {reason}")
    if found["rolloutState"] == "FAILED":
        raise DeployError(f"the deployment failed: {found.get('rolloutStateReason', '')}")
    return found["rolloutState"] == "COMPLETED"


class _Events:
    """Prints each event of a service once, oldest first."""

    def __init__(self, service: "ServiceTypeDef") -> None:
        self._told = {event["id"] for event in service["events"]}

    def tell(self, service: "ServiceTypeDef") -> None:
        for event in reversed(service["events"]):
            if event["id"] not in self._told:
                self._told.add(event["id"])
                print(f"  {event['message']}", flush=True)
