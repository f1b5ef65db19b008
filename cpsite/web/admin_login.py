"""Logins to the admin, with a lockout after too many wrong passwords.

django-axes counts wrong passwords in the database, so for all processes together, and refuses
further logins. This module gives it the address and the name, answers locked-out addresses, and
logs.
"""

import logging
import math
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, cast

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from cpsite.web.client_address import neighbourhood, source_ip

logger = logging.getLogger(__name__)

#: Characters of a name that django-axes can store (axes.models.AccessBase.username). The login form
#: accepts longer ones.
NAME_LENGTH: Final = 255


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
    """Serve the admin's login page: 429 to an address with too many wrong passwords."""
    answer = admin.site.login(request)
    if request.method != "POST":
        return answer
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
    seconds = _seconds_left(request)
    logger.warning("admin_login_throttled", extra=_about(request, _known_user(request)))
    context = {
        **admin.site.each_context(request),
        "title": "Too many wrong passwords",
        "minutes": math.ceil(seconds / 60),
    }
    answer = render(
        request, "admin/login_throttled.html", context, status=HTTPStatus.TOO_MANY_REQUESTS
    )
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
