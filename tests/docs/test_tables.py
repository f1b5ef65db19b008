"""docs/operations.md lists each metric of ours, with the values that its label has."""

import re

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import Counter, MetricWrapperBase

from tests.docs.markdown import page, section
from tests.monitoring import metric_names

OURS = re.compile(r"(cpsite|validator|uploader|audit)_")
#: Its values are the codes of answers, of which docs/api.md has the table.
OF_CODES = "validator_messages_total"


def table() -> dict[str, tuple[tuple[str, ...], str]]:
    """Return each metric of the page with its labels and its meaning."""
    text = section(page("docs/operations.md"), "Metrics")
    found = {}
    for names, meaning in re.findall(r"^\| (`.+?`) \| (.+) \|$", text, re.MULTILINE):
        for name, labels in re.findall(r"`(\w+)(?:\{([\w,]+)\})?`", names):
            found[name] = (tuple(labels.split(",")) if labels else (), meaning)
    return found


def metrics_of_the_code() -> dict[str, MetricWrapperBase]:
    """Return our metrics by the names under which Prometheus has them."""
    metric_names.of_the_code()
    return {
        f"{metric._name}_total" if isinstance(metric, Counter) else metric._name: metric
        for metric in set(REGISTRY._names_to_collectors.values())
        if isinstance(metric, MetricWrapperBase) and OURS.match(metric._name)
    }


METRICS = metrics_of_the_code()


def test_each_metric_of_ours_is_listed_with_its_labels():
    listed = {name: labels for name, (labels, _) in table().items() if name in METRICS}
    assert listed == {name: metric._labelnames for name, metric in METRICS.items()}


def test_each_metric_that_is_listed_exists():
    assert table().keys() <= metric_names.of_the_code()


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name, metric in METRICS.items()
        if metric._labelnames in {("result",), ("reason",)} and name != OF_CODES
    ),
)
def test_the_values_of_its_label_are_listed(name):
    listed = set(re.findall(r"`([a-z_]+)`", table()[name][1])) - {"contract_broken"}
    assert listed == {value for (value,) in METRICS[name]._metrics}
