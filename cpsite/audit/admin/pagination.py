"""Pagination of a table that is too large to count."""

from functools import cached_property
from typing import cast

from django.core.paginator import Paginator
from django.db.models import QuerySet

from cpsite.audit.models import AuditEvent

#: Rows that a list can page through. Filters, dates and the search reach further ones.
COUNT_LIMIT = 10_000


class BoundedCountPaginator(Paginator[AuditEvent]):
    """Counts at most COUNT_LIMIT rows, so that a page costs the same for any size of table."""

    @cached_property
    def count(self) -> int:
        events = cast("QuerySet[AuditEvent]", self.object_list)
        return events.order_by()[:COUNT_LIMIT].count()
