"""Dead letters against a real SQS API."""

import base64
import logging
import uuid
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from django.core.management import call_command
from django.db import OperationalError
from moto.sqs import sqs_backends

from cpsite.audit.models import AuditEvent, Kind
from cpsite.dead_letters import queue as dead_letter_queue
from cpsite.dead_letters.letter import Selection
from cpsite.dead_letters.queue import DeadLetterQueue
from cpsite.dead_letters.redrive import Redrive
from cpsite.queue import client, transport
from tests import factories
from tests.conftest import MAX_RECEIVE_COUNT
from uploader.object_keys import object_key

# Each look asks the audit log, of foreign letters, too.
pytestmark = pytest.mark.django_db
FOREIGN_BODIES = [
    "private words",
    '{"properties": 1}',
    '{"properties": {"delivery_info": null}}',
    '{"properties": {"delivery_info": {}}, "body": "\\ud800"}',
    '{"properties": {"delivery_info": {}}, "body": {"private": 1}}',
    '{"__type__": "private", "__value__": 1}',
    factories.kombu_envelope("private words"),
    factories.kombu_envelope(factories.message().encode(), headers=["private"]),
    factories.kombu_envelope("x", headers={"cpsite-undecodable": "private"}),
    factories.kombu_envelope('{"message_id": "private"}'),
    "[" * 5000,
    "1" * 5000,
    "not base64=",
    "四\ttab\nline",
]


def bury(queue, body, **arguments):
    """Put a message into the dead-letter queue; return its SQS id."""
    sent = queue.client.send_message(QueueUrl=queue.dlq_url, MessageBody=body, **arguments)
    return sent["MessageId"]


def bury_ours(queue, **changes):
    message = factories.message(**({"message_id": uuid.uuid4()} | changes))
    bury(queue, factories.kombu_envelope(message.encode()))
    return message


def read_all():
    with DeadLetterQueue() as queue:
        return [letter for letters in queue.read() for letter in letters]


def redrive_all(**selected):
    with DeadLetterQueue() as queue:
        redrive = Redrive(queue, Selection(**selected))
        for _ in redrive.run():
            pass
    return redrive.counts


def failed(message, reason, **changes):
    AuditEvent.objects.create(
        kind=Kind.FAILED, message_id=message.message_id, reason=reason, **changes
    )


def come_back(queue):
    """Do what SQS does with hidden letters when their visibility timeout ends."""
    for message in (
        sqs_backends["123456789012"]["us-east-1"].queues[queue.dlq_url.rpartition("/")[2]]._messages
    ):
        message.change_visibility(0)


def _client_error(code):
    return ClientError({"Error": {"Code": code}}, "SendMessageBatch")


# --- Reading ---------------------------------------------------------------------------------


def test_a_letter_has_the_attributes_of_its_message(queue):
    message = factories.message(data=factories.fields(field1="private"))
    body = factories.kombu_envelope(message.encode())
    before = datetime.now(UTC)
    sqs_message_id = bury(queue, body)
    (letter,) = read_all()
    assert letter.sqs_message_id == sqs_message_id
    assert letter.message_id == message.message_id
    assert (letter.client, letter.accepted_at) == ("alice", message.accepted_at)
    assert abs(letter.sent_at - before) < timedelta(minutes=1)
    assert (letter.attempts, letter.failed_at) == (None, None)
    assert letter.size == len(body.encode())
    assert letter.payload == message.encode().encode()
    assert letter.reason == "unknown"
    assert "private" not in repr(letter)


@pytest.mark.parametrize("body", FOREIGN_BODIES, ids=range(len(FOREIGN_BODIES)))
def test_foreign_bytes_are_a_letter_and_harm_no_other_one(queue, body):
    message = bury_ours(queue)
    sqs_message_id = bury(queue, body)
    letters = {letter.message_id: letter for letter in read_all()}
    assert letters.keys() == {message.message_id, None}
    foreign = letters[None]
    assert (foreign.sqs_message_id, foreign.reason) == (sqs_message_id, "undecodable")
    assert (foreign.client, foreign.accepted_at, foreign.message) == ("", None, None)
    assert foreign.payload == body.encode()
    assert foreign.error
    assert "private" not in foreign.error


