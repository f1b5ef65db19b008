"""Kombu's SQS transport, changed so that no message is lost or silently fails.

1. A message that cannot be decoded is delivered and marked as such. Kombu 5.7.0 raises out of
   `drain_events` for several kinds of foreign body, and the other messages of that receive would be
   stuck until their visibility timeout.
2. The client reports refused deletes and unconfirmed sends (`cpsite/queue/client.py`).
3. A compressed envelope is never expanded: cpsite does not publish any, and 1 KB of it may hold a
   gigabyte.
4. Closing a channel does not requeue messages. Kombu would make one call for each message, with a
   delay for each, and pickle what fails to a temporary file. The consumer releases its messages
   itself.

Two of the overrides are documented: `new_sqs_client` (Kombu checks for overrides of it) and
`do_restore`. `_message_to_python` is not documented, which is why Kombu is pinned and
`tests/cpsite/queue/test_kombu_contract.py` exists.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from botocore.config import Config
from kombu.asynchronous.aws.sqs.message import AsyncMessage
from kombu.message import Message as KombuMessage
from kombu.transport import SQS

from cpsite.queue import sqs_calls
from cpsite.queue.client import Client

#: A Kombu header. Its value is the reason why the message's envelope could not be read.
UNDECODABLE_HEADER = "cpsite-undecodable"


#: The transport option that holds SendOptions.
SEND_OPTIONS: Final = "cpsite_send_options"


class CompressedEnvelope(Exception):
    """An envelope that declares a compression."""


class Channel(SQS.Channel):
    do_restore = False

    #: Most messages that the next receive may return. SQS returns up to 10.
    receive_limit = SQS.SQS_MAX_MESSAGES

    def new_sqs_client(self, *_args: Any, **_kwargs: Any) -> Client:
        # Kombu would create a new session for each client (cpsite/aws.py has one for all).
        options = self.connection.client.transport_options
        made = sqs_calls.new_client(Config(**options.get("client-config", {})))
        return Client(made, options.get(SEND_OPTIONS))

    def read(self, sqs_message: Mapping[str, Any]) -> KombuMessage:
        """Return a message from SQS as a consumer would get it. Makes no calls."""
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
            # An acknowledgement fails if the envelope names another queue or exchange.
            if (payload.get("headers") or {}).get("compression") is not None:
                # Before Kombu builds its message, which would expand the body.
                raise CompressedEnvelope  # noqa: TRY301 - handled as any other foreign body
            payload["properties"]["delivery_info"] |= {"exchange": "", "routing_key": queue_name}
            # Only we may set this header: untrusted text in it would end up in the log.
            (payload.get("headers") or {}).pop(UNDECODABLE_HEADER, None)
            self._try_to_build(payload)
        except Exception as exc:  # noqa: BLE001 - foreign bytes can raise anything
            return _undecodable(message, queue_name, q_url, reason=type(exc).__name__)
        return dict(payload)

    def _try_to_build(self, payload: dict[str, Any]) -> None:
        """Raise now what Kombu would raise later, when it would break the whole receive."""
        trial = self.Message(payload, channel=self)  # type: ignore[no-untyped-call]
        if trial.errors:  # such as an encoding that Python does not know
            raise cast("Exception", trial.errors[0][1])


class Transport(SQS.Transport):
    Channel = Channel


def _undecodable(
    message: dict[str, Any], queue_name: str, q_url: str, *, reason: str
) -> dict[str, Any]:
    """Return an envelope in which Kombu can deliver a message that could not be read."""
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
