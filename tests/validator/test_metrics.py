import inspect
import json

import pytest
from rest_framework.exceptions import APIException

from tests import factories
from validator import exceptions, metrics
from validator.contracts import default


def post(client, body):
    return client.post("/", json.dumps(body), content_type="application/json")


def values(counter, label):
    """Return the value of each label of a counter."""
    (family,) = counter.collect()
    return {
        sample.labels[label]: sample.value
        for sample in family.samples
        if sample.name.endswith("_total")
    }


BROKEN = {
    "required": {"field1": "a", "field2": "b", "field3": "c"},
    "blank": factories.fields(field1=" "),
    "null": factories.fields(field1=None),
    "invalid": factories.fields(field1=1),
    "unknown": factories.fields() | {"field9": "e"},
    "max_length": factories.fields(field1="x" * 65_537),
    "null_characters_not_allowed": factories.fields(field1="\0"),
    "surrogate_characters_not_allowed": factories.fields(field1="\ud800"),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_contract_is_counted_by_what_broke_it_first(client, queue, reason):
    before = values(metrics.contract_errors_total, "reason")
    assert post(client, factories.envelope(data=BROKEN[reason])).status_code == 400
    after = values(metrics.contract_errors_total, "reason")
    assert {name: after[name] - before[name] for name in after} == dict.fromkeys(before, 0) | {
        reason: 1
    }


def test_other_refusals_are_not_counted_as_a_broken_contract(client, queue):
    before = values(metrics.contract_errors_total, "reason")
    assert post(client, factories.envelope()).status_code == 202
    assert post(client, factories.envelope(token="not-a-token")).status_code == 401
    assert post(client, []).status_code == 400
    assert values(metrics.contract_errors_total, "reason") == before


def test_every_result_is_there_before_it_happens():
    assert set(BROKEN) == default().codes()
    assert set(values(metrics.contract_errors_total, "reason")) == set(exceptions.FIELD_CODES)
    assert set(values(metrics.tokens_total, "result")) == {
        "valid",
        "missing",
        "unknown",
        "unavailable",
    }
    codes = {
        exception.default_code: exception.status_code
        for _, exception in inspect.getmembers(exceptions, inspect.isclass)
        if issubclass(exception, APIException) and "default_code" in vars(exception)
    }
    assert {code for code, status in codes.items() if status < 500} < set(metrics.REFUSALS)
    assert {code for code, status in codes.items() if status >= 500} | {"internal_error"} == set(
        metrics.FAILURES
    )
    expected = {"accepted", "repeated", *metrics.REFUSALS, *metrics.FAILURES}
    assert expected <= set(values(metrics.messages_total, "result"))
