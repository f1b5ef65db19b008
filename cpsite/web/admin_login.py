"""Logins to the admin, with a lockout after too many wrong passwords.

django-axes counts wrong passwords in the database, so for all processes together, and refuses
further logins. This module gives it the address and the name, answers locked-out addresses, bounds
the logins under way, and logs.
"""

import logging
import math
import threading
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, cast

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from cpsite.web.client_address import neighbourhood, source_ip

logger = logging.getLogger(__name__)

#: Characters of a name that django-axes can store (axes.models.AccessBase.username). The login form
#: accepts longer ones.
NAME_LENGTH: Final = 255
#: Logins of a process that may wait for their password to be hashed, which takes a few tenths of a
#: second for each, one after the other (cpsite/web/password_hashing.py).
LOGINS: Final = 16
#: Seconds after which a login that found too many others may be repeated.
BUSY_SECONDS: Final = 5
#: Seconds in which an address that is locked out causes one log line at most.
QUIET_SECONDS: Final = 60

_under_way = threading.BoundedSemaphore(LOGINS)


def address(request: HttpRequest) -> str | None:
    """Return the address that wrong passwords count for; of an IPv6 network its first address."""
    # When code logs a user in, Django makes up a request, which has no address.
    network = neighbourhood(source_ip(request)) if "REMOTE_ADDR" in request.META else None
    return network.partition("/")[0] if network else None


def username(
    request: HttpRequest,  # noqa: ARG001 - django-axes passes it
    credentials: Mapping[str, Any] | None,
) -> str:
    """Return the name that was typed, cut to the length of django-axes's column for it."""
    return str((credentials or {}).get("username") or "")[:NAME_LENGTH]


@never_cache
def login(request: HttpRequest) -> HttpResponse:
    """Serve the admin's login page.

    429 to an address with too many wrong passwords, 503 while too many logins are under way.
    """
    if request.method != "POST":
        return admin.site.login(request)
    if not _under_way.acquire(blocking=False):
        return _page(request, HTTPStatus.SERVICE_UNAVAILABLE, BUSY_SECONDS, "Too many logins")
    try:
        return _log_in(request)
    finally:
        _under_way.release()


def _log_in(request: HttpRequest) -> HttpResponse:
    answer = admin.site.login(request)
    if getattr(request, "axes_locked_out", False):
        return _refuse(request)
    if answer.status_code == HTTPStatus.FOUND:
        logger.info("admin_login", extra=_about(request, request.user.get_username()))
    else:
        logger.warning("admin_login_failed", extra=_about(request, _known_user(request)))
    return answer


def _about(request: HttpRequest, user: str | None) -> dict[str, str | None]:
    return {"user": user, "source_ip": source_ip(request)}


def _known_user(request: HttpRequest) -> str | None:
    """Return the name that was typed if such a user exists. Any other text may be a password."""
    name = request.POST.get("username", "")
    users = get_user_model().objects
    return name if "\0" not in name and users.filter(username=name).exists() else None


def _refuse(request: HttpRequest) -> HttpResponse:
    if cache.add(f"login-throttled-{address(request)}", value=True, timeout=QUIET_SECONDS):
        logger.warning("admin_login_throttled", extra=_about(request, _known_user(request)))
    seconds = _seconds_left(request)
    return _page(request, HTTPStatus.TOO_MANY_REQUESTS, seconds, "Too many wrong passwords")


def _page(request: HttpRequest, status: HTTPStatus, seconds: int, title: str) -> HttpResponse:
    """Return a page that asks to repeat the login after so many seconds."""
    context = {
        **admin.site.each_context(request),
        "title": title,
        "is_locked_out": status is HTTPStatus.TOO_MANY_REQUESTS,
        "minutes": math.ceil(seconds / 60),
    }
    answer = render(request, "admin/login_throttled.html", context, status=status)
    answer["Retry-After"] = str(seconds)
    return answer


def _seconds_left(request: HttpRequest) -> int:
    """Return the seconds until the lockout of the request's address ends; at least 1."""
    attempts = AccessAttempt.objects.filter(ip_address=address(request))
    last = cast(
        "datetime | None",
        attempts.order_by("-attempt_time").values_list("attempt_time", flat=True).first(),
    )
    left = (last or timezone.now()) + settings.AXES_COOLOFF_TIME - timezone.now()
    return max(1, math.ceil(left.total_seconds()))
