"""How AWS's services say that something went wrong."""

import json
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from tests.chaos.faults import ANY_CALL, Fault
from tests.chaos.http1 import Message

#: Answers to receives that are remembered, so that what they held can be delivered once more.
_REMEMBERED = 60


@dataclass(frozen=True)
class Tampered:
    """A call whose effect differs from what was asked for.

    `request` is what to forward, or None for nothing; `finish` makes the answer of the one that
    came back.
    """

    request: Message | None
    finish: Callable[[Message | None], Message]


class Dialect(Protocol):
    #: What is answered without doing anything, one of them each time.
    answers: ClassVar[Mapping[Fault, Sequence[Message]]]

    def possible(self, request: Message) -> frozenset[Fault]:
        """Return what may happen to a call."""

    def tamper(self, fault: Fault, request: Message, rng: random.Random) -> Tampered:
        """Carry out one of the faults that need to understand the call."""

    def saw(self, request: Message, answer: Message) -> None:
        """Take note of an undisturbed call."""


class _Plain:
    """A service of which no call needs to be understood."""

    answers: ClassVar[Mapping[Fault, Sequence[Message]]]

    def possible(self, request: Message) -> frozenset[Fault]:
        return ANY_CALL | self.answers.keys()

    def tamper(self, fault: Fault, request: Message, rng: random.Random) -> Tampered:
        raise NotImplementedError(fault)

    def saw(self, request: Message, answer: Message) -> None:
        pass


def _s3_error(status: int, code: str) -> Message:
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
        f"<Message>Please try again.</Message><RequestId>CHAOS</RequestId></Error>"
    )
    return Message.answer(status, code, body.encode(), Content_Type="application/xml")


class S3(_Plain):
    """S3, which encrypts a few objects with a KMS key of their own: one in 64."""

    answers: ClassVar = {
        Fault.ERROR: [_s3_error(500, "InternalError"), _s3_error(503, "ServiceUnavailable")],
        Fault.THROTTLED: [_s3_error(503, "SlowDown")],
        Fault.EXPIRED: [_s3_error(400, "ExpiredToken"), _s3_error(403, "InvalidAccessKeyId")],
        Fault.KEY_DISABLED: [_s3_error(400, "KMS.DisabledException")],
        Fault.DENIED: [_s3_error(403, "AccessDenied")],
        Fault.PAGE: [
            Message.answer(403, "Forbidden", b"<html>Blocked</html>", Content_Type="text/html")
        ],
    }

    def possible(self, request: Message) -> frozenset[Fault]:
        found = super().possible(request)
        return found if _has_key_of_its_own(request) else found - {Fault.KEY_DISABLED}


def _has_key_of_its_own(request: Message) -> bool:
    """Decide by the message id at the end of the object's name: always the same for an object."""
    name = request.start.split(" ")[1].rpartition("/")[2]
    return name[:2] in {"00", "01", "02", "03"}


class Container(_Plain):
    """The endpoint of a container's credentials."""

    answers: ClassVar = {
        Fault.ERROR: [
            Message.answer(status, "Error", b'{"code":"InternalServerError"}')
            for status in (500, 503)
        ],
        Fault.THROTTLED: [Message.answer(429, "Too Many Requests", b'{"code":"Throttled"}')],
    }


def _sts_error(status: int, kind: str, code: str) -> Message:
    body = (
        f'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>{kind}'
        f"</Type><Code>{code}</Code><Message>Please try again.</Message></Error>"
        f"<RequestId>CHAOS</RequestId></ErrorResponse>"
    )
    return Message.answer(status, code, body.encode(), Content_Type="text/xml")


class Sts(_Plain):
    answers: ClassVar = {
        Fault.ERROR: [
            _sts_error(500, "Receiver", "InternalFailure"),
            _sts_error(503, "Receiver", "ServiceUnavailable"),
        ],
        Fault.THROTTLED: [_sts_error(400, "Sender", "Throttling")],
    }


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def _sqs_error(status: int, code: str, fault: str) -> Message:
    document = {"__type": f"com.amazonaws.sqs#{code}", "message": "Please try again."}
    return Message.answer(
        status,
        code,
        _dump(document),
        Content_Type="application/x-amz-json-1.0",
        x_amzn_query_error=f"{code};{fault}",
    )


