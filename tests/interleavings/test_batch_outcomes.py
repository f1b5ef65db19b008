"""What SQS may answer to a batch call (cpsite/queue/batch.py and client.py), all of it.

Not an order of events but an enumeration: each entry of two is confirmed, confirmed with another
body's checksum, refused for good, refused for now, or not mentioned, and so again when it is tried
once more; and the second call may fail as a whole.

What must hold: a send succeeds only if the last answer that mentions it confirms its own body; an
entry is tried again only if SQS blamed itself, and never more than once.
"""

import hashlib
import itertools

import pytest
from botocore.exceptions import EndpointConnectionError

from cpsite.aws import QueueRefused
from cpsite.queue.client import Client, SendUnconfirmed, _Send

ANSWERS = ("confirmed", "another checksum", "refused for good", "refused for now", "not mentioned")
BODIES = ("one", "two")


class Sqs:
    """Answers each batch call as the plan of that call says; None fails the call."""

    def __init__(self, *plans):
        self.plans = list(plans)
        self.tried = []

    def send_message_batch(self, *, QueueUrl, Entries):  # noqa: N803 - boto3's names
        plan = self.plans.pop(0)
        self.tried.append([entry["MessageBody"] for entry in Entries])
        if plan is None:
            raise EndpointConnectionError(endpoint_url="http://sqs")
        answer = {"Successful": [], "Failed": []}
        for entry in Entries:
            kind, body = plan[BODIES.index(entry["MessageBody"])], entry["MessageBody"]
            if kind in {"confirmed", "another checksum"}:
                told = body if kind == "confirmed" else "other"
                digest = hashlib.md5(told.encode(), usedforsecurity=False).hexdigest()
                receipt = {"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": digest}
                answer["Successful"].append(receipt)
            elif kind.startswith("refused"):
                fault = kind == "refused for good"
                answer["Failed"].append({"Id": entry["Id"], "Code": "C", "SenderFault": fault})
        return answer


FIRST = list(itertools.product(ANSWERS, repeat=2))


@pytest.mark.parametrize("first", FIRST, ids=" and ".join)
def test_each_send_gets_the_outcome_that_sqs_gave_it(first):
    for second in [*FIRST, None]:
        sqs = Sqs(first, second)
        sends = [_Send({"QueueUrl": "q", "MessageBody": body}, float("inf")) for body in BODIES]
        outcomes = Client(sqs)._send_batch(sends)
        again = [
            body for body, kind in zip(BODIES, first, strict=True) if kind == "refused for now"
        ]
        assert sqs.tried == [list(BODIES), *([again] if again else [])]
        for number, (body, outcome) in enumerate(zip(BODIES, outcomes, strict=True)):
            last = first[number]
            if body in again and second is not None and second[number] != "not mentioned":
                last = second[number]
            expected = {
                "confirmed": type(None),
                "another checksum": SendUnconfirmed,
                "not mentioned": SendUnconfirmed,
            }.get(last, QueueRefused)
            assert type(outcome) is expected, (first, second, body)
