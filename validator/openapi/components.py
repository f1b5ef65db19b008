"""The schemas that operations share, and helpers to build them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from cpsite.audit.history import Status
from validator import exceptions
from validator.contracts import Served, contracts
from validator.exceptions import FIELD_CODES
from validator.openapi.fields import schema_of_data

Schema = dict[str, Any]


STRING: Final = {"type": "string"}


MOMENT: Final = {"type": ["string", "null"], "format": "date-time"}


def ref(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def object_of(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def one_of(texts: Iterable[str]) -> Schema:
    return {**STRING, "enum": list(texts)}


def error_of(codes: Iterable[str]) -> Schema:
    return object_of({"code": one_of(codes), "detail": STRING})


def schemas() -> Schema:
    probes = {"type": "object", "additionalProperties": one_of(["ok", "unavailable"])}
    return {
        **_message_schemas(),
        "Service": object_of(
            {
                "service": {**STRING, "const": "cpsite"},
                "send": STRING,
                "contract": one_of(contract.name for contract in contracts()),
                "fields": {"type": "array", "items": _field_names()},
                "example": {**STRING, "description": "A valid `data`, as JSON."},
                "max_field_length": {"type": "integer"},
                "max_body_bytes": {"type": "integer"},
            }
        ),
        "Live": object_of({"status": one_of(["ok"])}),
        "Ready": object_of({"status": one_of(["ok", "degraded"]), "checks": probes}),
        "Unavailable": object_of({"status": one_of(["unavailable"]), "checks": probes}),
    }


def _field_names() -> Schema:
    return one_of(dict.fromkeys(name for contract in contracts() for name in contract.fields))


def envelope_name(contract: Served) -> str:
    """Return the name of the schema of a request: that of the default contract never changes."""
    return "Envelope" if contract.is_default else f"envelope_of_{contract.name}"


def _data_name(contract: Served) -> str:
    return "Data" if contract.is_default else f"data_of_{contract.name}"


def _message_schemas() -> Schema:
    token = {
        "type": ["string", "null"],
        "description": "Required unless it is sent as `Authorization: Bearer …`. null is as none.",
    }
    possible = set().union(*(contract.codes() for contract in contracts()))
    codes = [code for code in FIELD_CODES if code in possible]
    wrong = object_of({"code": one_of(codes), "detail": STRING})
    return {
        **{
            envelope_name(contract): object_of(
                {"data": ref("schemas", _data_name(contract))}, token=token
            )
            for contract in contracts()
        },
        **{_data_name(contract): schema_of_data(contract.data()) for contract in contracts()},
        "Receipt": object_of(
            {
                "message_id": {**STRING, "format": "uuid"},
                "status": {**STRING, "const": "queued"},
            }
        ),
        "MessageStatus": object_of(
            {
                "message_id": {**STRING, "format": "uuid"},
                "status": {
                    # Without a record of messages the answer is another one (501).
                    **one_of(status for status in Status if status != Status.UNKNOWN),
                    "description": "By the audit log. `queued`: SQS has it, and no event says "
                    "that it is stored or that an attempt failed; such an event may be lost. "
                    "`failed`: the last attempt to store it failed. It will be retried, or it is "
                    "in the dead-letter queue, or was discarded there.",
                },
                "contract": {**STRING, "description": "The name of its contract."},
                "accepted_at": MOMENT,
                "stored_at": MOMENT,
                "object_key": {"type": ["string", "null"]},
            }
        ),
        "ContractBroken": object_of(
            {
                "code": {**STRING, "const": exceptions.CONTRACT_BROKEN},
                "detail": STRING,
                "errors": {
                    "type": "object",
                    "description": "Errors by field name, such as `data.field4`.",
                    "minProperties": 1,
                    "additionalProperties": {"type": "array", "minItems": 1, "items": wrong},
                },
            }
        ),
    }
