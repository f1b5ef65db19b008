"""The schemas that operations share, and helpers to build them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.conf import settings

from cpsite.audit.history import Status
from cpsite.message import FIELD_NAMES
from validator import exceptions
from validator.exceptions import FIELD_CODES

Schema = dict[str, Any]


#: White space by Python's `str.isspace`, for a character class of a regular expression.
SPACE: Final = r"\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


#: Pattern of a text that is not blank and contains no NUL.
TEXT: Final = rf"^[^\u0000]*[^\u0000{SPACE}][^\u0000]*$"


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
                "fields": {"type": "array", "items": one_of(FIELD_NAMES)},
                "max_field_length": {"type": "integer"},
                "max_body_bytes": {"type": "integer"},
            }
        ),
        "Live": object_of({"status": one_of(["ok"])}),
        "Ready": object_of({"status": one_of(["ok", "degraded"]), "checks": probes}),
        "Unavailable": object_of({"status": one_of(["unavailable"]), "checks": probes}),
    }


def _message_schemas() -> Schema:
    text = {
        **STRING,
        "description": "Not blank. Stored unchanged.",
        "minLength": 1,
        "maxLength": settings.MAX_FIELD_LENGTH,
        "pattern": TEXT,
    }
    token = {**STRING, "description": "Required unless it is sent as `Authorization: Bearer …`."}
    wrong = object_of({"code": one_of(FIELD_CODES), "detail": STRING})
    return {
        "Envelope": object_of({"data": ref("schemas", "Data")}, token=token),
        "Data": object_of(dict.fromkeys(FIELD_NAMES, text)),
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
                    **one_of(Status),
                    "description": "`failed`: the last attempt to store it failed. It will be "
                    "retried, or it is in the dead-letter queue.",
                },
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
