import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpsite import json_text
from cpsite.json_text import Number
from cpsite.message import DecodeError, Message
from tests import factories

# Whatever the contract accepts: any text that UTF-8 can encode.
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50)


@given(st.fixed_dictionaries(dict.fromkeys(factories.fields(), texts)))
def test_decode_is_the_inverse_of_encode(data):
    message = factories.accepted(client="alice", data=data)
    assert Message.decode(message.encode().encode()) == message


def test_the_wire_format_is_fixed():
    # Objects written by earlier versions must stay readable: change this only with a migration.
    assert factories.message().encode() == (
        '{"message_id":"6b1f1d5e-0000-4000-8000-000000000001",'
        '"accepted_at":"2026-11-23T23:59:59.123456+00:00","client":"alice",'
        '"data":{"field1":"one","field2":"zwei","field3":"trois","field4":"四"}}'
    )


def test_encoded_is_one_line():
    assert "\n" not in factories.message(data=factories.fields(field1="a\nb")).encode()


def test_each_accepted_message_has_its_own_id_and_a_utc_time():
    first, second = (factories.accepted(client="a", data={}) for _ in range(2))
    assert first.message_id != second.message_id
    assert first.accepted_at.tzinfo is UTC
    assert abs(first.accepted_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_times_of_other_zones_are_read_as_utc():
    elsewhere = timezone(timedelta(hours=2))
    moment = datetime(2026, 11, 24, 1, 0, tzinfo=elsewhere)
    read = Message.decode(factories.message(accepted_at=moment).encode().encode())
    assert read.accepted_at == moment
    assert read.accepted_at.tzinfo is UTC  # not the zone of the machine
    assert read.accepted_at.isoformat() == "2026-11-23T23:00:00+00:00"


def test_field_names_of_another_contract_are_kept():
    message = factories.message(data={"old_field": "still stored"})
    assert Message.decode(message.encode().encode()).data == {"old_field": "still stored"}


def test_values_of_any_kind_are_kept_as_they_were_written():
    text = '{"n": 1.10, "big": 123456789012345678901234567890, "o": {"l": [true, null, -0.0e5]}}'
    message = factories.message(data_text=text)
    read = Message.decode(message.encode().encode())
    assert read.data_text == text
    assert read.data["n"] == Number("1.10")
    assert read.data["o"] == {"l": [True, None, Number("-0.0e5")]}


def test_an_object_of_many_members_is_read_without_their_texts():
    """For tens of thousands a loop would hold up the process."""
    members = {f"name{number}": number for number in range(9)}
    document = json_text.parse(json.dumps(members))
    assert isinstance(document, json_text.Document)
    assert document == members
    few = json_text.parse(json.dumps(dict(list(members.items())[:8])))
    assert few.text_of("name7") == "7"


def test_a_message_of_another_contract_names_it():
    message = factories.message(contract="orders")
    assert message.encode() == factories.message().encode().replace(
        '"data":', '"contract":"orders","data":'
    )
    assert Message.decode(message.encode().encode()) == message


def _broken(**changes):
    return json.dumps(json.loads(factories.message().encode()) | changes).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"secret",
        b"[]",
        b"null",
        b"{}",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"message_id":' + b"9" * 5000 + b"}",
        _broken(message_id="not-a-uuid"),
        _broken(message_id=7),
        _broken(accepted_at="yesterday"),
        _broken(accepted_at="2026-11-23T23:59:59"),
        _broken(accepted_at=1),
        _broken(accepted_at="0001-01-01T00:00:00+14:00"),
        _broken(client=None),
        _broken(data=[]),
        _broken(data="{}"),
        _broken(data={"field1": float("nan")}),
        _broken(data={"field1": "\ud800"}),
        _broken(data={"field1": {"\udfff": [1]}}),
        _broken(data={"field1": [["\ud800"]]}),
        _broken(contract=None),
        _broken(contract="Orders"),
        _broken(contract="x" * 31),
        _broken(token="secret"),
    ],
)
def test_anything_else_is_a_decode_error_with_the_raw_body(raw):
    with pytest.raises(DecodeError) as caught:
        Message.decode(raw)
    assert caught.value.raw == raw
    assert "secret" not in str(caught.value)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_decode_error(raw):
    with pytest.raises(DecodeError):
        Message.decode(raw)


@given(
    st.dictionaries(
        st.sampled_from(["message_id", "accepted_at", "client", "data"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=40)
        | st.lists(st.text(max_size=3)),
    )
)
def test_no_json_raises_anything_but_a_decode_error(document):
    with pytest.raises(DecodeError):
        Message.decode(json.dumps(document).encode())


@pytest.mark.parametrize("client", ["", "a b", "x" * 65, "nul\x00", "ä", "-a", "alice\n"])
def test_a_client_that_no_token_can_have_is_not_ours(client):
    document = json.loads(factories.message().encode()) | {"client": client}
    with pytest.raises(DecodeError, match="client is not"):
        Message.decode(json.dumps(document).encode())
