"""`POST /`, and the path of each further contract: accepts messages."""

import json
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from prometheus_client import Counter
from rest_framework.exceptions import ParseError, Throttled
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.status import HTTP_202_ACCEPTED
from rest_framework.views import APIView

from cpsite import json_text
from cpsite.message import CONTENT_TYPE, Message
from cpsite.web.client_address import source_ip
from validator import accounting, idempotency, metrics, tokens
from validator.authentication import IN_HEADER, bearer_token, client_of, client_of_refused
from validator.contracts import Served
from validator.exceptions import NEVER_SENT, ContractNotAllowed
from validator.faults import fields_at_fault
from validator.parsers import StrictJSONParser, check_headers, has_body
from validator.publisher import publish_message
from validator.serializers import envelope_of
from validator.throttling import ClientThrottle, demand, limit_unauthenticated

#: Default Accept headers of curl, HTTP libraries and SDKs.
PLAIN_ACCEPT: Final = {"", "*/*", "application/json", "application/json, text/plain, */*"}

#: Header of a 202 whose message was queued by an earlier request with the same key.
REPEATED: Final = {"Idempotent-Replayed": "true"}


#: Kept, because json.dumps makes a new encoder for each call with options.
_write: Final = json.JSONEncoder(separators=(",", ":")).encode


def _parse(request: Request | HttpRequest) -> Any:
    if not int(request.META["CONTENT_LENGTH"]):
        return {}  # as DRF does
    return StrictJSONParser().parse(request, parser_context={"request": request})


def _receipt(message: Message) -> dict[str, str]:
    return {"message_id": str(message.message_id), "status": "queued"}


