"""The audit log in the Django admin, which imports this package to find its pages."""

from cpsite.audit.admin import events  # noqa: F401 - its import registers the pages
