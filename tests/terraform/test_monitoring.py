"""What watches, what is watched, and what watches the watcher."""

from tests.terraform.conftest import Infrastructure


def test_an_alarm_outside_prometheus_watches_it(infrastructure: Infrastructure) -> None:
    alarms = infrastructure.of_type("aws_cloudwatch_metric_alarm")
    watching = {
        address.split('"')[1]: alarm
        for address, alarm in alarms.items()
        if alarm["metric_name"] == "HealthyHostCount"
    }

    assert set(watching) == {"prometheus", "grafana"}
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