def test_what_even_kombu_did_not_foresee_is_a_letter(queue, monkeypatch):
    def fail(self, sqs_message):
        raise RuntimeError(sqs_message["Body"])

    monkeypatch.setattr(transport.Channel, "read", fail)
    bury(queue, "private words")
    (letter,) = read_all()
    assert (letter.reason, letter.error) == ("undecodable", "RuntimeError")
    assert letter.payload == b"private words"


@pytest.mark.parametrize(
    "wrap",
    [str, lambda body: base64.b64encode(factories.kombu_envelope(body).encode()).decode()],
    ids=["without envelope", "in base64"],
)
def test_what_the_uploader_would_read_is_read(queue, wrap):
    message = factories.message()
    bury(queue, wrap(message.encode()))
    (letter,) = read_all()
    assert letter.message == message
    assert letter.payload == message.encode().encode()


def test_the_reason_is_that_of_the_last_failure(queue, django_assert_num_queries):
    first, second, third = (bury_ours(queue) for _ in range(3))
    now = datetime.now(UTC)
    failed(first, "aws_AccessDenied", occurred_at=now)
    failed(first, "aws_SlowDown", occurred_at=now - timedelta(hours=1))
    failed(second, "OSError", occurred_at=now)
    AuditEvent.objects.create(kind=Kind.REFUSED, message_id=third.message_id, reason="other")
    with django_assert_num_queries(1):
        letters = read_all()
    assert {letter.message_id: letter.reason for letter in letters} == {
        first.message_id: "aws_AccessDenied",
        second.message_id: "OSError",
        third.message_id: "unknown",
    }


def test_the_failures_of_foreign_letters_are_found_by_sqs_s_id(queue, django_assert_num_queries):
    names = [bury(queue, f"letter {number}") for number in range(3)]
    now = datetime.now(UTC)
    for name, attempts in ((names[0], 5), (names[0], 4), (names[1], 1)):
        AuditEvent.objects.create(
            kind=Kind.FAILED,
            sqs_message_id=name,
            reason="undecodable",
            attempts=attempts,
            occurred_at=now - timedelta(hours=5 - attempts),
        )
    AuditEvent.objects.create(kind=Kind.READ, sqs_message_id=names[1], reason="body_shown")
    with django_assert_num_queries(1):
        letters = read_all()
    bury_ours(queue)
    with django_assert_num_queries(2):
        read_all()
    assert {letter.sqs_message_id: letter.attempts for letter in letters} == {
        names[0]: 5,
        names[1]: 1,
        names[2]: None,
    }
    (first,) = [letter for letter in letters if letter.sqs_message_id == names[0]]
    assert first.failed_at == now
    assert {letter.reason for letter in letters} == {"undecodable"}


def test_without_the_audit_log_reasons_are_none_and_it_is_asked_once(queue, monkeypatch):
    asked = []

    def fail(message_ids):
        asked.append(message_ids)
        raise OperationalError

    monkeypatch.setattr(dead_letter_queue, "last_failures", fail)
    for _ in range(15):
        bury_ours(queue)
    bury(queue, "hello")
    with DeadLetterQueue() as dead:
        letters = [letter for letters in dead.read() for letter in letters]
    assert dead.audit_failure == "OperationalError"
    assert sorted(letter.reason or "" for letter in letters) == [""] * 15 + ["undecodable"]
    assert len(asked) == 1


def test_looking_leaves_all_letters_where_they_were(queue):
    names = {bury(queue, f"letter {number}") for number in range(25)}
    with DeadLetterQueue() as dead:
        seen = [letter.sqs_message_id for letters in dead.read() for letter in letters]
        assert queue.count(dead=True) == {"visible": 0, "in_flight": 25}
    assert sorted(seen) == sorted(names)
    assert dead.looked_at == 25
    assert dead.held == 0
    assert queue.count(dead=True) == {"visible": 25, "in_flight": 0}


