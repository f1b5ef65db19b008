"""SQS's frequent calls: made by us while they succeed, by botocore once they do not.

botocore takes four times as long for a call as what it consists of: a body of JSON, a signature
and an HTTP exchange on a kept connection (docs/adr/0026). So the first attempt of a frequent call
is made here. If its outcome is no answer that can be read, botocore makes the call, and takes that
outcome for the one of its own first attempt. So errors and their codes, what is tried again and
after which pause are botocore's.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from http.client import HTTPMessage
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

from botocore import xform_name
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HTTPHeaders
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError
from botocore.utils import get_environ_proxies

from cpsite import aws
from cpsite.queue.http_pool import Answer, HttpPool
from cpsite.queue.signature import Signer

#: The capacity of botocore's quota for retries. A call that succeeds at once gives 1 back.
_RETRY_QUOTA: Final = 500

_EMPTY: Final = Answer(200, HTTPMessage(), b"")


#: The calls that are made here.
_FREQUENT: Final = (
    *("SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage", "DeleteMessageBatch"),
    *("ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "GetQueueAttributes"),
)


class Endpoint(NamedTuple):
    """Where boto3 sends its calls, and how."""

    url: str
    signer: Signer
    user_agent: str


def new_client(config: Config) -> Any:
    """Return a client of SQS. Makes no calls.

    It is boto3's own where boto3 would send through a proxy, or otherwise than SqsCalls does.
    """
    client = aws.client("sqs", config=config)
    endpoint = _endpoint(config)
    if endpoint is None or urlsplit(endpoint.url).scheme in get_environ_proxies(endpoint.url):
        return client
    return SqsCalls(client, endpoint)


class SqsCalls:
    """A client of SQS like boto3's `client`, but with frequent calls of its own.

    Threads share it; a forked process begins with connections of its own.
    """

    def __init__(self, client: Any, endpoint: Endpoint) -> None:
        self._client = client
        self._endpoint = endpoint
        config = client.meta.config
        self._pool = HttpPool(
            endpoint.url,
            trusted=aws.trusted_authorities(),
            connect_timeout=config.connect_timeout,
            read_timeout=config.read_timeout,
            kept=config.max_pool_connections,
        )
        self._first = _FirstAttempt()
        #: How many successful calls have to be reported to botocore's quota.
        self._owed = 0
        for action in _FREQUENT:
            setattr(self, xform_name(action), partial(self._call, action))
        # What a handler of this event returns or raises takes the place of botocore's own attempt.
        client.meta.events.register("before-send.sqs", self._attempt_of_botocore)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def _call(self, action: str, **arguments: Any) -> Any:
        """Return SQS's answer. Raises what boto3's client raises."""
        body = json.dumps(arguments).encode()
        credentials = aws.credentials().get_frozen_credentials()
        headers = self._endpoint.signer.headers(action, body, credentials)
        headers["user-agent"] = self._endpoint.user_agent
        outcome = self._attempt(body, headers)
        answer = _read(outcome)
        if answer is None:
            return self._have_botocore_go_on(action, arguments, outcome)
        if self._owed:
            self._owed -= 1
            self._report_success(action)
        return answer

    def _attempt(self, body: bytes, headers: Mapping[str, str]) -> Answer | BotoCoreError:
        try:
            return self._pool.post(body, headers)
        except BotoCoreError as exc:
            return exc

    def _have_botocore_go_on(
        self, action: str, arguments: dict[str, Any], outcome: Answer | BotoCoreError
    ) -> Any:
        self._owed = _RETRY_QUOTA
        self._first.outcome = outcome
        try:
            return getattr(self._client, xform_name(action))(**arguments)
        finally:
            self._first.outcome = None

    def _attempt_of_botocore(self, request: AWSPreparedRequest, **_event: Any) -> AWSResponse:
        outcome, self._first.outcome = self._first.outcome, None
        if outcome is None:
            headers = {name: _text(value) for name, value in request.headers.items()}
            outcome = self._attempt(cast("bytes", request.body), headers)
        if isinstance(outcome, BotoCoreError):
            raise outcome
        return _as_response(request.url, outcome)

    def _report_success(self, action: str) -> None:
        """Let botocore's quota for retries recover, as after a successful call of its own."""
        self._client.meta.events.emit(
            f"after-call.sqs.{action}",
            http_response=_as_response(self._endpoint.url, _EMPTY),
            parsed={},
            model=None,
            context={},
        )


class _FirstAttempt(threading.local):
    """The outcome of the call that a thread has botocore go on with."""

    outcome: Answer | BotoCoreError | None = None


class _Body(NamedTuple):
    """What botocore reads an answer from."""

    content: bytes

    def stream(self) -> Iterator[bytes]:
        yield self.content


def _as_response(url: str, answer: Answer) -> AWSResponse:
    headers = HTTPHeaders.from_dict(dict(answer.headers.items()))
    return AWSResponse(url, answer.status, headers, _Body(answer.body))


def _read(outcome: Answer | BotoCoreError) -> dict[str, Any] | None:
    """Return what botocore would return, or None if the outcome needs a closer look."""
    if isinstance(outcome, BotoCoreError) or outcome.status != 200:  # noqa: PLR2004
        return None
    try:
        # As in botocore, what is null is not there.
        without = _without_nulls if b"null" in outcome.body else None
        answer = json.loads(outcome.body.decode(), object_hook=without)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _without_nulls(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if value is not None}


def _endpoint(config: Config) -> Endpoint | None:
    """Return what boto3 says: it prepares a call, which is not sent. None if we would differ."""
    # To find real ones, botocore may make a request.
    nobody = ReadOnlyCredentials("none", "none", None)
    client = aws.client(
        "sqs",
        config=config,
        aws_access_key_id=nobody.access_key,
        aws_secret_access_key=nobody.secret_key,
    )
    prepared: list[AWSPreparedRequest] = []

    def keep(request: AWSPreparedRequest, **_event: Any) -> AWSResponse:
        prepared.append(request)
        return _as_response(request.url, _EMPTY)

    client.meta.events.register("before-send.sqs", keep)
    client.get_queue_attributes(QueueUrl="probe")
    request = prepared[0]
    theirs = {name.lower(): _text(value) for name, value in request.headers.items()}
    region = re.search(r"Credential=none/\d+/([^/]+)/sqs/", theirs.get("authorization", ""))
    signer = Signer(host=urlsplit(request.url).netloc.lower(), region=region[1] if region else "")
    body = cast("bytes", request.body)
    ours = signer.headers("GetQueueAttributes", body, nobody, moment=theirs.get("x-amz-date"))
    del ours["host"]  # http.client adds it for botocore
    is_as_ours = ours.items() <= theirs.items() and request.method == "POST"
    return Endpoint(request.url, signer, theirs["user-agent"]) if is_as_ours else None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
