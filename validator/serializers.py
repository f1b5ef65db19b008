"""The serializer of a request: the token, and the data of a contract."""

from functools import cache
from typing import Any, cast

from django.utils.functional import cached_property
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from validator import advice
from validator.authentication import client_of_envelope
from validator.contracts import Contract
from validator.fields import Exact


class EnvelopeSerializer(Exact):
    """`{"token": "…", "data": {…}}`. The token is optional if a header has one.

    `envelope_of` adds `data`.

    `context["bearer_client"]` is the client that owns the header's token, or empty;
    `context["environ"]` is the request's WSGI environment, for the text of a refusal. The token is
    checked before the data, so that an unauthenticated caller learns nothing about the contract.
    """

    token = serializers.CharField(
        required=False, allow_null=True, help_text="Or as `Authorization: Bearer …`."
    )

    @cached_property
    def client(self) -> str:
        """The client that owns the token. Raises the errors of `client_of_envelope`."""
        return client_of_envelope(
            self.initial_data,
            bearer_client=self.context.get("bearer_client", ""),
            environ=self.context.get("environ"),
        )

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        client = self.client
        if not data:
            raise ValidationError({"data": [advice.ON_NO_DATA]}, "required")
        contract = {name: value for name, value in data.items() if name != "token"}
        return {"client": client, **super().to_internal_value(contract)}

    def on_unknown(self, name: str) -> str:
        return advice.on_unknown_beside_data(name, cast("Exact", self.fields["data"]).fields)


@cache
def envelope_of(contract: type[Contract]) -> type[EnvelopeSerializer]:
    """Return the serializer of a request whose data is of `contract`."""
    return type(f"{contract.__name__}Envelope", (EnvelopeSerializer,), {"data": contract()})