class Sqs:
    """SQS's JSON protocol."""

    answers: ClassVar = {
        Fault.ERROR: [
            _sqs_error(500, "InternalFailure", "Receiver"),
            _sqs_error(503, "ServiceUnavailable", "Receiver"),
        ],
        Fault.THROTTLED: [
            _sqs_error(400, "ThrottlingException", "Sender"),
            _sqs_error(400, "RequestThrottled", "Sender"),
        ],
        Fault.EXPIRED: [
            _sqs_error(403, "ExpiredTokenException", "Sender"),
            _sqs_error(403, "UnrecognizedClientException", "Sender"),
        ],
    }

    def __init__(self) -> None:
        self._received: deque[bytes] = deque(maxlen=_REMEMBERED)

    def possible(self, request: Message) -> frozenset[Fault]:
        action = _action(request)
        any_call = ANY_CALL | self.answers.keys()
        if action.endswith("Batch"):
            return any_call | {Fault.PARTIAL, Fault.UNMENTIONED}
        if action == "ReceiveMessage" and self._received:
            return any_call | {Fault.REDELIVERY}
        return any_call

    def tamper(self, fault: Fault, request: Message, rng: random.Random) -> Tampered:
        if fault is Fault.REDELIVERY:
            return self._redeliver(request, rng)
        if fault is Fault.PARTIAL:
            return _fail_some(request, rng)
        return _leave_one_out(request, rng)

    def saw(self, request: Message, answer: Message) -> None:
        if _action(request) == "ReceiveMessage" and b'"Messages"' in answer.body:
            self._received.append(answer.body)

    def _redeliver(self, request: Message, rng: random.Random) -> Tampered:
        """Deliver, among others, what was delivered before, under its old receipt handle."""
        old = rng.choice(json.loads(rng.choice(self._received))["Messages"])
        asked = json.loads(request.body)
        asked["MaxNumberOfMessages"] = asked.get("MaxNumberOfMessages", 1) - 1

        def finish(answer: Message | None) -> Message:
            if answer is None:
                return _sqs_answer({"Messages": [old]})
            found = json.loads(answer.body)
            messages = found.get("Messages") or []
            messages.insert(rng.randint(0, len(messages)), old)
            return answer.with_body(_dump(found | {"Messages": messages}))

        return Tampered(_changed(request, asked) if asked["MaxNumberOfMessages"] else None, finish)


def _fail_some(request: Message, rng: random.Random) -> Tampered:
    """Forward some entries, and report the others as failed through no fault of the caller."""
    asked = json.loads(request.body)
    entries = list(asked["Entries"])
    rng.shuffle(entries)
    number = rng.randint(1, max(1, len(entries) - 1))
    failed = [
        {
            "Id": entry["Id"],
            "SenderFault": False,
            "Code": rng.choice(("InternalError", "ServiceUnavailable")),
            "Message": "Please try again.",
        }
        for entry in entries[:number]
    ]
    asked["Entries"] = entries[number:]

    def finish(answer: Message | None) -> Message:
        if answer is None:
            return _sqs_answer({"Successful": [], "Failed": failed})
        found = json.loads(answer.body)
        found["Failed"] = [*(found.get("Failed") or []), *failed]
        return answer.with_body(_dump(found))

    return Tampered(_changed(request, asked) if asked["Entries"] else None, finish)


def _leave_one_out(request: Message, rng: random.Random) -> Tampered:
    """Say nothing of one entry, which was done or was not."""
    asked = json.loads(request.body)
    silent = rng.choice(asked["Entries"])["Id"]
    if rng.random() < 0.5:
        asked["Entries"] = [entry for entry in asked["Entries"] if entry["Id"] != silent]

    def finish(answer: Message | None) -> Message:
        if answer is None:
            return _sqs_answer({"Successful": [], "Failed": []})
        found = json.loads(answer.body)
        for verdict in ("Successful", "Failed"):
            found[verdict] = [each for each in found.get(verdict) or [] if each["Id"] != silent]
        return answer.with_body(_dump(found))

    return Tampered(_changed(request, asked) if asked["Entries"] else None, finish)


def _action(request: Message) -> str:
    return request.header("x-amz-target").rpartition(".")[2]


def _changed(request: Message, asked: dict[str, Any]) -> Message:
    return request.with_body(_dump(asked))


def _sqs_answer(document: dict[str, Any]) -> Message:
    return Message.answer(200, "OK", _dump(document), Content_Type="application/x-amz-json-1.0")
