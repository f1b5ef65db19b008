"""What the pipelines call things, and what Terraform calls them."""

import json
from typing import Any

import pytest
from deploy.names import COMPANIONS, MIGRATE, SERVICES, Task

from tests.terraform.conftest import Infrastructure

#: What runs as a service, and whose image it runs.
RUNNING = {name: service for service in SERVICES for name in (service, *COMPANIONS[service])}
TASKS = (*RUNNING, MIGRATE)


def _named(resources: dict[str, dict[str, Any]], key: str = "name") -> set[str]:
    return {resource[key] for resource in resources.values()}


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest, infrastructure: Infrastructure) -> Task:
    return Task(f"cpsite-{infrastructure.environment}", request.param)


def test_tasks_are_where_the_pipelines_look(infrastructure: Infrastructure, task: Task) -> None:
    assert task.cluster in _named(infrastructure.of_type("aws_ecs_cluster"))
    assert task.name in infrastructure.containers(task.name)
    assert task.family in _named(infrastructure.of_type("aws_ecs_task_definition"), "family")
    assert task.log_group in _named(infrastructure.of_type("aws_cloudwatch_log_group"))
    container = infrastructure.containers(task.name)[task.name]
    options = container["logConfiguration"]["options"]
    assert f"{options['awslogs-stream-prefix']}/{task.name}/" in task.log_stream("task/cluster/id")


@pytest.mark.parametrize("service", RUNNING)
def test_services_are_where_the_pipelines_look(
    infrastructure: Infrastructure, service: str
) -> None:
    task = Task(f"cpsite-{infrastructure.environment}", service)

    assert task.family in _named(infrastructure.of_type("aws_ecs_service"))
    noted = Task(task.environment, RUNNING[service]).image_parameter
    assert noted in _named(infrastructure.of_type("aws_ssm_parameter"))


def test_every_service_of_ours_is_deployed_by_a_pipeline(infrastructure: Infrastructure) -> None:
    """One that none deploys would run its first image for ever."""
    services = _named(infrastructure.of_type("aws_ecs_service"))
    prefix = f"cpsite-{infrastructure.environment}-"

    assert services == {f"{prefix}{name}" for name in (*RUNNING, "prometheus", "grafana")}


def test_services_end_a_failed_deployment_themselves(infrastructure: Infrastructure) -> None:
    """Without it a deployment that cannot work would be tried until the pipeline's time is over."""
    for service in infrastructure.of_type("aws_ecs_service").values():
        breaker = service["deployment_circuit_breaker"]
        assert json.dumps(breaker) == '[{"enable": true, "rollback": true}]'


def test_no_environment_owns_what_the_account_has_once(infrastructure: Infrastructure) -> None:
    """Destroying dev would take the OIDC provider away from prod's pipelines."""
    assert infrastructure.of_type("aws_iam_role")
    assert infrastructure.of_type("aws_iam_openid_connect_provider") == {}
