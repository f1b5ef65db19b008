"""A second apply changes nothing: what AWS answers is what we sent.

The provider keeps AWS's answer in the state and compares the configuration with it. Where AWS fills
in what was left out, the plan shows a change for ever; in a task definition, a replacement.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.terraform.conftest import ROOT, Infrastructure

Container = dict[str, Any]

#: Lists of a container that ECS answers with, empty where none was sent. To the provider an empty
#: one and none are the same (`reduce` in internal/service/ecs/container_definitions.go, 6.x).
_LISTS = (
    *("command", "dependsOn", "entryPoint", "environment", "environmentFiles", "mountPoints"),
    *(
        "portMappings",
        "resourceRequirements",
        "secrets",
        "systemControls",
        "ulimits",
        "volumesFrom",
    ),
)


def without_nulls(value: Any) -> Any:
    """Return what is sent: the provider reads the JSON into the SDK's types, which omit nulls."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def as_ecs_returns(sent: Container) -> Container:
    """Return a container as DescribeTaskDefinition gives it back, with the defaults that are known.

    - API reference, ContainerDefinition: `essential` is true, `cpu` 0; HealthCheck: 30 s, 5 s, 3
      retries; PortMapping: TCP, and in awsvpc the container's port on the host
    - lists that were not sent are empty: `describe-task-definition` in AWS's developer guide
    - `linuxParameters.capabilities` has both lists as soon as one was sent, and is left out where
      both are empty: seen in plans against AWS (braintrustdata/terraform-aws-braintrust-data-plane,
      pull request 335; TerraConstructs/base, pull request 158)
    """
    found = {name: [] for name in _LISTS} | {"essential": True, "cpu": 0} | without_nulls(sent)
    for mapping in found["portMappings"]:
        mapping.setdefault("hostPort", mapping["containerPort"])
        mapping.setdefault("protocol", "tcp")
    if "healthCheck" in found:
        found["healthCheck"] = {"interval": 30, "timeout": 5, "retries": 3} | found["healthCheck"]
    linux = found.get("linuxParameters", {})
    if "capabilities" in linux:
        both = {"add": [], "drop": []} | linux.pop("capabilities")
        if both["add"] or both["drop"]:
            linux["capabilities"] = both
    return found


def as_the_provider_compares(container: Container) -> Container:
    """Return a container as the provider reduces both sides before it compares them."""
    found = {"essential": True, "cpu": 0} | without_nulls(container)
    for name in _LISTS:
        if not found.get(name):
            found.pop(name, None)
    for name in ("environment", "secrets"):
        if name in found:
            found[name] = sorted(found[name], key=lambda item: str(item["name"]))
    for mapping in found.get("portMappings", ()):
        mapping.setdefault("hostPort", mapping["containerPort"])
        if mapping.get("protocol") == "tcp":
            del mapping["protocol"]
    if "healthCheck" in found:
        found["healthCheck"] = {"interval": 30, "timeout": 5, "retries": 3} | found["healthCheck"]
    return found


def is_stable(container: Container) -> bool:
    """Return whether the provider finds no difference after ECS has answered."""
    return as_the_provider_compares(container) == as_the_provider_compares(
        as_ecs_returns(container)
    )


def containers(infrastructure: Infrastructure) -> Iterator[tuple[str, Container]]:
    for task in infrastructure.of_type("aws_ecs_task_definition").values():
        for container in json.loads(task["container_definitions"]):
            yield f"{task['family']}/{container['name']}", container


def test_a_task_definition_comes_back_as_it_was_sent(infrastructure: Infrastructure) -> None:
    found = dict(containers(infrastructure))

    assert len(found) == 9  # four of ours, and five of the monitoring
    assert [name for name, container in found.items() if not is_stable(container)] == []


@pytest.mark.parametrize(
    "changed",
    [
        {"linuxParameters": {"capabilities": {"drop": ["ALL"]}}},
        {"linuxParameters": {"capabilities": {"drop": []}}},
        {"linuxParameters": {"capabilities": {"add": ["SYS_PTRACE"]}}},
    ],
)
def test_a_difference_would_be_seen(changed: Container) -> None:
    assert is_stable({"name": "plain", "image": "plain:1"})
    assert not is_stable({"name": "plain", "image": "plain:1"} | changed)


def test_revisions_outlive_their_successor(infrastructure: Infrastructure) -> None:
    """Neither ECS nor a pipeline can go back to a revision that Terraform has deregistered."""
    for address, task in infrastructure.of_type("aws_ecs_task_definition").items():
        assert task["skip_destroy"] is True, address


def test_a_default_of_rds_is_not_repeated(infrastructure: Infrastructure) -> None:
    """RDS gives it back with another apply_method: terraform-provider-aws, issue 23335."""
    for group in infrastructure.of_type("aws_db_parameter_group").values():
        assert int(group["family"].removeprefix("postgres")) >= 15
        assert "rds.force_ssl" not in [parameter["name"] for parameter in group["parameter"]]


def test_services_demand_an_encrypted_connection() -> None:
    url = (ROOT / "terraform" / "modules" / "database" / "password.tf").read_text()

    assert re.search(r'"postgresql://[^"]*\?sslmode=require"', url)
