"""Kombu's SQS transport with the things changed that our promises need.

1. A message that cannot be decoded is delivered, marked as such, instead of breaking the receive
   it came in and stranding its neighbours (kombu 5.7.0 raises out of `drain_events` for several
   kinds of foreign body).
2. A delete that SQS refused is an error for the caller. Kombu's `basic_ack` swallows every
   ClientError but AccessDenied, so a failed delete would look like a success.
3. A send counts only when the answer holds the checksum of what was sent. Kombu ignores answers.
4. Sends of several threads at a time share one SendMessageBatch, which costs a tenth of the calls
   and of the work. Each has its own outcome (docs/adr/0006).
5. Closing a channel does not requeue: that is one call a message, with a delay of its own, and
   what fails is pickled to a temporary file. Who consumes releases its messages itself.

They hang on documented seams where there is one: `new_sqs_client` (Kombu checks for
overrides of it) and `do_restore`. `_message_to_python` is not documented, which is why Kombu is
pinned and `tests/cpsite/queue/test_kombu_contract.py` exists.
"""

import copy
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from botocore.config import Config
from botocore.exceptions import ClientError
from kombu.asynchronous.aws.sqs.message import AsyncMessage
from kombu.message import Message as KombuMessage
from kombu.transport import SQS

from cpsite import aws
from cpsite.queue import batch as sqs_batch
from cpsite.queue.batch import BATCH_ENTRIES, QueueRefused
from cpsite.queue.group_commit import GroupCommit, NotSent

#: A kombu header: its value is the reason why the message's envelope could not be read.
UNDECODABLE_HEADER = "cpsite-undecodable"


#: Bytes of the longest message SQS takes (AWS: "Amazon SQS message quotas", 1 MiB since 2025).
MESSAGE_BYTES: Final = 1_048_576


class DeleteFailed(QueueRefused):
    """A message was not deleted, so it will be delivered again."""


class MessageTooLong(Exception):
    """A message is longer on the wire than SQS takes."""


class SendUnconfirmed(Exception):
    """Something answered a send with success, but not as SQS does: it may not be SQS."""


class SendFailed(Exception):
    """A batch failed with an exception that could not be copied. Its text names the kind."""


@dataclass(frozen=True)
class SendOptions:
    """How sends share batches, as the transport option SEND_OPTIONS.

    One call to SQS ends within `call_seconds`, retries of botocore included, and one send, waiting
    for its turn included, within `send_seconds`. `observe_batch` is told the size of each batch.
    """

    send_seconds: float = 90.0
    call_seconds: float = 60.0
    observe_batch: Callable[[int], object] = lambda _size: None


#: The transport option that holds SendOptions.
SEND_OPTIONS: Final = "cpsite_send_options"


@dataclass(frozen=True, slots=True)
class _Send:
    """One `send_message` call, and when the patience of its caller ends (monotonic clock)."""

    arguments: dict[str, Any]
    deadline: float

    @property
    def body(self) -> bytes:
        return str(self.arguments["MessageBody"]).encode()


