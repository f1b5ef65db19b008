"""The audit log in the Django admin. Django imports this package to register the pages."""

from cpsite.audit.admin import events  # noqa: F401 - its import registers the pages
