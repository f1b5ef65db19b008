"""List filters that stay fast on a table of any size."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from django.contrib.admin import ListFilter, ModelAdmin, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from cpsite.audit.models import AuditEvent

#: Most values in the list of a filter. A longer list is hard to read, and the search takes any.
LIMIT = 50


def values_of(column: str, after: str = "") -> list[str]:
    """Return the first LIMIT values in an indexed column after a value, without the empty one.

    SELECT DISTINCT would read every row; this steps from value to value through the index (a
    "loose index scan"). It is one statement, because with many partitions planning one takes longer
    than a step.
    """
    # Without "<> ''" PostgreSQL cannot know that the index of what is not empty has them all.
    following = (
        f"(SELECT {column} FROM audit_auditevent WHERE {column} > %s AND {column} <> '' "  # noqa: S608
        "ORDER BY 1 LIMIT 1)"
    )
    step = following.replace("%s", "found.value")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT value FROM (WITH RECURSIVE found (value) AS ("  # noqa: S608 - our own columns
            f"SELECT {following} UNION ALL SELECT {step} FROM found WHERE value IS NOT NULL"
            ") SELECT value FROM found WHERE value IS NOT NULL LIMIT %s) AS found_values",
            [after, LIMIT],
        )
        return [value for (value,) in cursor.fetchall()]


class IndexedValuesFilter(SimpleListFilter):
    """Offers the values that occur in an indexed column."""

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(value, value) for value in values_of(str(self.parameter_name))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent]
    ) -> QuerySet[AuditEvent]:
        value = self.value()
        return queryset if value is None else queryset.filter(**{str(self.parameter_name): value})


class ClientFilter(IndexedValuesFilter):
    title = "client"
    parameter_name = "client"


class ContractFilter(IndexedValuesFilter):
    """Hidden as long as there is only the default contract."""

    title = "contract"
    parameter_name = "contract"


class ReasonFilter(IndexedValuesFilter):
    title = "reason"
    parameter_name = "reason"


class TimeFilter(ListFilter):
    """Offers the last minutes and hours, today, and any time from and until, all in UTC."""

    title = "time (UTC)"
    template = "admin/audit/time_filter.html"

    SPANS: ClassVar = {
        "15m": ("Last 15 minutes", timedelta(minutes=15)),
        "1h": ("Last hour", timedelta(hours=1)),
        "24h": ("Last 24 hours", timedelta(hours=24)),
        "7d": ("Last 7 days", timedelta(days=7)),
    }
    TODAY: Final = "today"
    PARAMETERS: Final = ("since", "from", "until")

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Any],
        model_admin: ModelAdmin[Any],
    ) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.PARAMETERS:
            values = params.pop(name, [""])
            if values[-1]:
                self.used_parameters[name] = values[-1]
        #: The other parameters of the address, for the form in the template.
        self.others: dict[str, str] = {}

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.PARAMETERS)

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent]
    ) -> QuerySet[AuditEvent]:
        start, end = self._bounds()
        if start:
            queryset = queryset.filter(occurred_at__gte=start)
        return queryset.filter(occurred_at__lt=end) if end else queryset

    def _bounds(self) -> tuple[datetime | None, datetime | None]:
        since = self.used_parameters.get("since", "")
        if not since:
            return self._moment("from"), self._moment("until")
        if since == self.TODAY:
            return timezone.now().replace(hour=0, minute=0, second=0, microsecond=0), None
        if since not in self.SPANS:
            raise IncorrectLookupParameters(f"There is no time filter “{since}”.")
        return timezone.now() - self.SPANS[since][1], None

    def _moment(self, name: str) -> datetime | None:
        text = str(self.used_parameters.get(name, ""))
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            raise IncorrectLookupParameters(
                f"“{text}” is no time such as 2026-11-24T18:30."
            ) from None

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        self.others = {
            name: str(value)
            for name, value in changelist.params.items()
            if name not in self.PARAMETERS
        }
        since = self.used_parameters.get("since")
        yield {
            "selected": not self.used_parameters,
            "query_string": changelist.get_query_string(remove=list(self.PARAMETERS)),
            "display": "Any time",
        }
        offered = [*((name, span[0]) for name, span in self.SPANS.items()), (self.TODAY, "Today")]
        for name, title in offered:
            yield {
                "selected": since == name,
                "query_string": changelist.get_query_string({"since": name}, list(self.PARAMETERS)),
                "display": title,
            }
