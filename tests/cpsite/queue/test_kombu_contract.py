"""Pins the behaviour of Kombu that we depend on, documented or not.

When an upgrade of Kombu fails here, read `cpsite/queue/` and `uploader/receiver.py`
against its new source before moving the pin.
"""

import hashlib
import inspect
import json

import kombu
import pytest
from botocore.exceptions import ClientError
from kombu.connection import Connection
from kombu.messaging import Producer
from kombu.serialization import loads
from kombu.transport import SQS, virtual

from cpsite import __version__
from cpsite.queue import client as client_module
from cpsite.queue import connection, sqs_calls, transport
from tests import factories
from uploader.receiver import Receiver


class RecordingClient:
    """Replaces boto3's client, to record exactly what Kombu calls."""

    def __init__(self, *, receive=(), error=None):
        self.calls = []
        self._receive = list(receive)
        self._error = error

    def __getattr__(self, name):
        def call(**kwargs):
            self.calls.append((name, kwargs))
            if self._error is not None:
                raise self._error
            if name == "send_message":
                digest = hashlib.md5(kwargs["MessageBody"].encode()).hexdigest()
                return {"MessageId": "m-1", "MD5OfMessageBody": digest}
            if name == "receive_message":
                return {"Messages": self._receive.pop(0)} if self._receive else {}
            return {"Successful": [{"Id": entry["Id"]} for entry in kwargs.get("Entries", ())]}

        return call


@pytest.fixture
def recorded(settings, monkeypatch):
    settings.UPLOADER_WAIT_SECONDS = 7
    settings.SQS_QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/q"
    client = RecordingClient()
    monkeypatch.setattr(transport.sqs_calls, "new_client", lambda config: client)
    return client


def _sqs_message(body, handle="handle-1"):
    return {
        "MessageId": "m-1",
        "ReceiptHandle": handle,
        "Body": body,
        "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1790000000000"},
    }


def test_the_version_is_the_one_that_was_read():
    assert kombu.__version__ == "5.7.0"


def test_a_url_without_host_leaves_the_endpoint_to_boto3(recorded):
    assert connection.publishing_connection().channel().endpoint_url is None
    # What would happen without the URL:
    assert Connection(transport=transport.Transport).hostname == "localhost"


def test_publishing_is_one_send_message_with_our_json_unchanged(recorded):
    producer = Producer(connection.publishing_connection().channel(), auto_declare=False)
    body = factories.message().encode()
    producer.publish(body, routing_key="q", serializer=connection.SERIALIZER, retry=False)
    ((name, kwargs),) = recorded.calls
    assert name == "send_message"
    assert kwargs.keys() == {"QueueUrl", "MessageBody"}
    wire = json.loads(kwargs["MessageBody"])
    assert wire["body"] == body
    assert wire["content-type"] == "application/json"
    assert kwargs["MessageBody"].isascii()  # so SQS's character rules cannot refuse it


def test_the_envelope_fits_what_the_body_limit_reserves_for_it(recorded):
    producer = Producer(connection.publishing_connection().channel(), auto_declare=False)
    producer.publish("", routing_key="q", serializer=connection.SERIALIZER, retry=False)
    assert len(recorded.calls[0][1]["MessageBody"]) < 512


def test_a_failed_send_reaches_the_caller(recorded):
    recorded._error = ClientError({"Error": {"Code": "RequestThrottled"}}, "SendMessage")
    producer = Producer(connection.publishing_connection().channel(), auto_declare=False)
    with pytest.raises(ClientError):
        producer.publish("x", routing_key="q", serializer=connection.SERIALIZER, retry=False)
    assert len(recorded.calls) == 1


@pytest.mark.parametrize(
    "answer", [{}, {"MessageId": "m-1"}, {"MessageId": "m-1", "MD5OfMessageBody": "0" * 32}]
)
def test_an_answer_that_is_not_sqs_confirming_this_body_is_no_success(recorded, answer):
    client = client_module.Client(
        type("OtherServer", (), {"send_message": lambda self, **kwargs: answer})()
    )
    with pytest.raises(client_module.SendUnconfirmed):
        client.send_message(QueueUrl="q", MessageBody="x")


def test_kombus_own_json_decoder_stays():
    assert loads('{"a": 1}', "application/json", "utf-8", accept=["application/json"]) == {"a": 1}


def test_consuming_asks_for_nothing_but_messages(recorded):
    receiver = Receiver(concurrency=1)
    assert receiver.receive(10) == []
    ((name, kwargs),) = recorded.calls
    assert name == "receive_message"
    assert kwargs["MaxNumberOfMessages"] == 10
    assert kwargs["WaitTimeSeconds"] == 7
    assert set(kwargs["MessageSystemAttributeNames"]) == {
        "ApproximateReceiveCount",
        "SentTimestamp",
    }


def test_the_limit_of_a_receive_is_obeyed(recorded):
    receiver = Receiver(concurrency=1)
    receiver.receive(3)
    assert recorded.calls[0][1]["MaxNumberOfMessages"] == 3


