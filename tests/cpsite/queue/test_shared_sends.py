"""Sends that share a batch: each gets its own outcome, whatever the outcomes of the others are."""

import hashlib
import json
import os
import threading
import time
import uuid

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from cpsite.aws import QueueRefused
from cpsite.queue import batch, connection
from cpsite.queue import client as client_module
from cpsite.queue.client import MESSAGE_BYTES, Client, MessageTooLong, SendUnconfirmed
from cpsite.queue.group_commit import NotSent
from tests import factories
from validator import metrics, publisher


def _receipt(body):
    return {"MessageId": "m", "MD5OfMessageBody": hashlib.md5(body.encode()).hexdigest()}


class ScriptedSqs:
    """Answers batches as a test defines, which no emulator can do."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.alone = []
        self.batches = []
        self.first_is_under_way = threading.Event()
        self.go_on = threading.Event()

    def send_message(self, *, QueueUrl, MessageBody):  # noqa: N803 - boto3's names
        self.alone.append(MessageBody)
        if MessageBody == "first":
            self.first_is_under_way.set()
            assert self.go_on.wait(30)
        if MessageBody.startswith("poison"):
            raise ClientError({"Error": {"Code": "InvalidMessageContents"}}, "SendMessage")
        return _receipt(MessageBody)

    def send_message_batch(self, *, QueueUrl, Entries):  # noqa: N803
        self.batches.append([entry["MessageBody"] for entry in Entries])
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        successful, failed = [], []
        for entry in Entries:
            code = answer.get(entry["MessageBody"])
            if code == "forgotten":
                continue
            if code == "lie":
                successful.append({"Id": entry["Id"], **_receipt("something else")})
            elif code:
                failed.append(
                    {"Id": entry["Id"], "Code": code, "SenderFault": code.startswith("Invalid")}
                )
            else:
                successful.append({"Id": entry["Id"], **_receipt(entry["MessageBody"])})
        return {"Successful": successful, "Failed": failed}


def send_together(scripted, *bodies):
    """Send `bodies` while another send is in progress; return the error of each, or None."""
    client = Client(scripted)
    outcomes = {}

    def send(body):
        try:
            client.send_message(QueueUrl="q", MessageBody=body)
            outcomes[body] = None
        except Exception as exc:
            outcomes[body] = exc

    threads = [threading.Thread(target=send, args=("first",))]
    threads[0].start()
    assert scripted.first_is_under_way.wait(30)
    for number, body in enumerate(bodies, start=1):
        threads.append(threading.Thread(target=send, args=(body,)))
        threads[-1].start()
        # Messages whose size fills a batch do not wait.
        while len(client._sends._waiting) + sum(map(len, scripted.batches)) < number:
            time.sleep(0.001)
    scripted.go_on.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert outcomes.pop("first") is None
    return outcomes


def test_waiting_sends_go_together():
    scripted = ScriptedSqs()
    assert send_together(scripted, "a", "b", "c") == dict.fromkeys("abc")
    assert scripted.batches == [["a", "b", "c"]]


def test_an_entry_that_fails_by_its_own_fault_fails_alone_and_at_once():
    scripted = ScriptedSqs({"b": "InvalidMessageContents"})
    outcomes = send_together(scripted, "a", "b", "c")
    assert (outcomes["a"], outcomes["c"]) == (None, None)
    assert isinstance(outcomes["b"], QueueRefused)
    assert outcomes["b"].code == "InvalidMessageContents"
    assert len(scripted.batches) == 1


def test_entries_that_fail_by_sqss_fault_are_tried_once_more_together():
    scripted = ScriptedSqs({"a": "InternalError", "c": "InternalError"}, {"c": "InternalError"})
    outcomes = send_together(scripted, "a", "b", "c")
    assert scripted.batches == [["a", "b", "c"], ["a", "c"]]
    assert (outcomes["a"], outcomes["b"]) == (None, None)
    assert outcomes["c"].code == "InternalError"


def test_a_second_try_that_breaks_leaves_the_first_verdicts():
    scripted = ScriptedSqs({"b": "InternalError"}, ConnectionResetError())
    outcomes = send_together(scripted, "a", "b")
    assert outcomes["a"] is None
    assert outcomes["b"].code == "InternalError"


def test_without_time_for_it_there_is_no_second_try():
    scripted = ScriptedSqs({"b": "InternalError"})
    sends = [
        client_module._Send({"QueueUrl": "q", "MessageBody": body}, time.monotonic())
        for body in "ab"
    ]
    first, second = Client(scripted)._send_batch(sends)
    assert first is None
    assert second.code == "InternalError"
    assert len(scripted.batches) == 1


@pytest.mark.parametrize("answer", ["lie", "forgotten"])
def test_an_entry_that_is_not_confirmed_is_not_accepted(answer):
    outcomes = send_together(ScriptedSqs({"b": answer}), "a", "b", "c")
    assert (outcomes["a"], outcomes["c"]) == (None, None)
    assert isinstance(outcomes["b"], SendUnconfirmed)


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "RequestThrottled"}}, "SendMessageBatch"),
        ReadTimeoutError(endpoint_url="https://sqs"),
        ConnectionResetError(),
    ],
    ids=repr,
)
def test_a_failed_call_fails_each_with_an_exception_of_its_own(error):
    outcomes = send_together(ScriptedSqs(error), "a", "b", "c")
    assert {type(outcome) for outcome in outcomes.values()} == {type(error)}
    assert {str(outcome) for outcome in outcomes.values()} == {str(error)}
    assert len({id(outcome) for outcome in outcomes.values()}) == 3


def test_an_exception_that_cannot_be_copied_is_named():
    class Awkward(Exception):
        def __init__(self, one, two):
            super().__init__("text")

    assert str(client_module._copy(Awkward(1, 2))) == "Awkward"


def test_a_batch_refused_for_one_entry_is_sent_one_by_one():
    refusal = ClientError({"Error": {"Code": "InvalidMessageContents"}}, "SendMessageBatch")
    scripted = ScriptedSqs(refusal)
    outcomes = send_together(scripted, "a", "poison", "c")
    assert scripted.alone == ["first", "a", "poison", "c"]
    assert (outcomes["a"], outcomes["c"]) == (None, None)
    assert isinstance(outcomes["poison"], ClientError)


def test_one_by_one_ends_when_the_time_is_over():
    refusal = ClientError({"Error": {"Code": "InvalidMessageContents"}}, "SendMessageBatch")
    scripted = ScriptedSqs(refusal)
    sends = [
        client_module._Send({"QueueUrl": "q", "MessageBody": body}, time.monotonic())
        for body in "ab"
    ]
    outcomes = Client(scripted)._send_batch(sends)
    assert {type(outcome) for outcome in outcomes} == {NotSent}
    assert not scripted.alone


def test_a_batch_holds_no_more_bytes_than_sqs_takes():
    scripted = ScriptedSqs()
    third = "x" * (MESSAGE_BYTES // 3)
    outcomes = send_together(scripted, *(f"{number}{third}" for number in range(5)))
    assert set(outcomes.values()) == {None}
    assert [len(batch) for batch in scripted.batches] == [2, 2]
    assert len(scripted.alone) == 2  # the first, and what was left over


def test_a_message_longer_than_sqs_takes_is_not_even_tried():
    scripted = ScriptedSqs()
    with pytest.raises(MessageTooLong):
        Client(scripted).send_message(QueueUrl="q", MessageBody="x" * (MESSAGE_BYTES + 1))
    assert not scripted.alone


def test_concurrent_publishers_share_batches_on_a_real_queue(queue):
    bodies = [factories.message(message_id=uuid.uuid4()).encode() for _ in range(40)]
    before = metrics.publish_batch_size._sum.get()
    start = threading.Barrier(len(bodies))

    def publish(body):
        start.wait(30)
        publisher.publish_message(body)

    threads = [threading.Thread(target=publish, args=(body,)) for body in bodies]
    publisher.warm_up()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    stored = [json.loads(wire)["body"] for wire in queue.bodies()]
    assert sorted(stored) == sorted(bodies)
    assert metrics.publish_batch_size._sum.get() - before == len(bodies)


def test_a_process_forked_in_the_middle_of_a_batch_can_publish(queue):
    """The child must not wait for a leader that exists only in its parent."""
    client = publisher._producer().channel.sqs(connection.queue().name)
    client._sends._running += 1  # so it looks as if a send were in progress
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            publisher.publish_message("from the child")
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert queue.count()["visible"] == 1


@pytest.mark.parametrize("method", ["delete", "change"])
def test_what_sqs_does_not_mention_was_not_done(method):
    class Silent:
        def __getattr__(self, name):
            return lambda **arguments: {"Successful": [{"Id": "0"}]}

    client = Client(Silent())
    if method == "delete":
        outcomes = client.delete_messages("https://queue", ["a", "b"])
    else:
        outcomes = client.change_visibility("https://queue", ["a", "b"], 5)
    assert outcomes[0] is None
    assert isinstance(outcomes[1], QueueRefused)


@pytest.mark.parametrize("second", [{}, {"Successful": []}, {"Failed": []}])
def test_a_second_answer_that_leaves_an_entry_out_does_not_hide_its_refusal(second):
    answers = [
        {"Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False}]},
        second,
    ]
    (result,) = batch.perform(lambda entries: answers.pop(0), [{}])
    assert isinstance(result, QueueRefused)
    assert result.code == "InternalError"
