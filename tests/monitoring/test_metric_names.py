"""What expressions ask for must be what the services tell."""

import re

import pytest
import yaml

from tests.monitoring import metric_names
from tests.monitoring.configuration import RUNBOOKS, groups, run

EXPRESSIONS = {
    rule.get("alert") or rule["record"]: rule["expr"]
    for rules in groups().values()
    for rule in rules
}


def promql(page):
    """Each line of the blocks of PromQL on a page."""
    blocks = re.findall(r"```promql\n(.*?)```", page.read_text(), re.DOTALL)
    inline = re.findall(r"`([a-z_:]+\{[^`]*\}[^`]*)`", page.read_text())
    return [line for block in blocks for line in block.splitlines()] + inline


PAGES = {page.stem: promql(page) for page in sorted(RUNBOOKS.glob("*.md"))}


@pytest.mark.parametrize("rule", EXPRESSIONS)
def test_a_rule_asks_for_what_there_is(rule):
    named = metric_names.named_in(EXPRESSIONS[rule])
    assert named - metric_names.known() == set()
    assert named or rule.startswith("cpsite:threshold:")


def test_what_is_recorded_is_asked_for_after_it():
    # In a group a rule sees what was recorded before it in this round, and later ones a round late.
    seen = set()
    for rules in groups().values():
        for rule in rules:
            recorded = metric_names.named_in(rule["expr"]) & metric_names.of_the_rules()
            assert recorded <= seen
            seen.add(rule.get("record"))


@pytest.mark.parametrize("page", [page for page, lines in PAGES.items() if lines])
def test_a_runbook_asks_for_what_there_is(page, tmp_path):
    for line in PAGES[page]:
        assert metric_names.named_in(line) - metric_names.known() == set()
    rules = [{"record": "x", "expr": line} for line in PAGES[page]]
    # promtool parses no expression but a rule's.
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "x", "rules": rules}]}))
    run("promtool", "check", "rules", "--lint=none", tmp_path / "rules.yml")


def test_names_are_found():
    found = metric_names.named_in(
        'sum by (job) (rate(uploader_messages_total{result="uploader_x"}[5m])) '
        "> scalar(cpsite:threshold:restarts) and up == 0 and validator_no_such_thing"
    )
    assert found == {
        "uploader_messages_total",
        "cpsite:threshold:restarts",
        "up",
        "validator_no_such_thing",
    }
    assert found - metric_names.known() == {"validator_no_such_thing"}


def test_the_services_tell_at_least_these():
    assert {
        "validator_messages_total",
        "validator_publish_seconds_bucket",
        "validator_request_seconds_count",
        "django_http_requests_total_by_view_transport_method_total",
        "uploader_upload_seconds_count",
        "process_resident_memory_bytes",
        "cpsite_build_info",
    } <= metric_names.of_the_code()
