"""The SQS client that Kombu's channel uses: each send and each delete has its own outcome.

1. A delete that SQS refuses raises for the caller. Kombu's `basic_ack` swallows every ClientError
   but AccessDenied, so a failed delete would look like a success.
2. A send succeeds only if SQS's answer holds the checksum of its body. Kombu ignores answers.
3. Concurrent sends share one SendMessageBatch, which costs a tenth of the calls and of the work
   (docs/adr/0006).
"""

import copy
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from cpsite.aws import QueueRefused
from cpsite.queue import batch
from cpsite.queue.batch import BATCH_ENTRIES
from cpsite.queue.group_commit import GroupCommit, NotSent

#: Bytes of the longest message SQS takes (AWS: "Amazon SQS message quotas", 1 MiB since 2025).
MESSAGE_BYTES: Final = 1_048_576


class DeleteFailed(QueueRefused):
    """A message was not deleted, so it will be delivered again."""


class MessageTooLong(Exception):
    """A message is longer on the wire than SQS allows."""


class SendUnconfirmed(Exception):
    """A send was answered with success, but without SQS's receipt: it may not have been SQS."""


class SendFailed(Exception):
    """A batch failed with an exception that could not be copied. The text is its class name."""


@dataclass(frozen=True)
class SendOptions:
    """How sends share batches: the value of the transport option SEND_OPTIONS.

    One call to SQS ends within `call_seconds`, including botocore's retries. One send ends within
    `send_seconds`, including the wait for its turn. `observe_batch` is called with the size of each
    batch.
    """

    send_seconds: float = 90.0
    call_seconds: float = 60.0
    observe_batch: Callable[[int], object] = lambda _size: None


@dataclass(frozen=True, slots=True)
class _Send:
    """One `send_message` call and its deadline (monotonic clock)."""

    arguments: dict[str, Any]
    deadline: float

    @property
    def body(self) -> bytes:
        return str(self.arguments["MessageBody"]).encode()


class Client:
    """Wraps the SQS client of a Kombu channel (`sqs_calls.py`). All calls to SQS go through it.

    Kombu creates one for each queue. Threads share it; a forked process must not.
    """

    def __init__(self, client: Any, options: SendOptions | None = None) -> None:
        self._client = client
        self._options = options or SendOptions()
        #: Arguments that every receive gets.
        self.receive_options: dict[str, Any] = {}
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
        """Send one message; return when SQS has confirmed its checksum.

        Raises MessageTooLong, SendUnconfirmed, NotSent, QueueRefused, ClientError or
        BotoCoreError.
        """
        size = len(arguments["MessageBody"].encode())
        if size > MESSAGE_BYTES:
            raise MessageTooLong
        deadline = time.monotonic() + self._options.send_seconds
        self._sends.submit(_Send(arguments, deadline), size)

    def _send_batch(self, sends: Sequence[_Send]) -> list[Exception | None]:
        """Send some messages; return the outcome of each."""
        self._options.observe_batch(len(sends))
        if len(sends) == 1:
            self._send_alone(sends[0])
            return [None]
        try:
            return self._send_together(sends)
        except ClientError as exc:
            if batch.blames_an_entry(exc):
                # All get their outcomes together, so the first deadline is everyone's.
                deadline = min(send.deadline for send in sends)
                return [self._try_alone(send, deadline) for send in sends]
            raise

    def _send_alone(self, send: _Send) -> None:
        confirm(send.body, self._client.send_message(**send.arguments))

    def _try_alone(self, send: _Send, deadline: float) -> Exception | None:
        if not self._is_time_for_a_call(deadline):
            return NotSent("no time was left to send it alone")
        try:
            self._send_alone(send)
        except Exception as exc:  # noqa: BLE001 - any error is the outcome of this message
            return exc
        return None

    def _send_together(self, sends: Sequence[_Send]) -> list[Exception | None]:
        entries = [dict(send.arguments) for send in sends]
        queue_url = {entry.pop("QueueUrl") for entry in entries}.pop()  # a client serves one queue
        results = batch.perform(
            lambda some: self._client.send_message_batch(QueueUrl=queue_url, Entries=some),
            entries,
            may_retry=lambda: self._is_time_for_a_call(min(send.deadline for send in sends)),
        )
        return [_outcome(send, result) for send, result in zip(sends, results, strict=True)]

    def _is_time_for_a_call(self, deadline: float) -> bool:
        return time.monotonic() + self._options.call_seconds <= deadline

    def receive_message(self, **arguments: Any) -> Any:
        return self._client.receive_message(**arguments, **self.receive_options)

    def delete_message(self, **arguments: str) -> None:
        """Delete one message. Raises DeleteFailed, which `basic_ack` does not swallow."""
        try:
            self._client.delete_message(**arguments)
        except ClientError as exc:
            raise DeleteFailed(exc.response["Error"]["Code"]) from exc

    def delete_messages(
        self, queue_url: str, receipt_handles: Sequence[str]
    ) -> list[Exception | None]:
        """Delete up to ten messages in one call; return the outcome of each.

        Raises ClientError or BotoCoreError when the whole call fails.
        """
        results = batch.perform(
            lambda some: self._client.delete_message_batch(QueueUrl=queue_url, Entries=some),
            [{"ReceiptHandle": handle} for handle in receipt_handles],
        )
        return [_refusal(result) for result in results]

    def change_visibility(
        self, queue_url: str, receipt_handles: Sequence[str], seconds: int
    ) -> list[Exception | None]:
        """Let SQS redeliver up to ten messages after `seconds`; return the outcome of each.

        Raises ClientError or BotoCoreError when the whole call fails.
        """
        results = batch.perform(
            lambda some: self._client.change_message_visibility_batch(
                QueueUrl=queue_url, Entries=some
            ),
            [{"ReceiptHandle": handle, "VisibilityTimeout": seconds} for handle in receipt_handles],
        )
        return [_refusal(result) for result in results]


def _refusal(result: dict[str, Any] | Exception) -> Exception | None:
    if isinstance(result, Exception):
        return result
    # An entry that SQS did not mention may not have been done.
    return None if result else QueueRefused("NotMentioned", sender_fault=False)


def _outcome(send: _Send, result: dict[str, Any] | Exception) -> Exception | None:
    if isinstance(result, Exception):
        return result
    try:
        confirm(send.body, result)
    except SendUnconfirmed as exc:
        return exc
    return None


def confirm(body: bytes, answer: Mapping[str, Any]) -> None:
    """Raise SendUnconfirmed unless `answer` has a message id and the checksum of `body`."""
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if not answer.get("MessageId") or answer.get("MD5OfMessageBody") != digest:
        raise SendUnconfirmed


def _copy(exc: Exception) -> Exception:
    """Return a copy of `exc`, without a traceback, for another thread to raise."""
    try:
        return copy.copy(exc)
    except Exception:  # noqa: BLE001 - a constructor that needs other arguments
        return SendFailed(type(exc).__name__)
