"""The parameters that a list of the admin takes: those of its own filters, with values that exist.

Django's lists filter by any lookup of any field, and hand the values to the database, which fails
on some: on a NUL, on part of an address, on the year 99999.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin import ListFilter, ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

#: Said of an error of Django's own.
_UNKNOWN: Final = "A filter has a value that it does not take."
#: What Django's links add to the name of a field.
_LOOKUPS: Final = ("", "__exact", "__id__exact", "__isnull")
#: Digits that always fit into a primary key of 64 bits.
_KEY_DIGITS: Final = 18
#: The least number that does not (Django: BigAutoField).
_BEYOND_KEYS: Final = 2**63


class KnownParametersChangeList(ChangeList):
    """A list that shows all rows, as for a wrong value, when a parameter is not one of its own."""

    def __init__(self, request: HttpRequest, *arguments: Any, **options: Any) -> None:
        for name, values in request.GET.lists():
            if any("\0" in text for text in (name, *values)):
                raise IncorrectLookupParameters("A filter holds a NUL.")
        super().__init__(request, *arguments, **options)

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = super().get_filters_params(params)
        if not found.keys() <= set(self._known()):
            raise IncorrectLookupParameters("This list has no such filter.")
        if any(_is_beyond_keys(found[name]) for name in set(self._of_fields()) & found.keys()):
            raise IncorrectLookupParameters("A filter is a number that no row can have.")
        return found

    def get_results(self, request: HttpRequest) -> None:
        try:
            super().get_results(request)
        except IncorrectLookupParameters:
            raise IncorrectLookupParameters("This list has no such page.") from None

    def _known(self) -> Iterator[str]:
        yield from getattr(self.model_admin, "further_parameters", ())
        for each in self.list_filter:
            if isinstance(each, type) and issubclass(each, ListFilter):
                yield from getattr(each, "PARAMETERS", (getattr(each, "parameter_name", ""),))
        yield from self._of_fields()

    def _of_fields(self) -> Iterator[str]:
        """Yield the parameters of filters that are only the name of a field."""
        for each in self.list_filter:
            if isinstance(each, str):
                yield from (f"{each}{lookup}" for lookup in _LOOKUPS)


class KnownParameters(ModelAdmin[Any]):
    """Base before a ModelAdmin: its list is a KnownParametersChangeList."""

    #: Parameters of links, beside those of `list_filter`.
    further_parameters: tuple[str, ...] = ()

    def get_changelist(self, request: HttpRequest, **_options: Any) -> type[ChangeList]:
        return KnownParametersChangeList

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Return the list. Where Django will show all rows instead, tell the user why."""
        try:
            return super().get_changelist_instance(request)
        except IncorrectLookupParameters as exc:
            rows = self.opts.verbose_name_plural
            messages.error(request, f"{_reason_of(exc)} All {rows} are shown.")
            raise

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *arguments: Any, **options: Any
    ) -> HttpResponse | None:
        """Run the action, unless a ticked row is none that a database could have."""
        if not all(map(_is_key, request.POST.getlist(ACTION_CHECKBOX_NAME))):
            messages.error(request, "A ticked row does not exist. Nothing was done.")
            return None
        return super().response_action(request, queryset, *arguments, **options)


def _reason_of(error: IncorrectLookupParameters) -> str:
    """Return the text of an error of ours, which Django may have wrapped, or one for all others."""
    match error.args:
        case (str(text),):
            return text
        case (IncorrectLookupParameters() as wrapped,):
            return _reason_of(wrapped)
    return _UNKNOWN


def _is_key(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _KEY_DIGITS


def _is_beyond_keys(values: str | list[str]) -> bool:
    """Whether one of the texts is a number that SQLite and PostgreSQL could not look for."""
    for text in [values] if isinstance(values, str) else values:
        with suppress(ValueError):
            if abs(int(text)) >= _BEYOND_KEYS:
                return True
    return False
