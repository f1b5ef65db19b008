"""The real services under the real Prometheus and Alertmanager, with production's rules."""

import math
import os
import re
import signal
import sqlite3
import threading
import uuid
from contextlib import closing, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from cpsite.devstack.monitoring_files import RULES
from tests import factories
from tests.monitoring import dashboards
from tests.monitoring.scaling import scaled, scaled_rules, without_durations
from tests.waiting import wait_for

pytestmark = pytest.mark.end_to_end

#: What Grafana takes for $__rate_interval at most zooms: four scrapes.
RATE_INTERVAL = scaled("60s")
#: Panels that have nothing to show while all is well, with the reason.
EMPTY_WHEN_HEALTHY = {
    ("cpsite-overview", "Alerts"): "no alert is pending or firing",
    ("cpsite-validator", "Errors that nobody foresaw"): "no exception has reached Django",
}
#: What the overview shows of the queue whether or not there is an uploader.
KNOWN_WITHOUT_UPLOADER = {
    ("cpsite-overview", panel)
    for panel in ("Waiting", "Oldest message", "Dead letters", "On the queue")
}
#: Alerts whose expressions have no value at all while all is well, with the reason.
WITHOUT_VALUE_WHEN_HEALTHY = {
    "ValidatorAbsent": "absent() has a value only when there is none",
    "UploaderAbsent": "absent() has a value only when there is none",
}
#: `>` becomes `> bool`, which gives 0 or 1 where the bare one gives nothing or the left side.
COMPARISON = re.compile(r"(?<![=!<>~])(>=|<=|==|>|<)(?![=~])(?=[^\"]*(?:\"[^\"]*\"[^\"]*)*$)")


class Traffic:
    """Clients that do not stop: most of them right, some wrong in each way."""

    def __init__(self, services):
        self.services = services
        #: Status of each answer, 0 where there was none.
        self.answers = []
        self.stopping, self.surging = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        number = 0
        while not self.stopping.wait(0.1):
            number += 1
            data = factories.fields(field1=str(number))
            key = {"Idempotency-Key": str(uuid.uuid4())}
            if self.surging.is_set():
                self._send(data, token="nobody-has-this")
            match number % 25:
                case 5:
                    self._send(data, token="nobody-has-this")
                case 10:
                    self._send({"field1": "only"})
                case 15:
                    self._send(data, **key)
                    self._send(data, **key)
                case _:
                    self._send(data)

    def _send(self, *arguments, **options):
        try:
            self.answers.append(self.services.post(*arguments, **options)[0])
        except (OSError, HTTPException):
            self.answers.append(0)

    def stop(self):
        self.stopping.set()
        self.thread.join(60)


@pytest.fixture
def gates(make_gate):
    """S3 for the uploader, SQS for the validator."""
    return {"s3": make_gate(), "sqs": make_gate()}


@pytest.fixture
def stack(services, gates, monitoring):
    """Two gunicorn processes, the uploader, traffic, and somebody who watches it."""
    stack = Stack(services, gates)
    stack.traffic.thread.start()
    yield stack
    stack.traffic.stop()


class Stack:
    def __init__(self, services, gates):
        self.services, self.gates = services, gates
        self.start_validator()
        self.start_uploader()
        self.traffic = Traffic(services)

    def start_validator(self):
        self.validator = self.services.validator(
            WEB_CONCURRENCY="2",
            AWS_ENDPOINT_URL_SQS=self.gates["sqs"].url,
            CPSITE_REVISION="4a1c9e0",
        )

    def start_uploader(self):
        self.uploader = self.services.uploader(
            AWS_ENDPOINT_URL_S3=self.gates["s3"].url, CPSITE_REVISION="4a1c9e0"
        )

    def workers(self):
        """The ids of gunicorn's worker processes."""
        children = f"/proc/{self.validator.popen.pid}/task/{self.validator.popen.pid}/children"
        return [int(pid) for pid in Path(children).read_text().split()]


def _is_empty(prometheus, query):
    found = prometheus.query(query.filled_in(rate_interval=RATE_INTERVAL))
    return all(math.isnan(series.value) for series in found)


def _all_queries():
    return [query for board in dashboards.load().values() for query in dashboards.queries(board)]


def _empty_panels(prometheus):
    return {
        (query.dashboard, query.panel) for query in _all_queries() if _is_empty(prometheus, query)
    }


def _without_value(prometheus):
    """Alerts and recorded series that have no value, whatever it would be."""
    return {
        rule["name"]
        for rule in prometheus.rules()
        if not prometheus.query(COMPARISON.sub(r"\1 bool ", rule["query"]))
    }


def test_only_durations_differ_from_productions_rules():
    production = RULES.read_text()
    fast = scaled_rules(production)
    assert fast != production
    assert without_durations(fast) == without_durations(production)
    assert not re.search(r"for: \d+[smhd]\b|\[\d+[smhd]\]", fast)


def test_comparisons_become_values():
    expression = 'a{b=~"c>d",e!="f"} >= 1 and absent(g == 1) or h > scalar(i:j:k)'
    assert COMPARISON.sub(r"\1 bool ", expression) == (
        'a{b=~"c>d",e!="f"} >= bool  1 and absent(g == bool  1) or h > bool  scalar(i:j:k)'
    )