def test_what_is_looked_at_stays_hidden_whatever_the_queue_says(queue):
    queue.client.set_queue_attributes(QueueUrl=queue.dlq_url, Attributes={"VisibilityTimeout": "0"})
    bury(queue, "hello")
    with DeadLetterQueue() as dead:
        list(dead.read())
        assert queue.count(dead=True) == {"visible": 0, "in_flight": 1}


def test_letters_that_come_again_are_not_handed_out_again(queue, monkeypatch):
    monkeypatch.setattr(dead_letter_queue, "VISIBILITY_SECONDS", 0)  # moto hides them not at all
    names = {bury(queue, f"letter {number}") for number in range(8)}
    seen = [letter.sqs_message_id for letter in read_all()]
    assert sorted(seen) == sorted(names)


def test_a_few_empty_receives_are_not_the_end(queue, meddle):
    bury(queue, "hello")
    empty = [{}, {}]
    meddle(
        "receive_message",
        lambda call, **arguments: empty.pop() if empty else call(**arguments),
    )
    assert len(read_all()) == 1


def test_reading_ends_when_enough_was_read_or_a_stop_is_asked_for(queue):
    for number in range(25):
        bury(queue, f"letter {number}")
    with DeadLetterQueue() as dead:
        for _ in dead.read(until=lambda: dead.looked_at >= 10):
            pass
    assert dead.looked_at == 10
    with DeadLetterQueue(is_stopping=lambda: dead.looked_at >= 20) as dead:
        for _ in dead.read():
            pass
    assert dead.looked_at == 20


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_letters_are_put_back_whatever_ends_the_reading(queue, error):
    for number in range(12):
        bury(queue, f"letter {number}")

    def look():
        with DeadLetterQueue() as dead:
            for _ in dead.read():
                raise error

    with pytest.raises(error):
        look()
    assert queue.count(dead=True) == {"visible": 12, "in_flight": 0}


def test_what_cannot_be_released_is_reported_and_comes_back_by_itself(queue, meddle, caplog):
    bury(queue, "private words")

    def refuse(call, **arguments):
        raise _client_error("RequestThrottled")

    meddle("change_message_visibility_batch", refuse)
    with DeadLetterQueue() as dead:
        list(dead.read())
    assert dead.held == 1
    (line,) = [record for record in caplog.records if record.getMessage() == "release_failed"]
    assert line.error == "aws_RequestThrottled"
    assert "private" not in caplog.text
    come_back(queue)
    assert len(read_all()) == 1


def test_each_letter_has_its_own_verdict_when_put_back(queue, meddle):
    for number in range(3):
        bury(queue, f"letter {number}")

    def refuse_the_first(call, Entries, **arguments):  # noqa: N803 - boto3's name
        call(Entries=Entries[1:], **arguments)
        done = [{"Id": entry["Id"]} for entry in Entries[1:]]
        failure = {"Id": Entries[0]["Id"], "Code": "ReceiptHandleIsInvalid", "SenderFault": True}
        return {"Successful": done, "Failed": [failure]}

    meddle("change_message_visibility_batch", refuse_the_first)
    with DeadLetterQueue() as dead:
        list(dead.read())
    assert dead.held == 1
    assert queue.count(dead=True) == {"visible": 2, "in_flight": 1}


def test_the_depth_counts_visible_and_hidden_ones(queue):
    for number in range(3):
        bury(queue, f"letter {number}")
    queue.client.receive_message(QueueUrl=queue.dlq_url, MaxNumberOfMessages=1)
    assert DeadLetterQueue().depth() == dead_letter_queue.Depth(
        visible=2, hidden=1, retention=timedelta(days=4)
    )


# --- Selecting -------------------------------------------------------------------------------


def test_a_letter_is_selected_by_either_id(queue):
    message = bury_ours(queue)
    bury(queue, "hello")
    ours, foreign = sorted(read_all(), key=lambda letter: letter.message is None)
    selection = Selection(ids=[str(message.message_id).upper(), "no-such-id"])
    assert selection.takes(ours)
    assert not selection.takes(foreign)
    assert selection.missing == {"no-such-id"}
    assert not selection.is_complete()
    assert Selection(ids=[foreign.sqs_message_id]).takes(foreign)


