"""A revision is the one before it, with another image: against moto's ECS."""

from typing import Any

import boto3
import pytest
from deploy import revisions
from deploy.aws import Aws
from deploy.errors import DeployError
from deploy.names import Task

TASK = Task("cpsite-render", "validator")


@pytest.fixture
def ecs(aws_endpoint: str) -> Any:
    return boto3.client("ecs", region_name="us-east-1", endpoint_url=aws_endpoint)


@pytest.fixture
def given(ecs: Any) -> dict[str, Any]:
    """What Terraform has registered, in the shape of terraform/modules/task."""
    container = {
        "name": "validator",
        "image": "registry/validator:old",
        "essential": True,
        "user": "10001",
        "command": ["python", "-m", "gunicorn"],
        "readonlyRootFilesystem": True,
        "environment": [{"name": "PORT", "value": "8000"}],
        "secrets": [{"name": "DATABASE_URL", "valueFrom": "arn:aws:ssm:::parameter/url"}],
        "portMappings": [{"containerPort": 8000, "hostPort": 8000, "protocol": "tcp"}],
        "mountPoints": [{"sourceVolume": "tmp", "containerPath": "/tmp", "readOnly": False}],
    }
    sidecar = {"name": "sidecar", "image": "sidecar:1", "essential": False}
    definition = {
        "family": TASK.family,
        "cpu": "256",
        "memory": "512",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
        "taskRoleArn": "arn:aws:iam::123456789012:role/task",
        "runtimePlatform": {"operatingSystemFamily": "LINUX", "cpuArchitecture": "X86_64"},
        "volumes": [{"name": "tmp", "host": {}}],
        "containerDefinitions": [sidecar, container],
    }
    ecs.register_task_definition(**definition, tags=[{"key": "ManagedBy", "value": "terraform"}])
    return definition


def test_all_but_the_image_stays(given: dict[str, Any], ecs: Any) -> None:
    before = ecs.describe_task_definition(taskDefinition=TASK.family)["taskDefinition"]

    arn = revisions.register(Aws.connect("us-east-1"), TASK, "registry/validator:new")

    made = ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])
    after = made["taskDefinition"]
    assert after["containerDefinitions"][1]["image"] == "registry/validator:new"
    assert after["containerDefinitions"][0]["image"] == "sidecar:1"
    assert made["tags"] == [{"key": "ManagedBy", "value": "terraform"}]
    assert after["revision"] == before["revision"] + 1
    for part in (before, after):
        part["containerDefinitions"][1].pop("image")
        for key in ("taskDefinitionArn", "revision", "registeredAt"):
            part.pop(key, None)
    assert after == before


def test_a_family_without_tags_gets_none(given: dict[str, Any]) -> None:
    made = revisions.render({"taskDefinition": given, "tags": []}, "validator", "new")  # type: ignore[typeddict-item]

    assert "tags" not in made


def test_a_container_of_another_name_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(DeployError, match="no container named uploader"):
        revisions.render({"taskDefinition": given, "tags": []}, "uploader", "new")  # type: ignore[typeddict-item]


def test_a_family_that_is_not_there_is_named(aws_endpoint: str) -> None:
    with pytest.raises(
        DeployError, match=r"cpsite-nowhere-validator: .*Has Terraform been applied"
    ):
        revisions.register(Aws.connect("us-east-1"), Task("cpsite-nowhere", "validator"), "new")