class MessageView(APIView):
    """Accepts a message for the data lake.

    POST a JSON object with `token` and `data`. The token may be sent in a header instead
    (Authorization: Bearer …). `data` has exactly the fields of the path's contract.

    The answer 202 means that the message is safely queued and will be stored.
    """

    #: The contract of the path (`view_of`).
    contract: Served
    #: How many of its requests ended how; from `view_of`, because a label's lookup is slow.
    counters: Mapping[str, Counter]
    #: Name of the client, set once its token is known.
    client = ""
    #: Set before the message is published. Even if that fails, SQS may have the message.
    message_id: UUID | None = None

    http_method_names = ["get", "head", "post"]
    page = "validator/send.html"

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        self.started = time.perf_counter()
        super().initial(request, *args, **kwargs)

    def get(self, request: Request) -> Response:
        """Describe the service. A body is refused: it may be a message."""
        if has_body(request):
            raise ParseError("GET takes no body. Send a message with POST.", "bad_request")
        return Response(
            {
                "service": "cpsite",
                "send": f"POST {self.contract.path} with a JSON object of token and data",
                "contract": self.contract.name,
                "fields": list(self.contract.fields),
                # A text, because a number of JSON would lose digits on its way.
                "example": json_text.write(self.contract.example),
                "max_field_length": settings.MAX_FIELD_LENGTH,
                "max_body_bytes": settings.MAX_BODY_BYTES,
            }
        )

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Serve a program's POST without DRF's request handling, and everything else with it."""
        if request.method == "POST" and request.META.get("HTTP_ACCEPT", "") in PLAIN_ACCEPT:
            return self._post_plain(request)
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response

    def post(self, request: Request) -> Response:
        """Accept one message: 202 once SQS has confirmed it."""
        # Not `request.data`: DRF would hold the parsed body until the answer.
        message, headers = self._accept(request, lambda: _parse(request))
        return Response(_receipt(message), status=HTTP_202_ACCEPTED, headers=headers)

    def _post_plain(self, request: HttpRequest) -> HttpResponseBase:
        """Do the same as `post` for a caller that accepts JSON, without DRF's request handling.

        DRF's request, content negotiation and response support any media type, and took a fifth
        of the work of a request.
        """
        self.args, self.kwargs, self.headers = (), {}, {}
        self.request = request  # type: ignore[assignment] # both have all that is used here
        self.started = time.perf_counter()
        try:
            message, headers = self._accept(request, lambda: _parse(request))
        except Exception as exc:  # noqa: BLE001 - as DRF does: an unexpected one is a 500
            return self._plain_error(exc)
        response = HttpResponse(
            _write(_receipt(message)),
            status=HTTP_202_ACCEPTED,
            content_type=CONTENT_TYPE,
            headers=headers,
        )
        response["Vary"] = "Accept"
        return response

    def _plain_error(self, exc: Exception) -> Response:
        response: Response = self.handle_exception(exc)
        response.accepted_renderer = JSONRenderer()
        response.accepted_media_type = CONTENT_TYPE
        response.renderer_context = {}  # type: ignore[attr-defined] # DRF sets it, too
        response["Vary"] = "Accept"
        return response

    def _accept(
        self, request: Request | HttpRequest, read: Callable[[], Any]
    ) -> tuple[Message, dict[str, str]]:
        """Publish the message of a request; return the message and the headers of the answer.

        `read` parses the body. Raises the APIException of a refusal.
        """
        check_headers(request)
        token = bearer_token(request)
        if token is not None:
            self._is_of(client_of(token, IN_HEADER))
        body = read()
        serializer = envelope_of(self.contract.data)(
            data=body, context={"bearer_client": self.client, "environ": request.META}
        )
        self._is_of(serializer.client)
        key = idempotency.read_key(request.META.get("HTTP_IDEMPOTENCY_KEY"))
        serializer.is_valid(raise_exception=True)
        # A repeat of a key may be written otherwise, and must publish the same bytes.
        text = body.text_of("data") if key is None else json_text.canonical(body["data"])
        message = Message.accept(
            client=self.client, data_text=text, contract=self.contract.name_in_message
        )
        # They hold the body several times, and SQS may take its time.
        del body, serializer, text
        if key is None:
            self._publish(message)
            return message, {}
        return self._publish_once(idempotency.claim(key, message))

    def _is_of(self, client: str) -> None:
        """Note whose request this is, once, and count it. Raises Throttled, ContractNotAllowed.

        It counts before anything else is looked at, so a refused request counts, too.
        """
        if not self.client:
            self.client = client
            demand(ClientThrottle(), self.request, self)
            allowed = tokens.contracts_of(client)
            if allowed is not None and self.contract.name not in allowed:
                raise ContractNotAllowed(allowed)

    def _publish(self, message: Message) -> None:
        self.message_id = message.message_id
        body = message.encode()
        publish_message(body)
        accounting.accepted(
            message,
            body,
            source_ip=source_ip(self.request),
            duration_ms=self._duration_ms(),
        )
        self._count("accepted")

    def _publish_once(self, claim: idempotency.Claim) -> tuple[Message, dict[str, str]]:
        """Publish the message of a claim, unless SQS already has it."""
        if claim.is_repeat:
            accounting.repeated(claim.message, duration_ms=self._duration_ms())
            self._count("repeated")
            return claim.message, REPEATED
        try:
            self._publish(claim.message)
        except NEVER_SENT:
            claim.free()
            raise
        except Exception:
            claim.release()
            raise
        claim.confirm()
        return claim.message, {}

    def handle_exception(self, exc: Exception) -> Response:
        if self.request.method == "POST":
            exc = exc if self.client else self._limited(exc)
            accounting.refused(
                exc,
                client=self.client,
                source_ip=source_ip(self.request),
                duration_ms=self._duration_ms(),
                message_id=self.message_id,
                contract=self.contract.name_in_message,
                fields_at_fault=fields_at_fault(exc, self.contract.data),
            )
            self._count("refused")
        return super().handle_exception(exc)

    def _limited(self, exc: Exception) -> Exception:
        """Return `exc`, or Throttled, for a request whose token was not looked at or is none.

        Of a request that was refused by its head it notes the client, for whom it counts.
        """
        self.client = client_of_refused(self.request, exc)
        if not self.client:
            return limit_unauthenticated(exc, self.request)
        try:
            demand(ClientThrottle(), self.request, self)
        except Throttled as throttled:
            return throttled
        return exc

    def _count(self, result: str) -> None:
        self.counters[result].inc()

    def _duration_ms(self) -> int:
        return round((time.perf_counter() - self.started) * 1000)


@cache
def view_of(contract: Served) -> type[MessageView]:
    """Return the view that takes the messages of a contract, whose counters it sets to 0."""
    counters = {
        result: metrics.contract_messages_total.labels(contract.name, result)
        for result in ("accepted", "repeated", "refused")
    }
    return type(
        f"{contract.data.__name__}View",
        (MessageView,),
        {"contract": contract, "counters": counters},
    )
