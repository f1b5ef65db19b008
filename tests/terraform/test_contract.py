"""The program and what Terraform starts it with must mean the same."""

import fnmatch
import json
import os
import re
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from tests.terraform.conftest import ROOT, Infrastructure
from tests.terraform.sources import constant, variables_of_boto3, variables_read

#: The services that run our program, and the system checks that each must pass. Containers are
#: called as their services are.
SERVICES = {"validator": "validator", "admin": "validator", "uploader": "uploader"}
TASKS = (*SERVICES, "migrate")
#: Stand-ins for what SSM holds.
SECRETS = {
    "DATABASE_URL": "postgresql://cpsite:password@127.0.0.1:1/cpsite?sslmode=require",
    "DJANGO_SECRET_KEY": "k" * 64,
}


def environment_of(container: dict[str, Any]) -> dict[str, str]:
    """Return all variables of a container, secrets with stand-ins for their values."""
    plain = {item["name"]: item["value"] for item in container["environment"]}
    return plain | {item["name"]: SECRETS[item["name"]] for item in container["secrets"]}


def run(*command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run what a container runs, with its environment and no other."""
    assert command[0] == "python"
    return subprocess.run(
        [sys.executable, *command[1:]],
        env=environment | {"PATH": os.environ["PATH"]},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def require(service: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the checks that a service makes before it starts."""
    code = (
        "import django; django.setup(); from cpsite import checks; "
        f"checks.require(checks.{service.upper()})"
    )
    return run(
        *("python", "-c", code),
        environment=environment | {"DJANGO_SETTINGS_MODULE": "cpsite.settings"},
    )


@pytest.fixture(params=TASKS)
def container(request: pytest.FixtureRequest, infrastructure: Infrastructure) -> dict[str, Any]:
    return infrastructure.containers(request.param)[request.param]


def test_every_variable_is_one_that_the_program_reads(container: dict[str, Any]) -> None:
    read = variables_read("cpsite/settings.py") | variables_of_boto3()
    if "gunicorn" in container["command"]:
        read |= variables_read("cpsite/gunicorn.py")

    given = [item["name"] for item in container["environment"] + container["secrets"]]

    assert set(given) - read == set()
    assert len(set(given)) == len(given)


@pytest.mark.parametrize("service", SERVICES)
def test_every_required_variable_is_given(infrastructure: Infrastructure, service: str) -> None:
    environment = environment_of(infrastructure.containers(service)[service])

    checked = require(SERVICES[service], environment)

    assert checked.returncode == 0, checked.stderr
    assert environment["DATABASE_URL"]  # or each task would have a database of its own


@pytest.mark.parametrize(
    ("service", "variable"),
    [
        ("validator", "SQS_QUEUE_URL"),
        ("validator", "API_TOKENS_PARAMETER"),
        ("admin", "SQS_QUEUE_URL"),
        ("admin", "DJANGO_SECRET_KEY"),
        ("uploader", "SQS_QUEUE_URL"),
        ("uploader", "S3_BUCKET"),
    ],
)
def test_a_missing_variable_would_be_noticed(
    infrastructure: Infrastructure, service: str, variable: str
) -> None:
    environment = environment_of(infrastructure.containers(service)[service])
    del environment[variable]

    checked = require(SERVICES[service], environment)

    assert checked.returncode != 0
    assert variable in checked.stderr


def test_secrets_are_never_plain(container: dict[str, Any]) -> None:
    plain = {item["name"] for item in container["environment"]}

    assert plain & {*SECRETS, "API_TOKENS", "AWS_SECRET_ACCESS_KEY"} == set()
    assert all(item["valueFrom"].startswith("arn:aws:ssm:") for item in container["secrets"])


@pytest.mark.parametrize("service", ["validator", "admin"])
def test_gunicorn_takes_the_environment(infrastructure: Infrastructure, service: str) -> None:
    container = infrastructure.containers(service)[service]
    environment = environment_of(container)

    printed = run(*container["command"], "--print-config", environment=environment)

    assert printed.returncode == 0, printed.stderr
    settings = dict(
        (part.strip() for part in line.split("=", 1))
        for line in printed.stdout.splitlines()
        if "=" in line
    )
    port = infrastructure.one(f"module.load_balancer.aws_lb_target_group.{service}")["port"]
    assert settings["bind"] == f"['0.0.0.0:{port}']"
    assert settings["workers"] == environment["WEB_CONCURRENCY"]
    assert int(settings["graceful_timeout"]) < container["stopTimeout"]


@pytest.mark.parametrize("family", ["uploader", "migrate"])
def test_commands_exist(infrastructure: Infrastructure, family: str) -> None:
    container = infrastructure.containers(family)[family]
    commands = [container["command"]]
    if container["healthCheck"]:
        assert container["healthCheck"]["command"][0] == "CMD"
        commands.append(container["healthCheck"]["command"][1:])

    for command in commands:
        helped = run(*command, "--help", environment=environment_of(container))
        assert helped.returncode == 0, helped.stderr


@pytest.mark.parametrize("service", ["validator", "admin"])
def test_health_checks_ask_for_what_exists(infrastructure: Infrastructure, service: str) -> None:
    container = infrastructure.containers(service)[service]
    code = container["healthCheck"]["command"][-1]
    asked = urlsplit(code.split("'")[1])
    target = infrastructure.one(f"module.load_balancer.aws_lb_target_group.{service}")

    assert asked.hostname == "127.0.0.1"
    assert asked.port == int(environment_of(container)["PORT"]) == target["port"]
    for path in (asked.path, target["health_check"][0]["path"]):
        assert resolve(path).view_name
    compile(code, "health check", "exec")


def _routes(patterns: list[URLPattern | URLResolver], prefix: str = "/") -> list[str]:
    routes = []
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver) and not route.startswith("/admin"):
            routes += _routes(pattern.url_patterns, route)
        else:
            routes.append(route)
    return routes


