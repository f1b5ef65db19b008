"""The dashboards' files: what Grafana expects, what the rules say, what the code measures."""

import json
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

from cpsite.observability.metrics import Service
from cpsite.observability.processes import ServiceProcesses
from cpsite.observability.resource_limits import Limits
from tests.monitoring import dashboards, metric_names
from tests.monitoring.configuration import FILES, ROOT, alerts, filled_in, groups
from tests.monitoring.metric_names import named_in

DASHBOARDS = dashboards.load()
EACH = pytest.mark.parametrize("name", DASHBOARDS)
COLUMNS = 24

#: What is on no dashboard and in no rule, by how the names begin, with the reason.
NOT_SHOWN = {
    "django_http_requests_before_middlewares_total": "the same requests, without their route",
    "django_http_responses_before_middlewares_total": "the same answers, without their status",
    "django_http_requests_latency_including_middlewares_seconds": "pages may take their time",
    "django_http_requests_latency_seconds_by_view_method": "as above, by route",
    "django_http_requests_body_total_bytes": "of pages, which have short forms",
    "django_http_requests_unknown_latency": "counts faults in the order of Django's middleware",
    "django_http_requests_total_by_method_total": "that by route has the method, too",
    "django_http_requests_total_by_transport_total": "always http behind the load balancer",
    "django_http_ajax_requests_total": "nobody sends the header any more",
    "django_http_responses_total_by_status_view_method_total": "that by status, that by route",
    "django_http_responses_total_by_templatename_total": "only the admin has templates",
    "django_http_responses_total_by_charset_total": "always utf-8",
    "django_http_responses_streaming_total": "only the admin's export streams",
    "django_http_responses_body_total_bytes": "answers are one line each",
    "django_http_exceptions_total_by_view_total": "that by type has them",
    "django_model_": "counts a mixin that our models do not use",
    "django_migrations_": "PROMETHEUS_EXPORT_MIGRATIONS is off",
    "django_cache_": "counts cache backends that we do not use",
    "django_db_": "counts database backends that we do not use",
    "python_": "of the interpreter, for a look by hand",
    "process_virtual_memory_bytes": "address space costs nothing; resident memory does",
}
#: Limits that no panel draws, with the reason.
NOT_DRAWN = {
    "failed_requests": "so few failures are no reason for an alert, whatever their ratio",
    "p99_requests": "of so few requests there is no percentile",
    "failed_uploads": "so few failures are no reason for an alert, whatever their ratio",
    "audit_gaps": "it is 0: any line that is not at the bottom is above it",
    "conflicting_messages": "as above",
}


def _all_queries():
    return [query for board in DASHBOARDS.values() for query in dashboards.queries(board)]


def _all_panels():
    return [
        (f"{name}: {panel['title']}", panel)
        for name, board in DASHBOARDS.items()
        for panel in dashboards.panels(board)
    ]


def _links(panel):
    return [link["title"].removeprefix("Runbook: ") for link in panel.get("links", [])]


@pytest.mark.parametrize("name", ["overview", "validator"])
def test_what_is_shed_unread_is_beside_what_has_failed(name):
    """Such a request is in no other metric than this one."""
    shed = 'validator_http_refusals_total{reason="overloaded"'
    for panel in dashboards.panels(DASHBOARDS[name]):
        asked = " ".join(query["expr"] for query in panel.get("targets", ()))
        if shed in asked and "queue_unavailable" in asked:
            return
    pytest.fail("no panel has both")


# --- What Grafana expects -------------------------------------------------------------------


@pytest.fixture(scope="module")
def as_grafana_reads():
    """Return a function that reads a dashboard by Grafana's own types, and writes it again."""
    with warnings.catch_warnings():
        # "Prefer using dashboardv2", which files for provisioning cannot be yet in Grafana 12.1.
        warnings.simplefilter("ignore", DeprecationWarning)
        from grafana_foundation_sdk.cog import plugins
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
        from grafana_foundation_sdk.models.dashboard import Dashboard
    plugins.register_default_plugins()
    return lambda document: json.loads(JSONEncoder().encode(Dashboard.from_json(document)))