def test_one_receive_delivers_all_its_messages(recorded):
    bodies = [factories.kombu_envelope(str(number)) for number in range(10)]
    recorded._receive = [[_sqs_message(body, f"h{n}") for n, body in enumerate(bodies)]]
    deliveries = Receiver(concurrency=1).receive(10)
    assert [delivery.body for delivery in deliveries] == [b"%d" % n for n in range(10)]


def test_acknowledging_is_one_delete_message_by_receipt_handle(recorded):
    recorded._receive = [[_sqs_message(factories.kombu_envelope("x"))]]
    (delivery,) = Receiver(concurrency=1).receive(10)
    delivery.acknowledge()
    assert recorded.calls[1:] == [
        (
            "delete_message",
            {
                "QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/q",
                "ReceiptHandle": "handle-1",
            },
        )
    ]


def test_releasing_forgets_the_delivery_so_that_kombu_does_not_keep_it(recorded):
    recorded._receive = [[_sqs_message(factories.kombu_envelope("x"))]]
    receiver = Receiver(concurrency=1)
    deliveries = receiver.receive(10)
    receiver.release(deliveries, delay_seconds=7)
    name, kwargs = recorded.calls[-1]
    assert name == "change_message_visibility_batch"
    assert [entry["VisibilityTimeout"] for entry in kwargs["Entries"]] == [7]
    receiver._channel.qos._flush()
    assert not receiver._channel.qos._delivered


def test_closing_asks_sqs_for_nothing(recorded):
    recorded._receive = [[_sqs_message(factories.kombu_envelope("x"))]]
    receiver = Receiver(concurrency=1)
    receiver.receive(10)
    before = len(recorded.calls)
    receiver.close()
    assert len(recorded.calls) == before


def test_the_seams_that_we_override_are_there():
    assert virtual.Channel.do_restore is True
    parameters = inspect.signature(SQS.Channel._message_to_python).parameters
    assert list(parameters) == ["self", "message", "queue_name", "q_url"]
    assert "_get_message_estimate" in vars(SQS.Channel)
    assert "new_sqs_client" in vars(SQS.Channel)


@pytest.fixture
def configured(settings, monkeypatch):
    """The configurations with which clients of SQS are made."""
    settings.SQS_QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/q"
    made = []
    # Then the client is boto3's own, which is made with this configuration in any case.
    monkeypatch.setattr(sqs_calls, "_endpoint", lambda config: None)
    monkeypatch.setattr(
        sqs_calls.aws, "client", lambda service, *, config: made.append((service, config))
    )
    return made


def _facts(config):
    return {
        "connect_timeout": config.connect_timeout,
        "read_timeout": config.read_timeout,
        "retries": config.retries,
        "max_pool_connections": config.max_pool_connections,
        "parameter_validation": config.parameter_validation,
        "user_agent": config.user_agent,
    }


def test_how_long_a_call_of_a_publisher_may_take(configured, settings):
    settings.SQS_PUBLISH_TIMEOUT_SECONDS = 8.0
    channel = connection.publishing_connection(observe_batch=print).channel()
    client = channel.sqs("q")
    ((service, config),) = configured
    assert service == "sqs"
    assert _facts(config) == {
        # Two attempts and a second between them are three quarters of the time.
        "connect_timeout": 0.5,
        "read_timeout": 2.0,
        "retries": {"mode": "standard", "total_max_attempts": 2},
        "max_pool_connections": 64,
        "parameter_validation": False,
        "user_agent": f"cpsite/{__version__}",
    }
    assert client._options == client_module.SendOptions(8.0, 6.0, print)


def test_a_publisher_in_a_hurry_makes_one_attempt(configured, settings):
    settings.SQS_PUBLISH_TIMEOUT_SECONDS = 1.0
    connection.publishing_connection().channel().sqs("q")
    ((_, config),) = configured
    assert (config.connect_timeout, config.read_timeout) == (0.375, 0.375)
    assert config.retries["total_max_attempts"] == 1


def test_how_long_a_call_of_a_consumer_may_take(configured):
    made = connection.consuming_connection(wait_time_seconds=20, max_pool_connections=7)
    client = made.channel().sqs("q")
    ((service, config),) = configured
    assert service == "sqs"
    assert _facts(config) == {
        "connect_timeout": 3.0,
        "read_timeout": 25.0,
        "retries": {"mode": "standard", "total_max_attempts": 2},
        "max_pool_connections": 7,
        "parameter_validation": False,
        "user_agent": f"cpsite/{__version__}",
    }
    assert client._options == client_module.SendOptions()


def test_polls_wait_in_sqs_alone(configured):
    options = connection.consuming_connection(
        wait_time_seconds=20, max_pool_connections=7
    ).transport_options
    options = {name: value for name, value in options.items() if name != "client-config"}
    assert options == {
        "predefined_queues": {
            "q": {"url": "https://sqs.eu-west-1.amazonaws.com/123456789012/q"},
        },
        "body_encoding": "utf-8",
        "sqs_base64_encoding": False,
        "wait_time_seconds": 20,
        "fetch_message_attributes": ["SentTimestamp"],
        "polling_interval": 0,
        transport.SEND_OPTIONS: None,
    }


def test_the_queue_is_never_declared(recorded):
    made = connection.queue()
    assert (made.name, made.routing_key, made.exchange.name) == ("q", "q", "")
    assert made.no_declare
