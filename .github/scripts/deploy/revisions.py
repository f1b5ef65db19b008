"""Revisions of task definitions: Terraform's, with another image (docs/adr/0013)."""

from typing import TYPE_CHECKING, Any, Final, cast

from deploy.aws import Aws
from deploy.errors import DeployError
from deploy.names import Task

if TYPE_CHECKING:
    from mypy_boto3_ecs.type_defs import DescribeTaskDefinitionResponseTypeDef

#: What ECS adds to a description, and takes in no registration.
_READ_ONLY: Final = frozenset(
    {
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
        "deregisteredAt",
    }
)


def render(
    description: "DescribeTaskDefinitionResponseTypeDef", container: str, image: str
) -> dict[str, Any]:
    """Return what to register: the described revision and its tags, with the container's image."""
    task = {
        key: value for key, value in description["taskDefinition"].items() if key not in _READ_ONLY
    }
    containers = cast(list[dict[str, Any]], task["containerDefinitions"])
    if container not in [one["name"] for one in containers]:
        raise DeployError(f"the family {task['family']} has no container named {container}")
    task["containerDefinitions"] = [
        one | {"image": image} if one["name"] == container else one for one in containers
    ]
    # ECS refuses an empty list of tags.
    return task | ({"tags": description["tags"]} if description.get("tags") else {})


def register(aws: Aws, task: Task, image: str) -> str:
    """Register the family's newest revision with another image. Return the new one's ARN."""
    try:
        newest = aws.ecs.describe_task_definition(taskDefinition=task.family, include=["TAGS"])
    except aws.ecs.exceptions.ClientException as error:
        raise DeployError(f"{task.family}: {error}. Has Terraform been applied?") from None
    made = aws.ecs.register_task_definition(**render(newest, task.name, image))
    return made["taskDefinition"]["taskDefinitionArn"]
