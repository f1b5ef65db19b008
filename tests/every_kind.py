"""Contracts with a field of every kind, for tests: a default one, and two beside it."""

from rest_framework.exceptions import ValidationError

from validator.contracts import Contract
from validator.fields import Boolean, Choice, DateTime, Decimal, Integer, List, Object, Text


class Address(Object):
    """Where somebody lives."""

    street = Text(example="Hauptstraße 1")
    zip_code = Text(example="01067", pattern=r"\d{5}", required=False)


class Line(Object):
    sku = Text(example="A-1", max_length=10)
    quantity = Integer(example=2, min_value=1, max_value=1_000)


class Everything(Contract):
    """A message with everything in it."""

    text = Text(example="some text", help_text="Any text.", min_length=2, max_length=100)
    integer = Integer(example=7, help_text="Any integer.")
    decimal = Decimal(example="12.10", max_digits=8, decimal_places=2, min_value="-5")
    boolean = Boolean(example=True)
    moment = DateTime(example="2026-11-23T23:59:59.5+01:00")
    choice = Choice(["red", "green"], help_text="A colour.")
    address = Address(help_text="Of the customer.")
    lines = List(Line(), min_length=1, max_length=3)
    tags = List(Text(example="new"), required=False)
    delivery = Address(required=False, help_text="Where it goes, if elsewhere.")
    note = Text(example="a note", required=False, allow_null=True)
    count = Integer(example=1, required=False, allow_null=True)
    vars()["x-large"] = Boolean(example=False, required=False, allow_null=True)


class OrderPlaced(Contract):
    """An order of a customer."""

    order_id = Text(example="o-1")
    customer = Text(example="c-1")
    amount = Decimal(example="12.10", max_digits=12, decimal_places=2)
    note = Text(example="quick", required=False, allow_null=True)

    def validate(self, attrs):
        if attrs["amount"] == 0 and "note" not in attrs:
            raise ValidationError("An order of nothing needs a note.", "a_code_of_theirs")
        return attrs


class Reading(Contract):
    """What a sensor has measured."""

    class Meta:
        name = "readings"

    # What could be taken for something else: the form's, or the serializer's.
    token = Text(example="t", required=False, help_text="Not the one of the client.")
    key = Text(example="k", required=False, help_text="Not that of the request.")
    action = Text(example="a", required=False)
    data = Text(example="d", required=False)
    fields = Text(example="f", required=False)
    value = Decimal(example="0.5", max_digits=20, decimal_places=10)


CONTRACTS = [Everything, OrderPlaced, Reading]
