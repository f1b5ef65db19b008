"""The kinds of fields that a contract may have. Each is strict: nothing is converted.

They are DRF's fields and serializers with two differences. A value must have the kind in the JSON
that was sent: `"7"` is no integer, and `1` is not true. And what they return is only looked at:
stored is what the client has written (cpsite/message.py).

Every field takes `example` (a valid value), `help_text`, `required` (true) and `allow_null`
(false).
"""

import decimal
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Final, TypedDict, Unpack, cast

from django.conf import settings
from django.core.validators import MaxLengthValidator
from django.utils.functional import cached_property
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.settings import api_settings
from rest_framework.utils.serializer_helpers import BindingDict
from rest_framework.validators import ProhibitSurrogateCharactersValidator

from cpsite.json_text import Number
from validator import advice

#: Most unknown fields, or wrong items of a list, that an answer names: a body may contain tens of
#: thousands.
NAMED_ERRORS: Final = 5
#: Most items of a list that does not say how many it may have. Each is checked while no other
#: request of the process runs.
LIST_LENGTH: Final = 1_000

_WHOLE: Final = api_settings.NON_FIELD_ERRORS_KEY
#: RFC 3339, section 5.6, with at most nanoseconds. A time without an offset means nothing.
_MOMENT: Final = re.compile(
    r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:[0-5]\d)", re.ASCII
)
#: What Python's patterns have and ECMAScript's, which OpenAPI uses, have not: flags, named groups.
_PYTHON_ONLY: Final = re.compile(r"\(\?(?!:|=|!|<=|<!)|\\[AZ]")
#: Digits of a decimal's exponent. Python's decimals fail with 20 of them.
_EXPONENT: Final = re.compile(r"[eE][+-]?\d{5,}$")


class Options(TypedDict, total=False):
    """What every field takes beside its example."""

    help_text: str
    required: bool
    allow_null: bool


def _known(options: Options) -> Options:
    """Return the options. Raises TypeError for others of DRF's: some would switch checks off."""
    for name in options:
        if name not in Options.__annotations__:
            raise TypeError(f"got an unexpected keyword argument {name!r}")
    return options


class Kind:
    """What all kinds have: a name, an example, and their bounds as data."""

    #: Its name in descriptions (`manage.py contract`).
    kind: ClassVar[str]
    #: Names of the attributes that bound it, where they are set.
    bounds: ClassVar[tuple[str, ...]] = ()
    example: Any
    required: bool
    allow_null: bool
    help_text: Any

    def codes(self) -> set[str]:
        """Return the codes of the errors that a value of it may have."""
        bounds = {name for name in self.bounds if getattr(self, name, None) is not None}
        return {"required", "null", "invalid"} | bounds

    def describe(self) -> dict[str, Any]:
        """Return the kind and its bounds as JSON: what a reader of messages may rely on."""
        found = {name: getattr(self, name, None) for name in self.bounds}
        return {
            "kind": self.kind,
            "required": self.required,
            "null": self.allow_null,
            "help": str(self.help_text or ""),
            "example": self.example,
            **{name: bound for name, bound in found.items() if bound is not None},
        }


class Text(Kind, serializers.CharField):
    """A text that is not blank and has no NUL, unchanged: white space is kept.

    `max_length` and `min_length` are in characters (Unicode code points). No text is longer than
    MAX_FIELD_LENGTH. The whole text must match `pattern`, a regular expression that Python and
    ECMAScript understand; its classes, such as that of digits, are ASCII. Choose one that takes no
    exponential time: no other request of the process runs meanwhile.
    """

    kind = "text"
    bounds = ("min_length", "max_length", "pattern")
    default_error_messages = {"pattern": "This text does not have the form that it must have."}

    def __init__(
        self,
        *,
        example: str,
        min_length: int | None = None,
        max_length: int | None = None,
        pattern: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            trim_whitespace=False,
            **_known(options),
            min_length=min_length,
            max_length=max_length,
        )
        self.example = example
        self.pattern = pattern
        if pattern and _PYTHON_ONLY.search(pattern):
            raise ValueError(
                "the pattern has a flag, a named group, \\A or \\Z, unlike ECMAScript's"
            )
        self._matches = re.compile(pattern, re.ASCII).fullmatch if pattern else None
        # It checks each character in Python. `to_internal_value` encodes the text, which is
        # faster.
        self.validators = [
            validator
            for validator in self.validators
            if not isinstance(validator, ProhibitSurrogateCharactersValidator)
        ]

    def codes(self) -> set[str]:
        return super().codes() | {
            "blank",
            "max_length",
            "null_characters_not_allowed",
            "surrogate_characters_not_allowed",
        }

    def limit(self, longest: int) -> None:
        """Bound the length by the service's own limit, in characters."""
        if self.max_length is None or self.max_length > longest:
            message = self.error_messages["max_length"].format(max_length=longest)
            self.validators.append(MaxLengthValidator(longest, message))

    def run_validation(self, data: Any = serializers.empty) -> str | None:
        if isinstance(data, str) and not data.strip():
            self.fail("blank")
        value = cast("str | None", super().run_validation(data))
        # After its length: matching a long text may take long.
        if value and self._matches and not self._matches(value):
            self.fail("pattern")
        return value

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            raise ValidationError(advice.on_wrong_text(data), "invalid")
        if not data.isascii():
            try:
                data.encode()
            except UnicodeEncodeError:
                ProhibitSurrogateCharactersValidator()(data)
        return data


