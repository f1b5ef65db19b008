"""What watches, what is watched, and what watches the watcher."""

from typing import Any

import pytest
import yaml

from tests.terraform.conftest import Infrastructure

#: Addresses in an answer of Cloud Map's, with multivalue routing: AWS Cloud Map's developer guide,
#: "Service DNS configuration".
_DNS_ANSWER = 8


def jobs(infrastructure: Infrastructure) -> dict[str, dict[str, Any]]:
    config = infrastructure.one(
        'module.monitoring.aws_s3_object.config["prometheus/prometheus.yml"]'
    )
    return {job["job_name"]: job for job in yaml.safe_load(config["content"])["scrape_configs"]}


@pytest.mark.parametrize("service", ["validator", "admin", "uploader"])
def test_prometheus_finds_all_tasks(infrastructure: Infrastructure, service: str) -> None:
    """During a rollout there are twice as many as scaling allows."""
    running = infrastructure.one(f"module.{service}.aws_ecs_service.this")
    # Where nothing scales, there are as many as at the start.
    target = infrastructure.resources.get(f"module.{service}.aws_appautoscaling_target.this[0]")
    tasks = target["max_capacity"] if target else running["desired_count"]
    most = tasks * running["deployment_maximum_percent"] // 100
    by_name = "dns_sd_configs" in jobs(infrastructure)[service]

    assert not by_name or most <= _DNS_ANSWER


def test_an_alarm_outside_prometheus_watches_it(infrastructure: Infrastructure) -> None:
    alarms = infrastructure.of_type("aws_cloudwatch_metric_alarm")
    watching = {
        address.split('"')[1]: alarm
        for address, alarm in alarms.items()
        if alarm["metric_name"] == "HealthyHostCount"
    }

    assert set(watching) == {"admin", "prometheus", "grafana"}
    for alarm in watching.values():
        assert alarm["treat_missing_data"] == "breaching"
        assert set(alarm["dimensions"]) == {"LoadBalancer", "TargetGroup"}
        assert alarm["alarm_actions"]


def test_alertmanager_takes_prometheus_with_it(infrastructure: Infrastructure) -> None:
    """The alarm for Prometheus's target is Alertmanager's as well: they live and die together."""
    found = infrastructure.containers("prometheus")

    for name in ("prometheus", "alertmanager"):
        assert found[name]["essential"] is True
        assert found[name]["healthCheck"]["command"]
