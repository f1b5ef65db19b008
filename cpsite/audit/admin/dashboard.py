"""The landing page of the admin: what is stuck and since when, and the last day in figures."""

import math
from datetime import timedelta
from typing import Any, Final

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.urls import reverse
from django.utils import timezone

from cpsite.audit.admin import marks, overview
from cpsite.audit.admin.queues import Queue, read_queues
from cpsite.audit.oldest_waiting import OldestUnknown, oldest_waiting
from cpsite.audit.unstored import Waiting
from cpsite.moments import span
from cpsite.observability.queue_depth import DEAD_LETTERS, MESSAGES

#: Of a queue's messages, in the order of `Queue.depths`.
STATES: Final = ("visible", "in flight", "delayed")


def context(user: AbstractBaseUser | AnonymousUser) -> dict[str, Any]:
    """Return what the template `admin/audit/dashboard.html` shows to who may see the log."""
    may_see_letters = isinstance(user, PermissionsMixin) and user.has_perm(
        "uploader.view_deadletterentry"
    )
    queues = read_queues()
    figures = overview.context()
    return {
        **figures,
        **_oldest(figures["overview"].waiting),
        "events_url": reverse("admin:audit_auditevent_changelist"),
        "may_see_letters": may_see_letters,
        "queues": [
            _row(queues[name], may_see_letters=may_see_letters)
            for name in (MESSAGES, DEAD_LETTERS)
            if name in queues
        ],
    }


def _oldest(waiting: Waiting | None) -> dict[str, Any]:
    """Say for how long the oldest message waits, by the audit log; empty if none does.

    `waiting` is None where the audit log does not say which messages were stored.
    """
    if waiting is None:
        return {"oldest": ""}
    try:
        age = _age_of_oldest(waiting)
    except OldestUnknown:
        return {"oldest": "unknown: too many were stored meanwhile"}
    return {"oldest": span(age) if age is not None else "", "late": marks.of_age(age)}


def _age_of_oldest(waiting: Waiting) -> timedelta | None:
    """Return for how long the oldest message waits, or None. Raises OldestUnknown.

    `oldest_waiting` leaves out what is retried while later messages are stored: `waiting` has it.
    """
    now = timezone.now()
    moments = [message.accepted_at for message in waiting.messages]
    try:
        moments.append(oldest_waiting(now))
    except OldestUnknown:
        if not moments:
            raise
    oldest = min(filter(None, moments), default=None)
    return now - oldest if oldest else None


def _row(queue: Queue, *, may_see_letters: bool) -> dict[str, Any]:
    is_bad = queue.name == DEAD_LETTERS
    of_letters = "admin:uploader_deadletterentry_changelist" if may_see_letters else ""
    page = of_letters if is_bad else "admin:audit_waiting"
    return {
        "title": queue.title,
        "url": reverse(page) if page else "",
        "depths": [
            (marks.of_failures(int(depth)) if is_bad and depth > 0 else "", _number(depth), state)
            for depth, state in zip(queue.depths, STATES, strict=True)
        ],
    }


def _number(depth: float) -> str:
    return "unknown" if math.isnan(depth) else f"{depth:,.0f}"