def test_the_load_balancer_knows_every_path(infrastructure: Infrastructure) -> None:
    forwarded = []
    for rule in infrastructure.of_type("aws_lb_listener_rule").values():
        if rule["action"][0]["type"] == "forward":
            for condition in rule["condition"]:
                forwarded += [p for match in condition["path_pattern"] for p in match["values"]]

    unknown = [
        route
        for route in _routes(get_resolver().url_patterns)
        if not any(fnmatch.fnmatchcase(route, pattern) for pattern in forwarded)
    ]

    assert unknown == []


@pytest.mark.parametrize(
    ("service", "variable"),
    [
        ("validator", "VALIDATOR_METRICS_PORT"),
        ("admin", "VALIDATOR_METRICS_PORT"),
        ("uploader", "UPLOADER_METRICS_PORT"),
    ],
)
def test_prometheus_asks_where_metrics_are(
    infrastructure: Infrastructure, service: str, variable: str
) -> None:
    container = infrastructure.containers(service)[service]
    environment = environment_of(container)
    config = infrastructure.one(
        'module.monitoring.aws_s3_object.config["prometheus/prometheus.yml"]'
    )
    jobs = {job["job_name"]: job for job in yaml.safe_load(config["content"])["scrape_configs"]}
    running = infrastructure.one(f"module.{service}.aws_ecs_service.this")

    (found,) = jobs[service]["aws_sd_configs"]
    (kept,) = jobs[service]["relabel_configs"]
    assert found["port"] == int(environment[variable])
    assert found["port"] in [mapping["containerPort"] for mapping in container["portMappings"]]
    assert found["clusters"] == [running["cluster"]]
    assert kept["action"] == "keep"
    assert kept["regex"] == f"{running['name']};RUNNING"
    assert environment["METRICS_HOST"] == "0.0.0.0"


def test_ports_are_open_to_who_asks(infrastructure: Infrastructure) -> None:
    validator = environment_of(infrastructure.containers("validator")["validator"])
    admin = environment_of(infrastructure.containers("admin")["admin"])
    uploader = environment_of(infrastructure.containers("uploader")["uploader"])
    rules = infrastructure.of_type("aws_vpc_security_group_ingress_rule")

    def port(connection: str) -> int:
        rule = rules[f'aws_vpc_security_group_ingress_rule.connection["{connection}"]']
        assert rule["from_port"] == rule["to_port"]
        return int(rule["from_port"])

    assert port("clients_to_validator") == int(validator["PORT"])
    assert port("operators_to_admin") == int(admin["PORT"])
    assert port("prometheus_to_validator") == int(validator["VALIDATOR_METRICS_PORT"])
    assert port("prometheus_to_admin") == int(admin["VALIDATOR_METRICS_PORT"])
    assert port("prometheus_to_uploader") == int(uploader["UPLOADER_METRICS_PORT"])


