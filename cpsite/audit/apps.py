from contextlib import suppress
from typing import Any

from django.apps import AppConfig
from django.db import DEFAULT_DB_ALIAS
from django.db.models.signals import post_migrate


class AuditConfig(AppConfig):
    name = "cpsite.audit"
    label = "audit"
    verbose_name = "Audit log"

    def ready(self) -> None:
        post_migrate.connect(_ensure_days, sender=self)


def _ensure_days(using: str, **_signal: Any) -> None:
    """Make the days to come, after each deployment."""
    from cpsite.audit import partitions  # it needs the apps to be ready

    if using == DEFAULT_DB_ALIAS:
        with suppress(partitions.BusyError):  # a service is making them
            partitions.ensure_ahead()
