"""The serializers of the contract: what a request must contain to become a message."""

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from django.conf import settings
from django.utils.functional import cached_property
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.utils.serializer_helpers import BindingDict
from rest_framework.validators import ProhibitSurrogateCharactersValidator

from cpsite.message import FIELD_NAMES
from validator.authentication import client_of_envelope

#: Most unknown fields that an answer names, because a body may contain tens of thousands.
NAMED_UNKNOWN_FIELDS = 5


class StrictTextField(serializers.CharField):
    """A text, unchanged: numbers are not converted, and white space is kept."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)
        # It checks each character in Python. `to_internal_value` encodes the text, which is
        # faster.
        self.validators = [
            validator
            for validator in self.validators
            if not isinstance(validator, ProhibitSurrogateCharactersValidator)
        ]

    def run_validation(self, data: Any = serializers.empty) -> str | None:
        if isinstance(data, str) and not data.strip():
            self.fail("blank")
        return cast("str | None", super().run_validation(data))

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if not data.isascii():
            try:
                data.encode()
            except UnicodeEncodeError:
                ProhibitSurrogateCharactersValidator()(data)
        return data


class ExactSerializer(serializers.Serializer[Any]):
    """Refuses undeclared fields, which DRF would ignore.

    Its fields are created once per process. DRF would copy them for each request, which would be a
    fifth of the work of `POST /`. They keep nothing of a request.
    """

    @cached_property
    def fields(self) -> BindingDict:
        return _fields_of(type(self), settings.MAX_FIELD_LENGTH)

    def to_internal_value(self, data: Any) -> Any:
        errors = _unknown_fields(data, self.fields) if isinstance(data, Mapping) else {}
        try:
            value = super().to_internal_value(data)
        except ValidationError as exc:
            raise ValidationError(cast("dict[str, Any]", exc.detail) | errors) from exc
        if errors:
            raise ValidationError(errors)
        return value


@cache
def _fields_of(kind: type[ExactSerializer], _max_field_length: int) -> BindingDict:
    """Return the fields of a serializer class, bound to an instance used for nothing else."""
    fields = BindingDict(kind())
    for name, field in kind().get_fields().items():
        fields[name] = field
    return fields


def _unknown_fields(
    data: Mapping[str, object], known: Mapping[str, object]
) -> dict[str, list[ErrorDetail]]:
    names = [name for name in data if name not in known][:NAMED_UNKNOWN_FIELDS]
    return {name: [ErrorDetail("This field is not known.", code="unknown")] for name in names}


class DataSerializer(ExactSerializer):
    """The contract: exactly `FIELD_NAMES`, each a non-blank text of bounded length."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {name: StrictTextField(max_length=settings.MAX_FIELD_LENGTH) for name in FIELD_NAMES}


class EnvelopeSerializer(ExactSerializer):
    """`{"token": "…", "data": {…}}`. The token is optional if a header has one.

    `context["bearer_client"]` is the client that owns the header's token, or empty. The token is
    checked before the data, so that an unauthenticated caller learns nothing about the contract.
    """

    token = serializers.CharField(required=False, help_text="Or as `Authorization: Bearer …`.")
    data = DataSerializer()  # type: ignore[assignment] # the contract's name for it

    @cached_property
    def client(self) -> str:
        """The client that owns the token. Raises the errors of `client_of_envelope`."""
        return client_of_envelope(
            self.initial_data, bearer_client=self.context.get("bearer_client", "")
        )

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        client = self.client
        contract = {name: value for name, value in data.items() if name != "token"}
        return {"client": client, **super().to_internal_value(contract)}
