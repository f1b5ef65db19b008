"""The landing page of the admin: what is stuck and since when, and the last day in figures."""

import math
from functools import cache
from typing import Any, Final

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.core.cache import cache as django_cache
from django.urls import reverse
from django.utils import timezone

from cpsite.audit.admin import overview
from cpsite.audit.oldest_waiting import OldestUnknown, oldest_waiting
from cpsite.audit.unstored import Waiting
from cpsite.moments import span
from cpsite.observability.queue_depth import (
    DEAD_LETTERS,
    MESSAGES,
    QueueDepthSampler,
    of_this_process,
)

#: Seconds for which a process caches what SQS says.
CACHE_SECONDS: Final = 10
_CACHE_KEY: Final = "audit-queues"
_TITLES: Final = {MESSAGES: "Queue", DEAD_LETTERS: "Dead-letter queue"}


def context(user: AbstractBaseUser | AnonymousUser) -> dict[str, Any]:
    """Return what the template `admin/audit/dashboard.html` shows to who may see the log."""
    may_see_letters = isinstance(user, PermissionsMixin) and user.has_perm(
        "uploader.view_deadletterentry"
    )
    queues = _queues()
    figures = overview.context()
    return {
        **figures,
        "events_url": reverse("admin:audit_auditevent_changelist"),
        "may_see_letters": may_see_letters,
        "oldest": _oldest(waiting) if (waiting := figures["overview"].waiting) else "",
        "queues": [queues[name] for name in (MESSAGES, DEAD_LETTERS) if name in queues],
    }


def _oldest(waiting: Waiting) -> str:
    """Say for how long the oldest message waits, by the audit log; empty if none does.

    `oldest_waiting` leaves out what is retried while later messages are stored: `waiting` has it.
    """
    now = timezone.now()
    moments = [message.accepted_at for message in waiting.messages]
    try:
        moments.append(oldest_waiting(now))
    except OldestUnknown:
        if not moments:
            return "unknown: too many were stored meanwhile"
    oldest = min(filter(None, moments), default=None)
    return span(now - oldest) if oldest else ""


@cache
def _sampler() -> QueueDepthSampler:
    """Return the client of this process, which asks only when a page is shown."""
    return QueueDepthSampler(of_this_process())


def _queues() -> dict[str, dict[str, Any]]:
    """Return the rows of the queues that this process may ask for, up to CACHE_SECONDS old."""
    found: dict[str, dict[str, Any]] | None = django_cache.get(_CACHE_KEY)
    if found is None:
        found = {name: _row(name, url) for name, url in of_this_process().items()}
        django_cache.set(_CACHE_KEY, found, CACHE_SECONDS)
    return found


def _row(name: str, url: str) -> dict[str, Any]:
    depths = _sampler().depths(name, url)  # visible, in flight, delayed
    return {"name": name, "title": _TITLES[name], "depths": list(map(_number, depths.values()))}


def _number(depth: float) -> str:
    return "unknown" if math.isnan(depth) else f"{depth:,.0f}"
