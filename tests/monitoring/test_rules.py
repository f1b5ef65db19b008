"""Alerts, their thresholds, and the configurations of Prometheus and Alertmanager."""

import re
from pathlib import Path

import pytest
import yaml

from tests.monitoring.configuration import (
    FILES,
    ROOT,
    RULES,
    RUNBOOKS,
    alerts,
    filled_in,
    groups,
    run,
)
from uploader.heartbeat import STUCK_SECONDS
from validator.metrics import FAILURES

TESTS = sorted((Path(__file__).parent / "rules").glob("*.yml"))
DASHBOARDS = {"/d/cpsite-overview", "/d/cpsite-validator", "/d/cpsite-uploader"}


def test_prometheus_takes_the_rules():
    found = run("promtool", "check", "rules", "--lint-fatal", RULES)
    assert "SUCCESS" in found


@pytest.mark.parametrize("more", [[], ["remote_write.yml"]], ids=["alone", "with remote write"])
def test_prometheus_takes_its_configuration(tmp_path, more):
    text = "".join(map(filled_in, ["prometheus.yml", *more]))
    # Where the init container puts it, which is not here.
    assert text.count("/config/prometheus/alerts.yml") == 1
    path = tmp_path / "prometheus.yml"
    path.write_text(text.replace("/config/prometheus/alerts.yml", str(RULES)))
    run("promtool", "check", "config", path)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_are_silent_when_not(path):
    run("promtool", "test", "rules", path)


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_what_an_operator_needs(name):
    alert = alerts()[name]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    notes = alert["annotations"]
    assert set(notes) == {"summary", "description", "runbook", "dashboard"}
    assert len(notes["summary"]) < 70
    assert notes["runbook"] == f"docs/runbooks/{name}.md"
    assert (ROOT / notes["runbook"]).is_file()
    assert notes["dashboard"] in DASHBOARDS


@pytest.mark.parametrize("name", alerts())
def test_an_alert_is_seen_firing_and_silent(name):
    expected = [
        bool(case["exp_alerts"])
        for path in TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == name
    ]
    assert set(expected) == {True, False}


def test_every_expected_alert_is_one_that_there_is():
    # promtool is content with the silence of an alert that it does not know.
    named = {
        case["alertname"]
        for path in TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test["alert_rule_test"]
    }
    assert named == set(alerts())


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    index = (RUNBOOKS / "README.md").read_text()
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == set(alerts())
    for name in alerts():
        assert f"({name}.md)" in index
        page = (RUNBOOKS / f"{name}.md").read_text()
        assert re.findall(r"^#+ .*", page, re.MULTILINE) == [
            f"# {name}",
            "## Meaning",
            "## Impact",
            "## Diagnosis",
            "## Mitigation",
        ]


def test_every_threshold_has_its_reason_and_is_used():
    text = RULES.read_text()
    names = [rule["record"] for rule in groups()["thresholds"]]
    assert all(name.startswith("cpsite:threshold:") for name in names)
    expressions = " ".join(alert["expr"] for alert in alerts().values())
    for name in names:
        assert f"scalar({name})" in expressions
    block = text[text.index("- name: thresholds") : text.index("- name: indicators")]
    # A comment may be of two that belong together.
    assert re.findall(r"rules:\n\s+- record", block) == []
    assert len(re.findall(r"^\s+# ", block, re.MULTILINE)) >= len(names) - 1


def test_no_alert_has_a_number_of_its_own():
    # Comparisons with 0 and 1 say "there is" and "is up".
    own = {
        name: found
        for name, alert in alerts().items()
        if (found := set(re.findall(r"(?:[<>]=?|==)\s*([\d.]+)", alert["expr"])) - {"0", "1"})
    }
    assert own == {}


def threshold(name):
    (rule,) = [
        rule for rule in groups()["thresholds"] if rule["record"] == f"cpsite:threshold:{name}"
    ]
    return float(re.fullmatch(r"vector\((.*)\)", rule["expr"])[1])


def test_thresholds_agree_with_what_they_are_derived_from():
    assert threshold("uploader_stalled_seconds") == 2 * STUCK_SECONDS
    terraform = (ROOT / "terraform" / "variables_services.tf").read_text()
    for_a_task = re.search(r"backlog_messages_per_task = optional\(number, (\d+)\)", terraform)
    assert threshold("backlog_messages") == 2 * int(for_a_task[1])
    scaling = re.search(r"cpu_scaling_percent\s+= optional\(number, (\d+)\)", terraform)
    assert threshold("cpu_ratio") > int(scaling[1]) / 100


def test_failures_of_ours_are_those_that_the_program_names():
    rules = [rule for group in groups().values() for rule in group]
    named = {
        selector
        for rule in rules
        for selector in re.findall(r'result=~"([^"]*internal_error[^"]*)"', rule["expr"])
    }
    failures = "|".join(FAILURES)
    assert named == {failures, f"accepted|repeated|{failures}"}


def test_a_silent_cause_is_one_that_there_is():
    inhibitions = yaml.safe_load(filled_in("alertmanager.yml"))["inhibit_rules"]
    for inhibition in inhibitions:
        assert "environment" in inhibition["equal"]
        for matcher in inhibition["source_matchers"] + inhibition["target_matchers"]:
            names = re.fullmatch(r'alertname=~?"(.*)"', matcher)[1].split("|")
            assert set(names) <= set(alerts())


def test_placeholders_are_plain():
    # Python's string.Template and sed fill them in, too: no conditions, no functions.
    for path in FILES.glob("*.yml"):
        if path != RULES:
            assert "%{" not in path.read_text()
            filled_in(path.name)
