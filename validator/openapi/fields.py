"""Contracts as JSON Schema (2020-12, as in OpenAPI 3.1)."""

import math
from typing import Any, Final, cast

from django.conf import settings

from validator.fields import (
    Boolean,
    Choice,
    DateTime,
    Decimal,
    Integer,
    Kind,
    List,
    Object,
    Text,
)

Schema = dict[str, Any]

#: White space by Python's `str.isspace`, for a character class of a regular expression: together
#: with more characters, and those that are too many. Generators write patterns into regular
#: expression literals of JavaScript, which can hold none of its line terminators (U+000A, U+000D,
#: U+2028, U+2029), so no range begins or ends with one.
SPACE_OR_MORE: Final = r"\u0000-\u0020\u0085\u00a0\u1680\u2000-\u205f\u3000"
NO_SPACE: Final = r"\u0001-\u0008\u000e-\u001b\u200b-\u2027\u202a-\u202e\u2030-\u205e"

#: Pattern of a text that is not blank and contains no NUL.
TEXT: Final = rf"^[^\u0000]*([^{SPACE_OR_MORE}]|[{NO_SPACE}])[^\u0000]*$"


def schema_of_data(data: Object) -> Schema:
    """Return the schema of an object's fields."""
    fields = cast("dict[str, Kind]", data.fields)
    return {
        "type": "object",
        "properties": {name: _schema_of(field) for name, field in fields.items()},
        "required": [name for name, field in fields.items() if field.required],
        "additionalProperties": False,
    }


def _schema_of(field: Kind) -> Schema:
    schema = _of_kind(field)
    about = str(field.help_text or "") or ("Not blank. Stored unchanged." * isinstance(field, Text))
    if about:
        # In the order of people: what it is, what it means, its bounds.
        schema = {"type": schema.pop("type"), "description": about, **schema}
    if field.allow_null:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return schema


def _of_kind(field: Kind) -> Schema:  # noqa: PLR0911 - one for each kind
    match field:
        case Text():
            return _text(field)
        case Integer():
            return {"type": "integer", **_bounds(field, min_value="minimum", max_value="maximum")}
        case Decimal():
            return _decimal(field)
        case Boolean():
            return {"type": "boolean"}
        case DateTime():
            return {"type": "string", "format": "date-time"}
        case Choice():
            return {"type": "string", "enum": field.texts}
        case List():
            bounds = _bounds(field, min_length="minItems", max_length="maxItems")
            return {"type": "array", "items": _schema_of(cast("Kind", field.child)), **bounds}
        case Object():
            return schema_of_data(field)
    raise TypeError(type(field).__name__)


def _text(field: Text) -> Schema:
    longest = min(field.max_length or settings.MAX_FIELD_LENGTH, settings.MAX_FIELD_LENGTH)
    schema = {
        "type": "string",
        "minLength": max(1, field.min_length or 0),
        "maxLength": longest,
        "pattern": TEXT,
    }
    if field.pattern:
        schema["allOf"] = [{"pattern": f"^(?:{field.pattern})$"}]
    return schema


def _decimal(field: Decimal) -> Schema:
    # No multipleOf: most validators compute it with floats, and refuse 1.10.
    digits = f"At most {field.max_digits} digits, {field.decimal_places} of them a fraction."
    bounds = {
        name: float(bound)
        for name, bound in _bounds(field, min_value="minimum", max_value="maximum").items()
        if math.isfinite(float(bound))  # else JSON has no such number
    }
    return {"type": "number", "title": digits, **bounds}


def _bounds(field: Kind, **names: str) -> Schema:
    """Return the bounds that are set, by their names in JSON Schema."""
    found = {name: getattr(field, attribute) for attribute, name in names.items()}
    return {name: bound for name, bound in found.items() if bound is not None}