class Integer(Kind, serializers.IntegerField):
    """A number without fraction and exponent, of any size unless it has bounds."""

    kind = "integer"
    bounds = ("min_value", "max_value")

    def __init__(
        self,
        *,
        example: int,
        min_value: int | None = None,
        max_value: int | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            **_known(options),
            min_value=min_value,
            max_value=max_value,
        )
        self.example = example

    def to_internal_value(self, data: object) -> int:
        if not _is_integer(data):
            raise ValidationError(advice.on_wrong_kind("an integer", data), "invalid")
        return cast("int", data)


class Decimal(Kind, serializers.DecimalField):
    """A number with at most `max_digits` digits, of which `decimal_places` are a fraction.

    It is a number in JSON, not a text. Its digits are stored as they were sent; readers must not
    take it for a float.
    """

    kind = "decimal"
    bounds = ("max_digits", "decimal_places", "min_value", "max_value")

    def __init__(
        self,
        *,
        example: str,
        max_digits: int,
        decimal_places: int,
        min_value: str | None = None,
        max_value: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        if not 0 <= decimal_places <= max_digits:
            raise ValueError("decimal_places is not from 0 to max_digits")
        super().__init__(
            max_digits=max_digits,
            decimal_places=decimal_places,
            **_known(options),
            min_value=None if min_value is None else decimal.Decimal(min_value),
            max_value=None if max_value is None else decimal.Decimal(max_value),
        )
        self.example = Number(example)

    def codes(self) -> set[str]:
        digits = {"max_digits", "max_decimal_places", "max_whole_digits"}
        return (super().codes() | digits) - {"decimal_places"}

    def describe(self) -> dict[str, Any]:
        # Not as numbers: a reader of JSON might take them for floats.
        texts = ("example", "min_value", "max_value")
        found = super().describe() | {"example": self.example.text}
        return {name: str(each) if name in texts else each for name, each in found.items()}

    def to_internal_value(self, data: object) -> decimal.Decimal:
        text = data.text if isinstance(data, Number) else str(data)
        if not isinstance(data, Number) and not _is_integer(data):
            raise ValidationError(advice.on_wrong_kind("a number", data), "invalid")
        if _EXPONENT.search(text):
            self.fail("max_digits", max_digits=self.max_digits)
        value: decimal.Decimal = self.validate_precision(decimal.Decimal(text))
        return value


def _is_choice(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _is_integer(data: object) -> bool:
    return isinstance(data, int) and not isinstance(data, bool)


class Boolean(Kind, serializers.BooleanField):
    """true or false."""

    kind = "boolean"

    def __init__(
        self,
        *,
        example: bool,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**_known(options))
        self.example = example

    def to_internal_value(self, data: object) -> bool:
        if not isinstance(data, bool):
            raise ValidationError(advice.on_wrong_kind("true or false", data), "invalid")
        return data


class DateTime(Kind, serializers.DateTimeField):
    """A moment by RFC 3339 with its offset from UTC, such as `2026-11-23T23:59:59.5+01:00`."""

    kind = "date_time"

    def __init__(
        self,
        *,
        example: str,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**_known(options))
        self.example = example

    def to_internal_value(self, data: object) -> datetime:
        if not isinstance(data, str):
            raise ValidationError(advice.on_wrong_text(data), "invalid")
        try:
            if _MOMENT.fullmatch(data):
                return datetime.fromisoformat(data)
        except ValueError:
            pass
        raise ValidationError(advice.ON_WRONG_MOMENT, "invalid")


class Choice(Kind, serializers.ChoiceField):
    """One of some texts."""

    kind = "choice"
    default_error_messages = {"invalid_choice": "This must be one of: {choices}."}

    def __init__(
        self,
        choices: Iterable[str],
        *,
        example: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        texts = list(choices)
        if not all(map(_is_choice, texts)):
            raise ValueError("a choice is no text, blank, or has NUL")
        super().__init__(texts, **_known(options))
        self.texts = texts
        self._known = frozenset(texts)
        self.example = texts[0] if example is None and texts else example

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "choices": self.texts}

    def codes(self) -> set[str]:
        return super().codes() | {"invalid_choice"}

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            raise ValidationError(advice.on_wrong_text(data), "invalid")
        if data not in self._known:
            self.fail("invalid_choice", choices=", ".join(self.texts))
        return data


class List(Kind, serializers.ListField):
    """A list whose items are of one kind, at most LIST_LENGTH unless it says how many."""

    kind = "list"
    bounds = ("min_length", "max_length")

    def __init__(
        self,
        child: serializers.Field[Any, Any, Any, Any],
        *,
        min_length: int | None = None,
        max_length: int = LIST_LENGTH,
        **options: Unpack[Options],
    ) -> None:
        if not 0 <= (min_length or 0) <= max_length:
            raise ValueError("min_length is not from 0 to max_length")
        super().__init__(
            child=child,
            **_known(options),
            min_length=min_length,
            max_length=max_length,
        )

    @property
    def example(self) -> list[Any]:
        """One item, or as many as there must be."""
        return [getattr(self.child, "example", None)] * max(1, self.min_length or 0)

    def describe(self) -> dict[str, Any]:
        found = {**super().describe(), "item": cast("Kind", self.child).describe()}
        del found["example"]
        return found

    def codes(self) -> set[str]:
        return super().codes() | cast("Kind", self.child).codes()

    def run_validation(self, data: Any = serializers.empty) -> Any:
        is_empty, value = self.validate_empty_values(data)
        if is_empty:
            return value
        if not isinstance(data, list):
            raise ValidationError(advice.on_wrong_kind("a list", data), "invalid")
        self.run_validators(data)  # its length, before any item
        return self.to_internal_value(data)

    def to_internal_value(self, data: list[Any]) -> list[Any]:
        errors: dict[str, Any] = {}
        for position, item in enumerate(data):
            try:
                self.child.run_validation(item)
            except ValidationError as exc:
                errors[str(position)] = exc.detail
                if len(errors) == NAMED_ERRORS:
                    break
        if errors:
            raise ValidationError(errors)
        return data


class Exact(Kind, serializers.Serializer[Any]):
    """A serializer that refuses what it does not declare, which DRF would ignore.

    Its fields are created once per process. DRF would copy them for each request, which would be a
    fifth of the work of `POST /`. They keep nothing of a request.
    """

    kind = "object"

    @cached_property
    def fields(self) -> BindingDict:
        return _fields_of(type(self), settings.MAX_FIELD_LENGTH)

    @property
    def example(self) -> dict[str, Any]:
        """Every field with its example."""
        return {name: getattr(field, "example", None) for name, field in self.fields.items()}

    def describe(self) -> dict[str, Any]:
        found = super().describe()
        del found["example"]
        # What no field says: readers need not know it, but `manage.py contract --against` does.
        own = {"validates": True} if _validates(type(self)) else {}
        return (
            found
            | own
            | {
                "fields": [
                    {"name": name, **cast("Kind", field).describe()}
                    for name, field in self.fields.items()
                ]
            }
        )

    def codes(self) -> set[str]:
        inner = (cast("Kind", field).codes() for field in self.fields.values())
        return super().codes() | {"unknown"}.union(*inner)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise ValidationError({_WHOLE: [self.on_wrong_kind(data)]}, "invalid")
        errors = self._unknown_fields(data)
        try:
            value = super().to_internal_value(data)
        except ValidationError as exc:
            raise ValidationError(cast("dict[str, Any]", exc.detail) | errors) from exc
        if errors:
            raise ValidationError(errors)
        return value

    def on_wrong_kind(self, data: object) -> str:
        """Return what to send instead of `data`, which is no object."""
        return advice.on_wrong_data(data, self.fields)

    def on_unknown(self, name: str) -> str:
        """Return what is wrong with a name that is not among the fields."""
        return advice.on_unknown_field(name, self.fields)

    def _unknown_fields(self, data: Mapping[str, object]) -> dict[str, list[ErrorDetail]]:
        names = [name for name in data if name not in self.fields][:NAMED_ERRORS]
        return {name: [ErrorDetail(self.on_unknown(name), code="unknown")] for name in names}


def _validates(kind: type[Exact]) -> bool:
    """Return whether a class has checks of its own (`validate`, `validate_<field>`)."""
    return kind.validate is not Exact.validate or any(
        name.startswith("validate_") and name.removeprefix("validate_") in kind().fields
        for name in dir(kind)
    )


class Object(Exact):
    """An object of named fields, which refuses others. Derive from it and declare the fields."""

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(**_known(options))


@cache
def _fields_of(kind: type[Exact], max_field_length: int) -> BindingDict:
    """Return the fields of a serializer class, bound to an instance used for nothing else."""
    fields = BindingDict(kind())
    for name, field in kind().get_fields().items():
        for inner in _with_items(field):
            if isinstance(inner, Text):
                inner.limit(max_field_length)
        fields[name] = field
    return fields


def _with_items(field: Any) -> Iterable[Any]:
    """Yield a field and, of a list, its items'."""
    while field is not None:
        yield field
        field = getattr(field, "child", None)