def test_a_selection_is_complete_with_its_last_id_or_at_its_limit(queue):
    bury(queue, "one")
    bury(queue, "two")
    one, two = read_all()
    by_id = Selection(ids=[one.sqs_message_id])
    assert by_id.takes(one)
    assert by_id.is_complete()
    limited = Selection(limit=1)
    assert limited.takes(one)
    assert limited.is_complete()
    assert not limited.takes(two)
    assert not Selection().is_complete()


def test_a_reason_that_could_not_be_asked_for_is_not_unknown(queue, monkeypatch):
    def fail(message_ids):
        raise OperationalError

    bury_ours(queue)
    (known_to_be_unknown,) = read_all()
    monkeypatch.setattr(dead_letter_queue, "last_failures", fail)
    (not_known,) = read_all()
    assert Selection(reason="unknown").takes(known_to_be_unknown)
    assert not Selection(reason="unknown").takes(not_known)


# --- Redriving -------------------------------------------------------------------------------


def test_redriven_letters_are_on_the_queue_byte_for_byte_and_nowhere_else(queue):
    bodies = [*FOREIGN_BODIES, factories.kombu_envelope(factories.message().encode())]
    for body in bodies:
        bury(queue, body)
    counts = redrive_all()
    assert (counts.redriven, counts.failed, counts.not_deleted) == (len(bodies), 0, 0)
    assert sorted(queue.bodies()) == sorted(bodies)
    assert queue.count(dead=True) == {"visible": 0, "in_flight": 0}