def test_only_web_ports_are_open_to_the_internet(infrastructure: Infrastructure) -> None:
    rules = infrastructure.of_type("aws_vpc_security_group_ingress_rule")
    open_to_all = {
        (address.split("[")[0], rule["from_port"], rule["to_port"])
        for address, rule in rules.items()
        if rule["cidr_ipv4"] == "0.0.0.0/0" or rule["cidr_ipv6"]
    }
    door = "module.load_balancer.aws_vpc_security_group_ingress_rule.main"

    assert open_to_all <= {(door, 80, 80), (door, 443, 443)}
    assert not infrastructure.of_type("aws_security_group_rule")


def test_stops_fit_into_the_stop_timeout(infrastructure: Infrastructure) -> None:
    uploader = infrastructure.containers("uploader")["uploader"]
    validator = infrastructure.containers("validator")["validator"]
    graceful = constant("cpsite/gunicorn.py", "graceful_timeout")

    assert float(environment_of(uploader)["UPLOADER_STOP_SECONDS"]) < uploader["stopTimeout"]
    assert isinstance(graceful, int)
    assert graceful < validator["stopTimeout"]


def test_keepalive_outlasts_the_load_balancer(infrastructure: Infrastructure) -> None:
    keepalive = constant("cpsite/gunicorn.py", "keepalive")

    assert isinstance(keepalive, int)
    assert infrastructure.one("module.load_balancer.aws_lb.main")["idle_timeout"] < keepalive


def test_the_uploader_takes_the_queue(infrastructure: Infrastructure) -> None:
    from uploader.queue_settings import QueueAttributes
    from uploader.storage import longest_write_seconds

    queue = infrastructure.one("module.queue.aws_sqs_queue.messages")
    policy = infrastructure.one("module.queue.aws_sqs_queue_redrive_policy.messages")
    attributes = {
        "VisibilityTimeout": str(queue["visibility_timeout_seconds"]),
        "RedrivePolicy": policy["redrive_policy"],
    }

    found = QueueAttributes.read(attributes)

    assert found.visibility_timeout_seconds > longest_write_seconds()
    assert found.max_receive_count == 5
    assert json.loads(policy["redrive_policy"])["deadLetterTargetArn"].endswith(":mock-dlq")


def _documented_actions(service: str) -> set[str]:
    """Return what docs/operations.md, Permissions, lists for a service of AWS."""
    text = (ROOT / "docs/operations.md").read_text().split("## Permissions")[1].split("\n## ")[0]
    rows = [line.split("|") for line in text.splitlines() if line.startswith("|")]
    return {
        action
        for row in rows
        if row[1].strip() == {"validator": "API"}.get(service, service)
        for action in re.findall(r"`((?:sqs|s3|ssm|kms):\w+)`", row[3])
    }


@pytest.mark.parametrize("service", SERVICES)
def test_permissions_are_the_documented_ones(infrastructure: Infrastructure, service: str) -> None:
    resources = infrastructure.documents["state"]["root_module"]["resources"]
    (document,) = (
        resource["values"]
        for resource in resources
        if resource["address"] == f"data.aws_iam_policy_document.{service}"
    )
    allowed = {action for statement in document["statement"] for action in statement["actions"]}

    assert allowed == _documented_actions(service)


def test_the_api_knows_nothing_that_is_for_operators(infrastructure: Infrastructure) -> None:
    api = environment_of(infrastructure.containers("validator")["validator"])
    admin = environment_of(infrastructure.containers("admin")["admin"])

    assert (api["VALIDATOR_SERVES"], admin["VALIDATOR_SERVES"]) == ("api", "admin")
    assert {"S3_BUCKET", "S3_PREFIX", "SQS_DLQ_URL", "DJANGO_SECRET_KEY"} & set(api) == set()
    assert {"API_TOKENS", "API_TOKENS_PARAMETER"} & set(admin) == set()


def test_only_what_says_so_serves_plain_http(infrastructure: Infrastructure) -> None:
    listeners = infrastructure.of_type("aws_lb_listener").values()
    serving = {
        one["protocol"] for one in listeners if one["default_action"][0]["type"] != "redirect"
    }
    values = (ROOT / f"terraform/environments/{infrastructure.environment}.tfvars").read_text()

    assert serving == ({"HTTP"} if "allow_plain_http = true" in values else {"HTTPS"})
