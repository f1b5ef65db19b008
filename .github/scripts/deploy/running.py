"""Which images run, by their digests: what a scan of today must look at, whatever was pushed since.

Reads ECS, ECR and SSM alone, and needs none of the rights to deploy.
"""

from typing import TYPE_CHECKING

from deploy import registry
from deploy.aws import Aws
from deploy.names import COMPANIONS, SERVICES, Task

if TYPE_CHECKING:
    from mypy_boto3_ecs.type_defs import TaskTypeDef


def images(aws: Aws, environment: str) -> list[str]:
    """Return `repository@digest` of each image that our services run, each once.

    A service that sleeps runs none: then it is the image that it would wake with.
    """
    found: set[str] = set()
    for name in SERVICES:
        service = Task(environment, name)
        noted = registry.deployed_image(aws, service)
        repository = noted.rpartition(":")[0]
        digests = {
            digest
            for each in (name, *COMPANIONS[name])
            for digest in _digests(aws, Task(environment, each))
        }
        digests = digests or {registry.digest_of(aws, noted)}
        found |= {f"{repository}@{digest}" for digest in digests}
    return sorted(found)


def _digests(aws: Aws, service: Task) -> set[str]:
    """Return the digests that the tasks of a service run in their main container."""
    pages = aws.ecs.get_paginator("list_tasks").paginate(
        cluster=service.cluster, serviceName=service.family
    )
    # A page has a hundred tasks at most, which is what a description takes.
    tasks: list[TaskTypeDef] = []
    for page in pages:
        if page["taskArns"]:
            described = aws.ecs.describe_tasks(cluster=service.cluster, tasks=page["taskArns"])
            tasks += described["tasks"]
    return {
        container["imageDigest"]
        for task in tasks
        for container in task["containers"]
        # One that still starts has pulled nothing yet.
        if container["name"] == service.name and container.get("imageDigest")
    }