def _lost(ours, theirs, path):
    """Yield what of `ours` Grafana's types do not have, or have otherwise."""
    if isinstance(ours, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from _lost(value, theirs[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(ours, list):
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _lost(mine, other, f"{path}[{number}]")
    elif ours != theirs:
        yield f"{path}: {ours!r} is {theirs!r}"


@EACH
def test_all_that_a_dashboard_says_is_known_to_grafana(name, as_grafana_reads):
    assert not list(_lost(DASHBOARDS[name], as_grafana_reads(DASHBOARDS[name]), name))


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ((), "refreshes"),
        (("panels", 0), "unit"),
        (("panels", 0, "fieldConfig", "defaults"), "minimum"),
        (("panels", -1, "options"), "legends"),
        (("panels", -1, "fieldConfig", "defaults", "custom"), "lineWidht"),
        (("panels", -1, "targets", 0), "expression"),
        (("templating", "list", 0), "values"),
    ],
)
def test_a_word_that_grafana_does_not_know_is_seen(place, word, as_grafana_reads):
    document = json.loads(json.dumps(DASHBOARDS["overview"]))
    part = document
    for step in place:
        part = part[step]
    part[word] = "x"
    (lost,) = _lost(document, as_grafana_reads(document), "")
    assert lost.endswith(f".{word}")


@EACH
def test_units_are_grafanas(name):
    from grafana_foundation_sdk.models import units

    known = {getattr(units, constant) for constant in dir(units) if constant[0].isupper()}
    for panel in dashboards.panels(DASHBOARDS[name]):
        if panel["type"] != "table":
            unit = panel["fieldConfig"]["defaults"]["unit"]
            assert unit in known, panel["title"]


@EACH
def test_panels_have_ids_of_their_own_and_do_not_overlap(name):
    panels = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = {}
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"], (x, y)


@EACH
def test_every_panel_says_what_good_looks_like_and_begins_at_zero(name):
    for panel in dashboards.panels(DASHBOARDS[name]):
        assert "Good:" in panel["description"], panel["title"]
        if panel["type"] == "timeseries" and panel["title"] != "Accepted less stored":
            assert panel["fieldConfig"]["defaults"]["min"] == 0, panel["title"]


@EACH
def test_a_number_is_of_now(name):
    # The last value of a range would go on to be shown when nobody tells it any more.
    for panel in dashboards.panels(DASHBOARDS[name]):
        if panel["type"] == "stat":
            (query,) = dashboards.panel_queries(name, panel)
            assert query.is_instant, panel["title"]
            assert panel["fieldConfig"]["defaults"]["noValue"] == "unknown"


@EACH
def test_overrides_are_for_series_that_there_are(name):
    for panel in dashboards.panels(DASHBOARDS[name]):
        queries = list(dashboards.panel_queries(name, panel))
        names = {query.legend for query in queries}
        for step in panel.get("transformations", []):
            names |= set(step["options"].get("renameByName", {}).values())
        if names & {"{{result}}", "{{status}}"}:
            names |= _label_values()
        for override in panel["fieldConfig"]["overrides"]:
            assert override["matcher"]["options"] in names, panel["title"]


def _label_values():
    statuses = {"200", "202", "400", "401", "429", "500", "503"}
    return statuses | {
        sample.labels["result"]
        for family in REGISTRY.collect()
        for sample in family.samples
        if "result" in sample.labels
    }


def test_every_dashboard_has_a_uid_that_alerts_link_to():
    uids = {board["uid"] for board in DASHBOARDS.values()}
    assert uids == {"cpsite-overview", "cpsite-validator", "cpsite-uploader"}
    assert {f"cpsite-{name}" for name in DASHBOARDS} == uids
    for name, alert in alerts().items():
        assert alert["annotations"]["dashboard"].removeprefix("/d/") in uids, name


# --- Provisioning ---------------------------------------------------------------------------


def test_dashboards_ask_the_data_source_that_is_provisioned():
    text = (FILES / "grafana" / "datasources.yml").read_text()
    (source,) = yaml.safe_load(text)["datasources"]
    scrapes = yaml.safe_load(filled_in("prometheus.yml"))["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scrapes
    for title, panel in _all_panels():
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}, title
        assert not [target for target in panel["targets"] if "datasource" in target], title


def test_grafana_looks_where_terraform_puts_them():
    (provider,) = yaml.safe_load((FILES / "grafana" / "dashboards.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/config/grafana/dashboards"
    delivered = (FILES.parent / "config.tf").read_text()
    assert '"grafana/dashboards/${name}" =>' in delivered
    assert provider["updateIntervalSeconds"] <= 60


@EACH
def test_the_place_of_runbooks_stands_once_in_a_file(name):
    # Terraform replaces it (config.tf); a dashboard is valid JSON before and after.
    text = (dashboards.DIRECTORY / f"{name}.json").read_text()
    assert text.count('"query": "#"') == 1
    (variable,) = (v for v in DASHBOARDS[name]["templating"]["list"] if v["type"] == "constant")
    assert (variable["name"], variable["query"]) == ("repository_url", "#")


# --- Rules and runbooks ---------------------------------------------------------------------


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_has_a_panel_that_links_to_its_runbook(alert):
    assert [title for title, panel in _all_panels() if alert in _links(panel)]


def test_links_lead_to_runbooks():
    for title, panel in _all_panels():
        for link in panel.get("links", []):
            path = link["url"].removeprefix("${repository_url:raw}")
            assert (ROOT / path).is_file(), (title, path)
            assert Path(path).stem in alerts(), title


def test_the_limits_of_alerts_are_drawn():
    # Each from the series that the alert compares with, so that they cannot differ.
    drawn = {name for query in _all_queries() for name in named_in(query.expression)}
    missing = {
        name.rpartition(":")[2]
        for name in metric_names.of_the_rules()
        if name.startswith("cpsite:threshold:") and name not in drawn
    }
    assert missing == set(NOT_DRAWN)


def test_a_panel_draws_the_limit_of_its_alert():
    for title, panel in _all_panels():
        queries = list(dashboards.panel_queries(title, panel))
        drawn = {name for query in queries for name in named_in(query.expression)}
        limits = {name for name in drawn if name.startswith("cpsite:threshold:")}
        compared = {name for alert in _links(panel) for name in named_in(alerts()[alert]["expr"])}
        assert limits <= compared, title


# --- What the code measures -----------------------------------------------------------------


def _metrics_of_the_code():
    """Name of a metric → names of its series."""
    assert metric_names.of_the_code()  # makes them all
    service = Service("validator", Limits(cpu_cores=1, memory_bytes=1))
    families = [*REGISTRY.collect(), *service.collect(), *ServiceProcesses(1).collect()]
    return {_full_name(family): _series_names(family) for family in families}


def _full_name(family):
    return f"{family.name}_total" if family.type == "counter" else family.name


def _series_names(family):
    if family.type == "histogram":
        return {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
    return {_full_name(family)}


def _asked_for():
    expressions = [query.expression for query in _all_queries()]
    expressions += [rule["expr"] for rules in groups().values() for rule in rules]
    return {name for expression in expressions for name in named_in(expression)}


@EACH
def test_a_dashboard_asks_for_what_there_is(name):
    for query in dashboards.queries(DASHBOARDS[name]):
        named = named_in(query.expression)
        assert named - metric_names.known() == set(), query.panel
        assert named or "ALERTS" in query.expression, query.panel


def test_every_metric_of_the_code_is_asked_for_or_has_a_reason():
    asked = _asked_for()
    unused = {name for name, series in _metrics_of_the_code().items() if not series & asked}
    reasons = tuple(NOT_SHOWN)
    assert {name for name in unused if not name.startswith(reasons)} == set()
    stale = [reason for reason in reasons if any(name.startswith(reason) for name in asked)]
    assert stale == []


@EACH
def test_expressions_are_promql(name, tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    rules = [
        {"record": f"panel:{number}", "expr": query.filled_in(rate_interval="1m")}
        for number, query in enumerate(dashboards.queries(DASHBOARDS[name]))
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": rules}]}))
    checked = subprocess.run(
        [promtool, "check", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
