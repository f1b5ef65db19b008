"""Our transport against a real SQS API: what it delivers, and which errors it raises."""

import json

import pytest
from botocore.exceptions import ClientError

from cpsite.queue.client import DeleteFailed
from tests import factories
from uploader.receiver import Receiver

POISON = {
    "plain text": "hello",
    "empty object": "{}",
    "a list": "[1, 2]",
    "a number": "7",
    "null": "null",
    "broken JSON": '{"body": ',
    "properties is a number": '{"properties": 1}',
    "properties is null": '{"properties": null}',
    "null delivery_info": '{"body": "x", "properties": {"delivery_info": null}}',
    "delivery_info is text": '{"body": "x", "properties": {"delivery_info": "x"}}',
    "bad inner base64": json.dumps(
        {"body": "§§§", "properties": {"delivery_info": {}, "body_encoding": "base64"}}
    ),
    "unknown body_encoding": json.dumps(
        {"body": "x", "properties": {"delivery_info": {}, "body_encoding": "rot13"}}
    ),
    "foreign type tag": '{"__type__": "x", "__value__": 1}',
    "deep nesting": "[" * 20_000,
    "an integer too long": '{"properties": ' + "9" * 5_000 + "}",
    "body is a number": factories.kombu_envelope(body=7),  # type: ignore[arg-type]
    "body is an object": factories.kombu_envelope(body={"a": 1}),  # type: ignore[arg-type]
    "headers is null": factories.kombu_envelope("x", headers=None),
    "headers is text": factories.kombu_envelope("x", headers="x"),
    "unknown compression": factories.kombu_envelope("x", headers={"compression": "rot13"}),
    "foreign routing key": factories.kombu_envelope(
        "x", properties={"delivery_info": {"exchange": "other", "routing_key": "other"}}
    ),
}


@pytest.fixture
def receiver(queue):
    with_queue = Receiver(concurrency=4)
    yield with_queue
    with_queue.close()


def _receive_all(receiver, expected):
    deliveries = []
    while len(deliveries) < expected:
        received = receiver.receive(10)
        assert received, f"{expected - len(deliveries)} deliveries are missing"
        deliveries += received
    return deliveries


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON.keys())
def test_poison_harms_no_other_message(receiver, queue, poison):
    good = factories.message().encode()
    for body in (good, poison, good):
        queue.send(factories.kombu_envelope(body) if body is good else poison)
    deliveries = _receive_all(receiver, 3)
    assert [delivery.body.decode() for delivery in deliveries].count(good) == 2
    for delivery in deliveries:
        delivery.acknowledge()
    assert queue.count() == {"visible": 0, "in_flight": 0}


def test_an_unreadable_envelope_is_marked_with_the_kind_of_error(receiver, queue):
    queue.send(POISON["null delivery_info"])
    (delivery,) = _receive_all(receiver, 1)
    assert delivery.undecodable == "AttributeError"
    assert delivery.body == b""


def test_a_good_message_is_not_marked(receiver, queue):
    queue.send(factories.kombu_envelope("x"))
    (delivery,) = _receive_all(receiver, 1)
    assert delivery.undecodable is None


def test_acknowledging_deletes(receiver, queue):
    queue.send(factories.kombu_envelope("x"))
    (delivery,) = _receive_all(receiver, 1)
    assert queue.count() == {"visible": 0, "in_flight": 1}
    delivery.acknowledge()
    assert queue.count() == {"visible": 0, "in_flight": 0}


def test_a_refused_delete_is_an_error(receiver, queue, monkeypatch):
    queue.send(factories.kombu_envelope("x"))
    (delivery,) = _receive_all(receiver, 1)
    channel = delivery.kombu_message.channel
    client = channel.sqs(queue.url.rpartition("/")[2])

    def refuse(**kwargs):
        raise ClientError({"Error": {"Code": "RequestThrottled"}}, "DeleteMessage")

    monkeypatch.setattr(client._client, "delete_message", refuse)
    with pytest.raises(DeleteFailed, match="RequestThrottled"):
        delivery.acknowledge()
    assert not channel.qos._delivered or channel.qos._dirty


def test_closing_leaves_messages_to_the_visibility_timeout(receiver, queue):
    queue.send(factories.kombu_envelope("x"))
    _receive_all(receiver, 1)
    receiver.close()
    assert queue.count() == {"visible": 0, "in_flight": 1}


def test_a_foreign_message_cannot_set_the_reason_why_it_is_unreadable(receiver, queue):
    """The reason is logged, and untrusted text must not be."""
    headers = {"cpsite-undecodable": "private words"}
    queue.send(factories.kombu_envelope("x", headers=headers))
    (delivery,) = _receive_all(receiver, 1)
    assert delivery.undecodable is None