class Client:
    """The boto3 SQS client as Kombu's channel sees it: the seam for all calls to SQS.

    Kombu creates one for each queue. Its threads share it; a forked process must not.
    """

    def __init__(self, client: Any, options: SendOptions | None = None) -> None:
        self._client = client
        self._options = options or SendOptions()
        self._sends = GroupCommit(
            self._send_batch,
            copy_error=_copy,
            max_entries=BATCH_ENTRIES,
            max_size=MESSAGE_BYTES,
            max_wait_seconds=self._options.send_seconds - self._options.call_seconds,
            max_commit_seconds=self._options.send_seconds,
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def send_message(self, **arguments: Any) -> None:
        """Send one message; return when SQS has confirmed that very body.

        Raises MessageTooLong, SendUnconfirmed, NotSent, QueueRefused, ClientError or
        BotoCoreError.
        """
        size = len(arguments["MessageBody"].encode())
        if size > MESSAGE_BYTES:
            raise MessageTooLong
        deadline = time.monotonic() + self._options.send_seconds
        self._sends.submit(_Send(arguments, deadline), size)

    def _send_batch(self, sends: Sequence[_Send]) -> list[Exception | None]:
        """Send some messages; return each one's outcome."""
        self._options.observe_batch(len(sends))
        if len(sends) == 1:
            self._send_alone(sends[0])
            return [None]
        try:
            return self._send_together(sends)
        except ClientError as exc:
            if sqs_batch.blames_an_entry(exc):
                return [self._try_alone(send) for send in sends]
            raise

    def _send_alone(self, send: _Send) -> None:
        confirm(send.body, self._client.send_message(**send.arguments))

    def _try_alone(self, send: _Send) -> Exception | None:
        if not self._is_time_for_a_call(send):
            return NotSent("no time was left to send it alone")
        try:
            self._send_alone(send)
        except Exception as exc:  # noqa: BLE001 - it is this message's outcome, whatever it is
            return exc
        return None

    def _send_together(self, sends: Sequence[_Send]) -> list[Exception | None]:
        entries = [dict(send.arguments) for send in sends]
        queue_url = {entry.pop("QueueUrl") for entry in entries}.pop()  # a client serves one queue
        results = sqs_batch.perform(
            lambda some: self._client.send_message_batch(QueueUrl=queue_url, Entries=some),
            entries,
            may_retry=lambda: all(map(self._is_time_for_a_call, sends)),
        )
        return [_outcome(send, result) for send, result in zip(sends, results, strict=True)]

    def _is_time_for_a_call(self, send: _Send) -> bool:
        return time.monotonic() + self._options.call_seconds <= send.deadline

    def delete_message(self, **arguments: str) -> None:
        """Delete one message. Raises DeleteFailed, which `basic_ack` lets through."""
        try:
            self._client.delete_message(**arguments)
        except ClientError as exc:
            raise DeleteFailed(exc.response["Error"]["Code"]) from exc

    def delete_messages(
        self, queue_url: str, receipt_handles: Sequence[str]
    ) -> list[Exception | None]:
        """Delete up to ten messages by one call; return each one's outcome.

        Raises ClientError or BotoCoreError when there is none.
        """
        results = sqs_batch.perform(
            lambda some: self._client.delete_message_batch(QueueUrl=queue_url, Entries=some),
            [{"ReceiptHandle": handle} for handle in receipt_handles],
        )
        return [_refusal(result or DeleteFailed("NotMentioned")) for result in results]

    def change_visibility(
        self, queue_url: str, receipt_handles: Sequence[str], seconds: int
    ) -> list[Exception | None]:
        """Let SQS deliver up to ten messages again after `seconds`; return each one's outcome.

        Raises ClientError or BotoCoreError when there is none.
        """
        results = sqs_batch.perform(
            lambda some: self._client.change_message_visibility_batch(
                QueueUrl=queue_url, Entries=some
            ),
            [{"ReceiptHandle": handle, "VisibilityTimeout": seconds} for handle in receipt_handles],
        )
        return [_refusal(result) for result in results]


def _refusal(result: dict[str, Any] | Exception) -> Exception | None:
    return result if isinstance(result, Exception) else None


def _outcome(send: _Send, result: dict[str, Any] | Exception) -> Exception | None:
    if isinstance(result, Exception):
        return result
    try:
        confirm(send.body, result)
    except SendUnconfirmed as exc:
        return exc
    return None


def confirm(body: bytes, answer: Mapping[str, Any]) -> None:
    """Raise SendUnconfirmed unless `answer` is SQS's receipt for this very body."""
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if not answer.get("MessageId") or answer.get("MD5OfMessageBody") != digest:
        raise SendUnconfirmed


def _copy(exc: Exception) -> Exception:
    """Return an exception like `exc` for another thread, without a traceback yet."""
    try:
        return copy.copy(exc)
    except Exception:  # noqa: BLE001 - a class whose constructor wants something else
        return SendFailed(type(exc).__name__)


class Channel(SQS.Channel):
    do_restore = False

    #: Longest batch that the next receive may bring; SQS gives up to 10.
    receive_limit = SQS.SQS_MAX_MESSAGES

    def new_sqs_client(self, *_args: Any, **_kwargs: Any) -> Client:
        # Not Kombu's: that one has a session of its own for each client (cpsite/aws.py).
        options = self.connection.client.transport_options
        made = aws.client("sqs", config=Config(**options.get("client-config", {})))
        return Client(made, options.get(SEND_OPTIONS))

    def read(self, sqs_message: Mapping[str, Any]) -> KombuMessage:
        """Return what a consumer would be given for a message that SQS delivered; calls nothing."""
        body = AsyncMessage(body=sqs_message["Body"]).decode()
        payload = self._message_to_python({**sqs_message, "Body": body}, "", "")
        return self.Message(payload, channel=self)  # type: ignore[no-untyped-call]

    def _get_message_estimate(self, max_if_unlimited: int = SQS.SQS_MAX_MESSAGES) -> int:
        return min(self.receive_limit, max_if_unlimited)

    def _message_to_python(
        self, message: dict[str, Any], queue_name: str, q_url: str
    ) -> dict[str, Any]:
        try:
            payload = super()._message_to_python(message, queue_name, q_url)  # type: ignore[no-untyped-call]
            # An envelope of another queue or exchange would be unknown when it is acked.
            payload["properties"]["delivery_info"] |= {"exchange": "", "routing_key": queue_name}
            # Ours to say: a stranger's text under this name would end up in the log.
            (payload.get("headers") or {}).pop(UNDECODABLE_HEADER, None)
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
