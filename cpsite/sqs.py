"""Kombu's SQS transport with the things changed that our promises need.

1. A message that cannot be decoded is delivered, marked as such, instead of breaking the receive
   it came in and stranding its neighbours (kombu 5.7.0 raises out of `drain_events` for several
   kinds of foreign body).
2. A delete that SQS refused is an error for the caller. Kombu's `basic_ack` swallows every
   ClientError but AccessDenied, so a failed delete would look like a success.
3. A send counts only when the answer holds the checksum of what was sent. Kombu ignores answers.
4. Closing a channel does not requeue: that is one call a message, with a delay of its own, and
   what fails is pickled to a temporary file. Who consumes releases its messages itself.

They hang on documented seams where there is one: `new_sqs_client` (Kombu checks for
overrides of it) and `do_restore`. `_message_to_python` is not documented, which is why Kombu is
pinned and `tests/cpsite/test_kombu_contract.py` exists.
"""

import hashlib
from typing import Any, Final, cast

from botocore.exceptions import ClientError
from kombu.transport import SQS

#: A kombu header: its value is the reason why the message's envelope could not be read.
UNDECODABLE_HEADER = "cpsite-undecodable"


#: Bytes of the longest message SQS takes (AWS: "Amazon SQS message quotas", 1 MiB since 2025).
MESSAGE_BYTES: Final = 1_048_576


class QueueRefused(Exception):
    """SQS refused a change to one message. `code` is AWS's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class DeleteFailed(QueueRefused):
    """A message was not deleted, so it will be delivered again."""


class ReleaseFailed(QueueRefused):
    """A message was not released, so it comes back after the queue's visibility timeout."""


class MessageTooLong(Exception):
    """A message is longer on the wire than SQS takes."""


class SendUnconfirmed(Exception):
    """Something answered a send with success, but not as SQS does: it may not be SQS."""


class Client:
    """The boto3 SQS client as Kombu's channel sees it: the seam for all calls to SQS."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def send_message(self, *, MessageBody: str, **kwargs: Any) -> None:  # noqa: N803 - boto3's name
        """Send one message; return when SQS has confirmed that very body.

        Raises MessageTooLong, SendUnconfirmed, ClientError or BotoCoreError.
        """
        body = MessageBody.encode()
        if len(body) > MESSAGE_BYTES:
            raise MessageTooLong
        answer = self._client.send_message(MessageBody=MessageBody, **kwargs)
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        if not answer.get("MessageId") or answer.get("MD5OfMessageBody") != digest:
            raise SendUnconfirmed

    def delete_message(self, **kwargs: str) -> None:
        """Delete one message. Raises DeleteFailed, which `basic_ack` lets through."""
        try:
            self._client.delete_message(**kwargs)
        except ClientError as exc:
            raise DeleteFailed(exc.response["Error"]["Code"]) from exc


class Channel(SQS.Channel):
    do_restore = False

    #: Longest batch that the next receive may bring; SQS gives up to 10.
    receive_limit = SQS.SQS_MAX_MESSAGES

    def new_sqs_client(self, *args: Any, **kwargs: Any) -> Client:
        return Client(super().new_sqs_client(*args, **kwargs))  # type: ignore[no-untyped-call]

    def _get_message_estimate(self, max_if_unlimited: int = SQS.SQS_MAX_MESSAGES) -> int:
        return min(self.receive_limit, max_if_unlimited)

    def _message_to_python(
        self, message: dict[str, Any], queue_name: str, q_url: str
    ) -> dict[str, Any]:
        try:
            payload = super()._message_to_python(message, queue_name, q_url)  # type: ignore[no-untyped-call]
            # An envelope of another queue or exchange would be unknown when it is acked.
            payload["properties"]["delivery_info"] |= {"exchange": "", "routing_key": queue_name}
            self._try_to_build(payload)
        except Exception as exc:  # noqa: BLE001 - anything a stranger's bytes can provoke
            return _undecodable(message, queue_name, q_url, reason=type(exc).__name__)
        return dict(payload)

    def _try_to_build(self, payload: dict[str, Any]) -> None:
        """Raise what Kombu would raise later, when neighbours could no longer be told apart."""
        trial = self.Message(payload, channel=self)  # type: ignore[no-untyped-call]
        if trial.errors:  # such as an unknown compression
            raise cast("Exception", trial.errors[0][1])


class Transport(SQS.Transport):
    Channel = Channel


def _undecodable(
    message: dict[str, Any], queue_name: str, q_url: str, *, reason: str
) -> dict[str, Any]:
    """Wrap what could not be read in an envelope that can be delivered and left alone."""
    return {
        "body": "",
        "content-type": "application/octet-stream",
        "content-encoding": "utf-8",
        "headers": {UNDECODABLE_HEADER: reason},
        "properties": {
            "body_encoding": "utf-8",
            "delivery_tag": message["ReceiptHandle"],
            "delivery_info": {
                "exchange": "",
                "routing_key": queue_name,
                "sqs_message": message,
                "sqs_queue": q_url,
            },
        },
    }