def test_every_expression_has_data_and_alerts_fire_are_told_and_resolve(stack, monitoring, webhook):
    prometheus = monitoring.prometheus
    wait_for(lambda: set(prometheus.targets().values()) == {"up"}, "all targets")
    _everything_has_data(prometheus)
    assert prometheus.firing() == set()

    _dead_letters_arrive(stack)
    stack.gates["sqs"].shut()
    _fires(monitoring, webhook, "PublishFailures", but_not="ValidatorErrorBudgetBurnFast")
    _fires(monitoring, webhook, "DeadLetters")
    assert not _is_empty(prometheus, _query("cpsite-overview", "Alerts"))
    stack.gates["sqs"].open()
    _dead_letters_go(stack)
    _resolves(monitoring, webhook, "PublishFailures", "DeadLetters")

    stack.traffic.surging.set()
    stack.gates["s3"].shut()
    with _locked(stack.services.environment["DATABASE_URL"]):
        _fires(monitoring, webhook, "AuditGaps")
    _fires(monitoring, webhook, "StorageUnavailable")
    _fires(monitoring, webhook, "TokenRefusalSurge")
    stack.traffic.surging.clear()
    stack.gates["s3"].open()
    _resolves(monitoring, webhook, "StorageUnavailable", "TokenRefusalSurge")

    stack.uploader.kill()
    _fires(monitoring, webhook, "UploaderAbsent", but_not="TargetDown")
    # Its last numbers are stale by now.
    assert prometheus.query("uploader_messages_total") == []
    _becomes(lambda: _empty_panels(prometheus) & KNOWN_WITHOUT_UPLOADER, set())
    visible = 'cpsite:queue_messages{queue="messages",state="visible"} > 0'
    (depth,) = wait_for(lambda: prometheus.query(visible), "messages that wait")
    assert depth.value <= len(stack.traffic.answers)
    wait_for(lambda: prometheus.query("cpsite:oldest_message_age_seconds > 0"), "their age")
    stack.start_uploader()
    _resolves(monitoring, webhook, "UploaderAbsent")

    stack.validator.kill()
    _fires(monitoring, webhook, "ValidatorAbsent", but_not="TargetDown")
    stack.start_validator()
    _resolves(monitoring, webhook, "ValidatorAbsent", "AuditGaps")

    for notification in webhook.notifications:
        assert notification["groupLabels"].keys() == {"alertname", "environment"}
        assert notification["groupLabels"]["environment"] == "test"
        name = notification["groupLabels"]["alertname"]
        for alert in notification["alerts"]:
            assert alert["annotations"]["runbook"] == f"docs/runbooks/{name}.md"
    wait_for(lambda: prometheus.firing() == set(), "peace", 180)


def _everything_has_data(prometheus):
    _becomes(lambda: _empty_panels(prometheus), set(EMPTY_WHEN_HEALTHY))
    _becomes(lambda: _without_value(prometheus), set(WITHOUT_VALUE_WHEN_HEALTHY))
    assert {rule["health"] for rule in prometheus.rules()} == {"ok"}


def _becomes(look, wanted):
    """Wait for a value, and say what it is instead."""
    with suppress(pytest.fail.Exception):
        wait_for(lambda: look() == wanted, "a value", 120)
    assert look() == wanted


def _query(uid, panel):
    (query,) = (q for q in _all_queries() if (q.dashboard, q.panel) == (uid, panel))
    return query


@contextmanager
def _locked(database_url):
    """A database that nobody can write to."""
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def _dead_letters_arrive(stack):
    queue = stack.services.queue
    queue.client.send_message(QueueUrl=queue.dlq_url, MessageBody="not one of ours")


def _dead_letters_go(stack):
    stack.services.queue.client.purge_queue(QueueUrl=stack.services.queue.dlq_url)


def _fires(monitoring, webhook, name, *, but_not=None):
    """The alert fires and somebody is told, but not of what only follows from it."""
    wait_for(lambda: name in monitoring.prometheus.firing(), f"{name} to fire", 120)
    wait_for(lambda: name in webhook.told("firing"), f"{name} to be told", 60)
    if but_not:
        wait_for(lambda: but_not in monitoring.inhibited(), f"{but_not} to be inhibited", 60)
        assert but_not not in webhook.told("firing")


def _resolves(monitoring, webhook, *names):
    wait_for(lambda: not monitoring.prometheus.firing() & {*names}, f"{names} to end", 300)
    wait_for(lambda: webhook.told("resolved") >= {*names}, f"the end of {names} to be told", 60)


def test_two_gunicorn_processes_are_one_and_new_ones_count_on(stack, monitoring, webhook):
    prometheus = monitoring.prometheus
    accepted = 'validator_messages_total{result="accepted"}'
    wait_for(lambda: prometheus.query(f"{accepted} > 20"), "twenty messages")
    for _ in range(3):
        before = stack.workers()
        os.kill(before[0], signal.SIGKILL)
        _becomes(lambda: len(set(stack.workers()) - {before[0]}), 2)  # noqa: B023 - used at once
    _fires(monitoring, webhook, "RestartLoop")
    stack.traffic.stop()
    answers = stack.traffic.answers
    both = 'sum(validator_messages_total{result=~"accepted|repeated"})'
    # What a killed process had counted stays; an answer may be lost after it was counted.
    most = answers.count(202) + answers.count(0)
    wait_for(lambda: prometheus.query(f"{both} >= {answers.count(202)} <= {most}"), "all messages")
    (series,) = prometheus.query(accepted)
    assert series.labels.keys() == {"__name__", "instance", "job", "result"}
    (resets,) = prometheus.query(f"resets({accepted}[{scaled('30m')}])")
    assert resets.value == 0
    (exits,) = prometheus.query("validator_worker_exits_total")
    assert exits.value == 3