def test_message_attributes_survive(queue):
    attributes = {
        "text": {"DataType": "String", "StringValue": "四"},
        "number": {"DataType": "Number.int", "StringValue": "42"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    bury(queue, "hello", MessageAttributes=attributes)
    redrive_all()
    (message,) = queue.client.receive_message(QueueUrl=queue.url, MessageAttributeNames=["All"])[
        "Messages"
    ]
    assert message["MessageAttributes"] == attributes


def test_a_redriven_message_is_stored(queue, bucket):
    message = bury_ours(queue)
    redrive_all()
    call_command("run_uploader", "--metrics-port", "0", "--drain")
    assert bucket.keys() == [object_key(message)]
    assert bucket.read(object_key(message)) == message.encode().encode()


def test_only_what_is_selected_goes_back(queue):
    chosen, other = bury_ours(queue), bury_ours(queue)
    failed(chosen, "aws_SlowDown")
    failed(other, "aws_AccessDenied")
    bury(queue, "hello")
    assert redrive_all(reason="aws_SlowDown").redriven == 1
    assert queue.bodies() == [factories.kombu_envelope(chosen.encode())]
    assert redrive_all(reason="undecodable").redriven == 1
    assert queue.bodies() == ["hello"]
    assert queue.count(dead=True) == {"visible": 1, "in_flight": 0}


def test_a_limit_bounds_what_goes_back(queue):
    for number in range(15):
        bury(queue, f"letter {number}")
    assert redrive_all(limit=12).redriven == 12
    assert queue.count() == {"visible": 12, "in_flight": 0}
    assert queue.count(dead=True) == {"visible": 3, "in_flight": 0}


def test_a_letter_is_deleted_only_after_it_is_sent(queue, meddle):
    """At each moment the message must be in at least one of the queues."""
    bury(queue, "hello")
    seen = []

    def look(call, **arguments):
        seen.append((queue.count()["visible"], queue.count(dead=True)["in_flight"]))
        return call(**arguments)

    meddle("send_message_batch", look)
    meddle("delete_message_batch", look)
    redrive_all()
    assert seen == [(0, 1), (1, 1)]


@pytest.mark.parametrize(
    ("size", "attributes"),
    [
        (300_000, {}),
        (130_000, {"a": {"DataType": "String", "StringValue": "x" * 100_000}}),
        (10, {}),
    ],
    ids=["large bodies", "large attributes", "small"],
)
def test_batches_are_as_large_as_sqs_takes(queue, meddle, size, attributes):
    names = [
        bury(queue, f"{number:02}" + "x" * size, MessageAttributes=attributes)
        for number in range(12)
    ]
    batches = []

    def measure(call, Entries, **arguments):  # noqa: N803 - boto3's name
        batches.append(
            [
                len(entry["MessageBody"])
                + sum(
                    len(name) + len("".join(value.values()))
                    for name, value in entry["MessageAttributes"].items()
                )
                for entry in Entries
            ]
        )
        return call(Entries=Entries, **arguments)

    meddle("send_message_batch", measure)
    assert redrive_all().redriven == len(names)
    assert all(sum(batch) <= 1_048_576 and len(batch) <= 10 for batch in batches)
    assert len(batches) < len(names)


def _drop_one(call, Entries, **arguments):  # noqa: N803 - boto3's name
    """Send all but the first, which the answer does not mention."""
    return call(Entries=Entries[1:], **arguments)


def _refuse_one(call, Entries, **arguments):  # noqa: N803 - boto3's name
    answer = call(Entries=Entries[1:], **arguments)
    failure = {"Id": Entries[0]["Id"], "Code": "InternalError", "SenderFault": True}
    return answer | {"Failed": [failure]}


def _garble_one(call, Entries, **arguments):  # noqa: N803 - boto3's name
    """Answer as if another body had been sent."""
    answer = call(Entries=Entries[1:], **arguments)
    receipt = {"Id": Entries[0]["Id"], "MessageId": "m", "MD5OfMessageBody": "0" * 32}
    return answer | {"Successful": [*answer["Successful"], receipt]}


def _refuse_batches_with_a_bad_one(call, Entries, **arguments):  # noqa: N803 - boto3's name
    if any(entry["MessageBody"] == "letter 1" for entry in Entries):
        raise _client_error("InvalidMessageContents")
    return call(Entries=Entries, **arguments)


@pytest.mark.parametrize(
    ("meddling", "error"),
    [
        (_drop_one, "SendUnconfirmed"),
        (_refuse_one, "aws_InternalError"),
        (_garble_one, "SendUnconfirmed"),
        (_refuse_batches_with_a_bad_one, "aws_InvalidMessageContents"),
    ],
)
def test_what_could_not_be_sent_stays_a_dead_letter(queue, meddle, caplog, meddling, error):
    names = {f"letter {number}": bury(queue, f"letter {number}") for number in range(4)}
    meddle("send_message_batch", meddling)
    counts = redrive_all()
    assert (counts.redriven, counts.failed) == (3, 1)
    assert dict(counts.errors) == {error: 1}
    assert queue.count(dead=True) == {"visible": 1, "in_flight": 0}
    (left,) = read_all()
    assert {left.wire_body, *queue.bodies()} == names.keys()
    (line,) = [record for record in caplog.records if record.getMessage() == "redrive_failed"]
    assert (line.sqs_message_id, line.error) == (left.sqs_message_id, error)


@pytest.mark.parametrize(
    "error",
    [_client_error("AccessDenied"), EndpointConnectionError(endpoint_url="http://sqs")],
    ids=repr,
)
def test_when_the_queue_cannot_be_reached_all_letters_stay(queue, meddle, error):
    for number in range(12):
        bury(queue, f"letter {number}")

    def fail(call, **arguments):
        raise error

    meddle("send_message_batch", fail)
    with DeadLetterQueue() as dead:
        redrive = Redrive(dead, Selection())
        with pytest.raises(type(error)):
            list(redrive.run())
    assert (redrive.counts.redriven, redrive.counts.failed) == (0, 10)
    assert queue.count(dead=True) == {"visible": 12, "in_flight": 0}
    assert queue.bodies() == []


def test_a_failed_delete_means_it_is_in_both_and_stored_once(queue, bucket, meddle, caplog):
    messages = [bury_ours(queue) for _ in range(3)]
    refusals = [_refuse_one]

    def delete(call, **arguments):
        return refusals.pop()(call, **arguments) if refusals else call(**arguments)

    meddle("delete_message_batch", delete)
    counts = redrive_all()
    assert (counts.redriven, counts.not_deleted, counts.failed) == (3, 1, 0)
    assert "redriven_not_deleted" in caplog.text
    assert queue.count()["visible"] == 3
    assert queue.count(dead=True) == {"visible": 1, "in_flight": 0}
    assert redrive_all().redriven == 1
    assert queue.count(dead=True) == {"visible": 0, "in_flight": 0}
    call_command("run_uploader", "--metrics-port", "0", "--drain")
    assert sorted(bucket.keys()) == sorted(object_key(message) for message in messages)


def test_when_nothing_can_be_deleted_it_ends_at_once(queue, meddle):
    """Otherwise all letters would be sent, and none deleted."""
    for number in range(25):
        bury(queue, f"letter {number}")

    def deny(call, **arguments):
        raise _client_error("AccessDenied")

    meddle("delete_message_batch", deny)
    with DeadLetterQueue() as dead:
        redrive = Redrive(dead, Selection())
        with pytest.raises(ClientError):
            list(redrive.run())
    assert (redrive.counts.redriven, redrive.counts.not_deleted) == (10, 10)
    assert queue.count(dead=True) == {"visible": 25, "in_flight": 0}
    assert queue.count()["visible"] == 10


class Killed(BaseException):
    """Stands for kill -9: nothing that follows in the process may happen."""


@pytest.mark.parametrize("call", ["receive_message", "send_message_batch", "delete_message_batch"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_killed_at_any_call_loses_nothing(queue, bucket, meddle, monkeypatch, call, when):
    messages = [bury_ours(queue) for _ in range(3)]
    kills = [Killed]

    def die_once(real, **arguments):
        if kills and when == "before":
            raise kills.pop()
        answer = real(**arguments)
        if kills:
            raise kills.pop()
        return answer

    meddle(call, die_once)
    with monkeypatch.context() as dead:
        dead.setattr(DeadLetterQueue, "release", lambda self: None)
        with pytest.raises(Killed):
            redrive_all()
    come_back(queue)
    redrive_all()
    call_command("run_uploader", "--metrics-port", "0", "--drain")
    assert sorted(bucket.keys()) == sorted(object_key(message) for message in messages)
    assert queue.count() == queue.count(dead=True) == {"visible": 0, "in_flight": 0}


def test_running_twice_finds_nothing_more_to_do(queue, audit):
    bury_ours(queue)
    assert redrive_all().redriven == 1
    assert redrive_all().redriven == 0
    assert queue.count()["visible"] == 1
    assert len(audit()) == 1


def test_a_stop_ends_it_after_the_current_batch(queue, meddle):
    for number in range(5):
        bury(queue, f"{number}" + "x" * 500_000)  # two of them are a batch
    stops = []

    def stop(call, **arguments):
        stops.append(1)
        return call(**arguments)

    meddle("send_message_batch", stop)
    with DeadLetterQueue(is_stopping=lambda: bool(stops)) as dead:
        redrive = Redrive(dead, Selection())
        list(redrive.run())
    assert redrive.counts.redriven == 2
    assert queue.count()["visible"] == 2
    assert queue.count(dead=True) == {"visible": 3, "in_flight": 0}


# --- Not sending back the same letter twice --------------------------------------------------


def _send_to_die(queue):
    """Return a send after which SQS moves the first two sent messages to the dead-letter queue."""
    times = [1, 2]

    def send(call, **arguments):
        answer = call(**arguments)
        if times:
            times.pop()
            for _ in range(MAX_RECEIVE_COUNT + 1):
                queue.client.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10)
                queue.make_visible()
        return answer

    return send


def test_what_dies_again_meanwhile_is_left_alone(queue, meddle):
    bury(queue, "hello")

    meddle("send_message_batch", _send_to_die(queue))
    assert redrive_all().redriven == 1
    assert queue.count() == {"visible": 0, "in_flight": 0}
    assert queue.count(dead=True) == {"visible": 1, "in_flight": 0}


def test_what_dies_again_is_known_even_by_a_clock_that_is_ahead(queue, meddle):
    bury(queue, "hello")

    meddle("send_message_batch", _send_to_die(queue))
    with DeadLetterQueue() as dead:
        redrive = Redrive(dead, Selection())
        redrive._started_at += timedelta(hours=1)
        list(redrive.run())
    assert redrive.counts.redriven == 1
    assert dead.looked_at == 2


def test_what_was_sent_after_the_start_is_left_alone(queue, meddle):
    bury_ours(queue)
    late = []

    def receive(call, **arguments):
        if not late:
            late.append(bury_ours(queue))
        return call(**arguments)

    meddle("receive_message", receive)
    assert redrive_all().redriven == 1
    (left,) = read_all()
    assert left.message == late[0]


@pytest.mark.parametrize("others", [0, 15], ids=["of one receive", "of two"])
def test_the_second_copy_of_a_message_is_left_alone(queue, others):
    bury(queue, factories.kombu_envelope(factories.message().encode()))
    for number in range(others):
        bury(queue, f"letter {number}")
    bury(queue, factories.kombu_envelope(factories.message().encode()))
    assert redrive_all().redriven == 1 + others
    assert [letter.message for letter in read_all()] == [factories.message()]


# --- Accounting ------------------------------------------------------------------------------


def test_each_redrive_is_audited(queue, audit):
    message = bury_ours(queue)
    failed(message, "aws_SlowDown", attempts=3)
    read_all()  # a look that is no attempt
    redrive_all()
    event = audit()[-1]
    assert (event.kind, event.message_id, event.client) == (
        "redriven",
        message.message_id,
        "alice",
    )
    assert (event.reason, event.attempts) == ("aws_SlowDown", 3)
    assert event.accepted_at == message.accepted_at
    assert event.payload_sha256 == sha256(message.encode().encode()).hexdigest()


def test_the_redrive_of_a_foreign_letter_is_audited_without_an_id(queue, audit):
    bury(queue, "private words")
    redrive_all()
    (event,) = audit()
    assert (event.kind, event.reason, event.attempts) == ("redriven", "undecodable", None)
    assert (event.message_id, event.client, event.payload_sha256) == (None, "", "")


def test_a_forged_client_is_none_of_ours(queue, audit):
    bury_ours(queue, client="x" * 5_000)
    redrive_all()
    (event,) = audit()
    assert (event.client, event.reason) == ("", "undecodable")


def test_what_was_not_sent_is_not_audited(queue, audit, meddle):
    bury(queue, "hello")
    meddle("send_message_batch", lambda call, **arguments: {"Successful": [], "Failed": []})
    redrive_all()
    assert audit() == []


def test_what_was_sent_is_audited_though_not_deleted(queue, audit, meddle):
    bury_ours(queue)
    meddle("delete_message_batch", lambda call, **arguments: {"Successful": [], "Failed": []})
    assert redrive_all().not_deleted == 1
    assert [event.kind for event in audit()] == ["redriven"]


def test_there_is_one_log_line_a_letter_without_content(queue, caplog):
    caplog.set_level(logging.DEBUG)
    message = bury_ours(queue, data=factories.fields(field1="private"))
    sqs_message_id = bury(queue, "private words")
    redrive_all()
    ours, foreign = sorted(
        (record for record in caplog.records if record.getMessage() == "message_redriven"),
        key=lambda record: record.message_id is None,
    )
    assert (ours.message_id, ours.reason) == (str(message.message_id), "unknown")
    assert (foreign.sqs_message_id, foreign.reason) == (sqs_message_id, "undecodable")
    assert not any("private" in str(vars(record)) for record in caplog.records)


def test_a_letter_as_long_as_sqs_takes_goes_back(queue):
    bury(queue, "x" * client.MESSAGE_BYTES)
    bury(queue, "hello")
    assert redrive_all().redriven == 2
