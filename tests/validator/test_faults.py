"""Names of the fields at fault: those that the contract declares, and no others."""

import json
import uuid

import pytest
from rest_framework.exceptions import ErrorDetail, ParseError, ValidationError

from cpsite.audit.models import FIELDS_LENGTH
from tests import factories
from tests.every_kind import Everything
from validator.contracts import Contract
from validator.faults import fields_at_fault
from validator.fields import Text


class Wide(Contract):
    """More fields than their names have room for."""

    vars().update({f"a_rather_long_name_of_a_field_{n}": Text(example="a") for n in range(40)})


def test_nothing_else_has_fields_at_fault():
    assert fields_at_fault(ParseError(), Everything) == ""
    assert fields_at_fault(ValidationError(["whatever"]), Everything) == ""
    dta = ErrorDetail("unknown", "unknown")
    assert fields_at_fault(ValidationError({"dta": [dta]}), Everything) == ""


def test_an_unknown_field_is_not_named_but_its_object_is():
    secret = ErrorDetail("unknown", "unknown")
    assert fields_at_fault(ValidationError({"data": {"s3cret": [secret]}}), Everything) == "data"


def test_more_than_there_is_room_for_ends_with_dots():
    wrong = {name: [ErrorDetail("required", "required")] for name in Wide().fields}
    text = fields_at_fault(ValidationError({"data": wrong}), Wide)
    assert len(text) <= FIELDS_LENGTH
    *names, last = text.split(", ")
    assert last == "…"
    assert names == [f"data.a_rather_long_name_of_a_field_{n}" for n in range(len(names))]


GOOD = {
    "text": "some text",
    "integer": 7,
    "decimal": 12,
    "boolean": True,
    "moment": "2026-11-23T23:59:59Z",
    "choice": "red",
    "address": {"street": "Hauptstraße 1"},
    "lines": [{"sku": "A-1", "quantity": 2}],
}


@pytest.mark.usefixtures("every_kind")
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"text": None}, "data.text"),
        ({"text": "", "integer": "7"}, "data.text, data.integer"),
        ({"s3cret": 1}, "data"),
        ({"address": {"street": "a", "s3cret": 1}}, "data.address"),
        (
            {"address": {"street": " ", "zip_code": "x"}},
            "data.address.street, data.address.zip_code",
        ),
        ({"address": 1}, "data.address"),
        ({"lines": []}, "data.lines"),
        ({"lines": [{"sku": "A"}, {"sku": "B"}]}, "data.lines.quantity"),
        ({"lines": [{"sku": "A", "quantity": 1, "s3cret": 1}]}, "data.lines"),
        ({"lines": "x", "x-large": 1}, "data.lines, data.x-large"),
        ({"non_field_errors": 1}, "data"),
        ({"tags": ["a", 1]}, "data.tags"),
    ],
)
def test_the_audit_log_names_them(client, audit, change, expected):
    answer = client.post(
        "/",
        json.dumps({"data": GOOD | change}),
        content_type="application/json",
        headers={"authorization": f"Bearer {factories.ALICE}"},
    )
    assert answer.status_code == 400
    (event,) = audit()
    assert event.fields_at_fault == expected
    assert event.reason.startswith("contract_")
    assert not any("s3cret" in str(value) for value in vars(event).values())


@pytest.mark.usefixtures("every_kind")
def test_without_data_it_is_data(client, audit):
    client.post("/", json.dumps({"token": factories.ALICE}), content_type="application/json")
    (event,) = audit()
    assert (event.reason, event.fields_at_fault) == ("contract_required", "data")


def test_accepted_and_refused_requests_have_their_id(client, queue, audit):
    good = client.post("/", factories.envelope(), content_type="application/json")
    bad = client.post("/", [], content_type="application/json", headers={"X-Request-ID": "r-1"})
    slow = client.get(f"/messages/{uuid.uuid4()}/")
    answers = {answer["X-Request-ID"] for answer in (good, bad, slow)}
    assert {event.request_id for event in audit()} == answers
    assert "r-1" in answers
