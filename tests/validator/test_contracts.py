"""Contracts: how they are declared, and which declarations are refused, naming the line."""

import json
import re
import sys
import textwrap

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from rest_framework.exceptions import ValidationError

from validator import checks, contracts, exceptions
from validator.compatibility import refused_now
from validator.management.commands import send
from validator.openapi import components

HEAD = """\
from rest_framework import serializers
from validator.contracts import Contract
from validator.fields import Boolean, Choice, DateTime, Decimal, Integer, List, Object, Text
"""


@pytest.fixture
def declare(tmp_path, monkeypatch, settings):
    """Return a function that makes a module of contracts from its text, and returns them."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def declare(text, *, listed="Message"):
        name = f"declared_{len(names)}_{abs(hash(tmp_path)) % 10**8}"
        names.append(name)
        text = f"{HEAD}{textwrap.dedent(text)}\nCONTRACTS = [{listed}]\n"
        (tmp_path / f"{name}.py").write_text(text)
        settings.CONTRACT_MODULE = name
        return contracts.contracts()

    yield declare
    for name in names:
        sys.modules.pop(name, None)


MESSAGE = '''
class Message(Contract):
    """A message."""
    {}
'''


def test_a_name_is_the_class_or_what_meta_says(declare):
    served = declare(
        '''
        class OrderPlaced(Contract):
            """An order."""
            a = Text(example="x")

        class Other(Contract):
            """Another."""
            class Meta:
                name = "readings"
            a = Text(example="x")
        ''',
        listed="OrderPlaced, Other",
    )
    assert [(each.name, each.path, each.name_in_message) for each in served] == [
        ("order_placed", "/", ""),
        ("readings", "/messages/readings/", "readings"),
    ]


#: A field or more of a contract → what the refusal says.
WRONG = {
    "DRF's own field": ("a = serializers.EmailField()", "a is a EmailField, which is not strict"),
    "DRF's own field in a list": (
        "a = List(serializers.CharField())",
        "a is a CharField, which is not strict",
    ),
    "DRF's own serializer": (
        "a = type('A', (serializers.Serializer,), {'b': Text(example='x')})()",
        "a is a A, which is not strict",
    ),
    "no example": ("a = Text(example=None)", "a has no example"),
    "left out the example": ("a = Text()", "missing 1 required keyword-only argument: 'example'"),
    "a default": ("a = Text(example='x', default='y')", "unexpected keyword argument 'default'"),
    "a source": ("a = Text(example='x', source='b')", "unexpected keyword argument 'source'"),
    "an example of another kind": ("a = Integer(example='7')", "the example of a is not valid"),
    "an example out of bounds": (
        "a = Integer(example=7, max_value=6)",
        "the example of a is not valid: Ensure this value is less than or equal to 6.",
    ),
    "an example that does not match": (
        "a = Text(example='x', pattern='y')",
        "the example of a is not valid",
    ),
    "an example with too many places": (
        "a = Decimal(example='1.234', max_digits=5, decimal_places=2)",
        "the example of a is not valid",
    ),
    "a moment without an offset": (
        "a = DateTime(example='2026-11-23T23:59:59')",
        "the example of a is not valid",
    ),
    "an example that is no number": (
        "a = Decimal(example='.5', max_digits=5, decimal_places=2)",
        "the example of a is not valid: JSONDecodeError",
    ),
    "an example that JSON does not have": (
        "a = Decimal(example='NaN', max_digits=5, decimal_places=2)",
        "the example of a is not valid: Refused",
    ),
    "an example that is no JSON": (
        "import datetime\n    a = DateTime(example=datetime.datetime(2026, 1, 1))",
        "the example of a is not valid: TypeError",
    ),
    "a bound of another kind": (
        "a = Integer(example=7, min_value='5')",
        "the example of a is not valid: TypeError",
    ),
    "no bound where there must be one": (
        "a = Decimal(example='1', max_digits=None, decimal_places=2)",
        "cannot be imported",
    ),
    "a list without end": ("a = List(Text(example='x'), max_length=None)", "cannot be imported"),
    "a choice that is no text": ("a = Choice(['x', 1])", "a choice is no text, blank, or has NUL"),
    "a blank choice": ("a = Choice(['x', ' '])", "a choice is no text, blank, or has NUL"),
    "a pattern of Python's own": (
        "a = Text(example='x', pattern='(?i)X')",
        "the pattern has a flag, a named group",
    ),
    "a field that was not made": (
        "a = Text(example='x')\n    b = Text",
        "b is no field, but almost",
    ),
    "a comma too many": (
        "a = Text(example='x')\n    b = Text(example='x'),",
        "b is no field, but almost",
    ),
    "a name that a choice has, too": (
        "kind = Choice(['amount', 'x'])\n    amount = Integer(example='7')",
        "the example of amount is not valid",
    ),
    "no choice": ("a = Choice([])", "a has no example"),
    "an invalid pattern": ("a = Text(example='x', pattern='(')", "missing )"),
    "a reserved column": ("client = Text(example='x')", "the name client is taken"),
    "a reserved column in capitals": ("Day = Text(example='x')", "the name Day is taken"),
    "what a serializer has": ("example = Text(example='x')", "the name example is taken"),
    "one column for two": (
        "a = Text(example='x')\n    A = Text(example='x')",
        "A and a would be one column in SQL",
    ),
    "a dot in a name": ("vars()['a.b'] = Text(example='x')", "the name 'a.b' has other characters"),
    "no field": ("pass", "it declares no field"),
}


@pytest.mark.parametrize(("fields", "problem"), WRONG.values(), ids=WRONG)
def test_a_contract_that_cannot_be_kept_is_refused_at_its_line(declare, fields, problem):
    with pytest.raises(contracts.ContractInvalid) as caught:
        declare(MESSAGE.format(fields))
    assert problem in str(caught.value)
    where = re.search(r"declared_\w+\.py, line (\d+)", str(caught.value))
    assert where, caught.value
    lines = (HEAD + textwrap.dedent(MESSAGE.format(fields))).splitlines()
    number = int(where[1])
    named = lines[number - 1]
    of_class = "class Message(Contract):"
    assert named.strip() in [line.strip() for line in fields.splitlines()] or named == of_class
    assert (named == of_class) == (fields == "pass")


#: The text of a module → what the refusal says.
WRONG_MODULES = {
    "no docstring": (
        "class Message(Contract):\n    a = Text(example='x')",
        "Message",
        "a docstring must say what a message is",
    ),
    "a name that is no table's": (
        MESSAGE.format("a = Text(example='x')\n    class Meta:\n        name = 'my-orders'"),
        "Message",
        "the name 'my-orders' is not",
    ),
    "two of a name": (
        MESSAGE.format("a = Text(example='x')"),
        "Message, Message",
        "two contracts have the name message",
    ),
    "the default's view": (
        MESSAGE.format("a = Text(example='x')")
        + MESSAGE.format("a = Text(example='x')").replace("Message(", "Messages("),
        "Message, Messages",
        "messages is the default contract's view",
    ),
    "no contract": ("", "", "has no list CONTRACTS with at least one contract"),
    "something else": ("", "Text", "which is no Contract"),
    "broken Python": ("def", "None", "line 4)"),
    "an unknown name": ("", "Nothing", "name 'Nothing' is not defined"),
    "an object that is not checked": (
        "class Part(Object):\n    b = Text(example='x')\n"
        + MESSAGE.format("a = Part(read_only=True)"),
        "Message",
        "unexpected keyword argument 'read_only'",
    ),
    "a wrong example in an object": (
        "class Part(Object):\n    b = Integer(example='x')\n" + MESSAGE.format("a = Part()"),
        "Message",
        "line 5: Part: the example of b is not valid",
    ),
    "a validate that returns nothing": (
        MESSAGE.format("a = Text(example='x')\n    def validate(self, attrs): pass"),
        "Message",
        "the example with all fields is not valid: AssertionError",
    ),
    "a validate that needs what is optional": (
        MESSAGE.format(
            "a = Text(example='x')\n    b = Text(example='x', required=False)\n"
            "    def validate(self, attrs): return attrs if attrs['b'] else {}"
        ),
        "Message",
        "the example with the required fields alone is not valid: KeyError",
    ),
    "a name that is no text": (
        MESSAGE.format("a = Text(example='x')\n    class Meta:\n        name = 5"),
        "Message",
        "the name 5 is no text",
    ),
    "a table's name": (
        MESSAGE.format("a = Text(example='x')").replace("Message(", "OrderStored("),
        "OrderStored",
        "order_stored is the name of a table in Athena",
    ),
    "a class that no file holds": (
        "",
        "type('Message', (Contract,), {'a': Text(example=1), '__doc__': 'x'})",
        "the example of a is not valid",
    ),
    "nothing in an object": (
        "class Part(Object):\n    pass\n" + MESSAGE.format("a = Part()"),
        "Message",
        "Part: it declares no field",
    ),
}


@pytest.mark.parametrize(("text", "listed", "problem"), WRONG_MODULES.values(), ids=WRONG_MODULES)
def test_a_module_that_declares_no_contracts_is_refused(declare, text, listed, problem):
    with pytest.raises(contracts.ContractInvalid, match=re.escape(problem)):
        declare(text, listed=listed)


def test_a_module_that_does_not_exist_is_told(settings):
    settings.CONTRACT_MODULE = "no.such.module"
    (error,) = checks.check_contracts(None)
    assert error.id == "cpsite.E013"
    assert "no.such.module cannot be imported" in error.msg


def test_a_client_is_bound_to_contracts_that_exist(settings):
    settings.API_TOKENS = json.dumps(
        {"alice": {"tokens": ["alice-token-9"], "contracts": ["message", "orders"]}}
    )
    (error,) = checks.check_tokens(None)
    assert (error.id, error.hint) == ("cpsite.E002", "There are: message.")
    settings.API_TOKENS = settings.API_TOKENS.replace(', "orders"', "")
    assert checks.check_tokens(None) == []


# --- manage.py contract ------------------------------------------------------------------------

TEXT = {"name": "a", "kind": "text", "required": True, "null": False}
DECIMAL = {"kind": "decimal", "max_digits": 8, "decimal_places": 2}
LIST = {"kind": "list", "item": {**TEXT, "max_length": 5}, "max_length": 3}
OBJECT = {"kind": "object", "fields": [TEXT]}

#: A field before → the same now → whether something is refused that was not.
CHANGES = [
    ({}, {}, False),
    ({}, {"required": False}, False),
    ({"required": False}, {}, True),
    ({}, {"null": True}, False),
    ({"null": True}, {}, True),
    ({}, {"max_length": 9}, True),
    ({"max_length": 9}, {"max_length": 8}, True),
    ({"max_length": 9}, {"max_length": 10}, False),
    ({"max_length": 9}, {}, False),
    ({"min_length": 2}, {"min_length": 3}, True),
    ({"min_length": 2}, {"min_length": 1}, False),
    ({}, {"pattern": "a+"}, True),
    ({"pattern": "a+"}, {}, False),
    ({}, {"kind": "integer"}, True),
    ({"kind": "integer"}, {"kind": "integer", "min_value": 0}, True),
    ({"kind": "integer", "min_value": 0}, {"kind": "integer", "min_value": -1}, False),
    ({"kind": "choice", "choices": ["x"]}, {"kind": "choice", "choices": ["x", "y"]}, False),
    ({"kind": "choice", "choices": ["x", "y"]}, {"kind": "choice", "choices": ["x"]}, True),
    ({"kind": "choice", "choices": ["x"]}, {}, False),
    ({"kind": "date_time"}, {}, False),
    (DECIMAL, {**DECIMAL, "decimal_places": 1}, True),
    (DECIMAL, {**DECIMAL, "decimal_places": 3}, True),
    (DECIMAL, {**DECIMAL, "max_digits": 9, "decimal_places": 3}, False),
    (LIST, {**LIST, "max_length": 2}, True),
    (LIST, {**LIST, "item": {**TEXT, "max_length": 4}}, True),
    (LIST, {**LIST, "item": {**TEXT, "max_length": 6}}, False),
    ({**LIST, "item": {**TEXT, "null": True}}, LIST | {"item": TEXT}, True),
    (OBJECT, {"kind": "object", "fields": []}, True),
    (OBJECT, {**OBJECT, "validates": True}, True),
    ({**OBJECT, "validates": True}, OBJECT, False),
    (OBJECT, {"kind": "object", "fields": [TEXT, {**TEXT, "name": "b"}]}, True),
    (OBJECT, {"kind": "object", "fields": [TEXT, {**TEXT, "name": "b", "required": False}]}, False),
]


def _described(*fields, name="message", path="/"):
    return {"contracts": [{"name": name, "path": path, "fields": list(fields)}]}


@pytest.mark.parametrize(("before", "now", "refuses"), CHANGES)
def test_a_change_that_refuses_more_is_told(before, now, refuses):
    lines = refused_now(_described({**TEXT, **before}), _described({**TEXT, **now}))
    assert bool(lines) == refuses
    assert all("message: a" in line for line in lines)


def test_what_is_gone_or_moved_is_told():
    before = _described(TEXT)
    assert refused_now(before, {"contracts": []}) == ["message: there is no such contract any more"]
    assert refused_now(before, _described(TEXT, path="/messages/message/"))
    assert refused_now(before, _described()) == ["message: a is not known any more"]
    new = {**TEXT, "name": "b"}
    assert refused_now(before, _described(TEXT, new)) == ["message: b is new and required"]
    assert refused_now(before, _described(TEXT, {**new, "required": False})) == []
    assert refused_now({"contracts": []}, before) == []


def test_the_command_compares_with_a_file(settings, tmp_path, capsys):
    path = tmp_path / "before.json"
    call_command("contract", "--file", str(path))
    call_command("contract", "--against", str(path))
    assert capsys.readouterr().out == "Whatever was accepted still is.\n"
    settings.CONTRACT_MODULE = "tests.every_kind"
    with pytest.raises(CommandError, match="1 of these changes refuse"):
        call_command("contract", "--against", str(path))
    assert capsys.readouterr().out == "message: there is no such contract any more\n"
    path.write_text('{"contracts": [{}]}')
    with pytest.raises(CommandError, match="is not what"):
        call_command("contract", "--against", str(path))
    path.write_text("[]")
    with pytest.raises(CommandError, match="is not what"):
        call_command("contract", "--against", str(path))


def test_own_checks_are_told(declare):
    without = declare(MESSAGE.format("a = Text(example='x')"))[0].describe()
    of_object = MESSAGE.format("a = Text(example='x')\n    def validate(self, attrs): return attrs")
    of_field = MESSAGE.format(
        "a = Text(example='x')\n    def validate_a(self, value): return value"
    )
    for text in (of_object, of_field):
        now = declare(text)[0].describe()
        lines = refused_now({"contracts": [without]}, {"contracts": [now]})
        assert lines == ["message has checks of its own (validate), which may refuse more"]


def test_schemas_of_contracts_have_names_of_their_own(declare):
    """Whatever their classes are called."""
    names = ("Receipt", "Envelope", "Data", "Service")
    text = "".join(
        MESSAGE.format("own = Text(example='x')").replace("Message(", f"{name}(") for name in names
    )
    declare(MESSAGE.format("a = Text(example='x')") + text, listed=f"Message, {', '.join(names)}")
    found = components.schemas()
    assert found["Data"]["properties"].keys() == {"a"}
    assert found["Receipt"]["properties"].keys() == {"message_id", "status"}
    for name in names:
        assert found[f"data_of_{name.lower()}"]["properties"].keys() == {"own"}
        data = found[f"envelope_of_{name.lower()}"]["properties"]["data"]
        assert data == {"$ref": f"#/components/schemas/data_of_{name.lower()}"}


def test_a_field_of_the_name_of_an_option_gives_way(declare):
    declare(MESSAGE.format("wait = Text(example='x')\n    url = Text(example='x')"))
    parser = send.Command().create_parser("manage.py", "send")
    assert parser.parse_args(["--wait", "5"]).wait == 5


def test_errors_of_a_validate_in_any_shape_are_an_answer():
    for detail in (
        {"data": {"lines": [{}, {"sku": ["bad"]}]}},
        {"data": {"lines": {0: ["bad"]}}},
        {"data": [{"non_field_errors": ["bad"]}]},
    ):
        exc = ValidationError(detail)
        (found,) = exceptions.body(exc)["errors"].values()
        assert found == [{"code": "invalid", "detail": "bad"}]
        assert exceptions.reason_of(exc) == "contract_invalid"
