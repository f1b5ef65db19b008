"""What a first apply makes before what: Terraform makes at once what depends on nothing.

From `terraform graph`, which shows the resources and what each waits for.
"""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.terraform.conftest import ROOT, Infrastructure

SERVICES = {
    "validator": "module.validator",
    "admin": "module.admin",
    "uploader": "module.uploader",
    "prometheus": "module.monitoring.module.prometheus",
    "grafana": "module.monitoring.module.grafana",
}
LOAD_BALANCERS = ("module.load_balancer.aws_lb.main", "module.load_balancer.aws_lb.monitoring")


@cache
def _graph() -> dict[str, set[str]]:
    """Return by each resource what it directly depends on, in whatever module."""
    with TemporaryDirectory() as scratch:
        # Without the backend, whose bucket no check has.
        shutil.copytree(
            ROOT / "terraform",
            Path(scratch) / "terraform",
            ignore=shutil.ignore_patterns("backend.tf", ".terraform", "*.tfstate*"),
        )
        for arguments in (("init", "-input=false"), ("graph",)):
            done = subprocess.run(
                [os.environ["TERRAFORM"], "-chdir=terraform", *arguments],
                cwd=scratch,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    edges: dict[str, set[str]] = {}
    for after, before in re.findall(r'^\s*"([^"]+)" -> "([^"]+)";', done.stdout, re.MULTILINE):
        edges.setdefault(after, set()).add(before)
    return edges


def made_before(resource: str) -> set[str]:
    """Return all that exists once Terraform begins to make `resource`."""
    found: set[str] = set()
    left = {resource}
    while left:
        reached = _graph().get(left.pop(), set()) - found
        found |= reached
        left |= reached
    return found


@pytest.fixture(autouse=True)
def _terraform_is_there() -> None:
    if not os.environ.get("TERRAFORM"):
        pytest.skip("`make terraform-check` runs these: TERRAFORM is not set")


@pytest.mark.parametrize("load_balancer", LOAD_BALANCERS)
def test_a_load_balancer_comes_after_the_way_to_the_internet(load_balancer: str) -> None:
    """AWS says "VPC has no internet gateway" otherwise, when the gateway is the slower one."""
    assert {
        "module.network.aws_internet_gateway.this",
        "module.network.aws_route.internet",
        "module.network.aws_route_table_association.public",
    } <= made_before(load_balancer)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_comes_after_what_its_tasks_need(service: str) -> None:
    """Three tasks that die at the start are a failed deployment, with none to go back to."""
    before = made_before(f"{SERVICES[service]}.aws_ecs_service.this")

    assert {
        # a way to registry, queue and database
        "module.network.aws_route.internet",
        "module.network.aws_route_table_association.public",
        "module.network.aws_vpc_endpoint.interface",
        "module.network.aws_vpc_endpoint.s3",
        "aws_vpc_security_group_egress_rule.aws",
        "aws_vpc_security_group_egress_rule.s3",
        "aws_vpc_security_group_egress_rule.connection",
        "aws_vpc_security_group_ingress_rule.connection",
        # permissions
        f"{SERVICES[service]}.module.task.aws_iam_role_policy.execution",
        f"{SERVICES[service]}.module.task.aws_iam_role_policy.task",
    } <= before


@pytest.mark.parametrize(
    ("service", "needs"),
    [
        ("validator", "module.secrets.aws_ssm_parameter.this"),
        ("validator", "module.database.aws_ssm_parameter.url"),
        ("validator", "module.load_balancer.aws_lb_listener_rule.api"),
        ("admin", "module.secrets.aws_ssm_parameter.this"),
        ("admin", "module.database.aws_ssm_parameter.url"),
        ("admin", "module.load_balancer.aws_lb_listener_rule.operators"),
        ("uploader", "module.database.aws_ssm_parameter.url"),
        ("uploader", "module.queue.aws_sqs_queue_redrive_policy.messages"),
        ("grafana", "module.secrets.aws_ssm_parameter.this"),
        ("grafana", "module.monitoring.aws_s3_object.config"),
        ("grafana", "module.load_balancer.aws_lb_listener_rule.operators"),
        ("prometheus", "module.monitoring.aws_s3_object.config"),
        ("prometheus", "module.load_balancer.aws_lb_listener.monitoring"),
    ],
)
def test_a_service_comes_after_what_it_reads(service: str, needs: str) -> None:
    assert needs in made_before(f"{SERVICES[service]}.aws_ecs_service.this")


def test_an_apply_waits_for_what_no_pipeline_starts(infrastructure: Infrastructure) -> None:
    """Images of the services come after the first apply; those of the monitoring are there."""
    waits = {
        service: infrastructure.one(f"{module}.aws_ecs_service.this")["wait_for_steady_state"]
        for service, module in SERVICES.items()
    }

    assert waits == {
        "validator": False,
        "admin": False,
        "uploader": False,
        "prometheus": True,
        "grafana": True,
    }
