"""The landing page of the admin: what is stuck and since when, and the last day in figures."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.urls import reverse

from cpsite.audit.admin import overview


def context(user: AbstractBaseUser | AnonymousUser) -> dict[str, Any]:
    """Return what the template `admin/audit/dashboard.html` shows to a user."""
    may_see_letters = isinstance(user, PermissionsMixin) and user.has_perm(
        "uploader.view_deadletterentry"
    )
    return {
        **overview.context(),
        "events_url": reverse("admin:audit_auditevent_changelist"),
        "may_see_letters": may_see_letters,
    }
