"""The dashboard as a tag, for the admin's index: its view knows nothing of our pages."""

from typing import Any

from django import template
from django.template.context import RequestContext

from cpsite.audit.admin import dashboard

register = template.Library()


@register.inclusion_tag("admin/audit/dashboard.html", takes_context=True)
def audit_dashboard(context: RequestContext) -> dict[str, Any]:
    """Render the dashboard for who may see the audit log, and nothing for others."""
    request = context["request"]
    may_see = request.user.has_perm("audit.view_auditevent")
    return dashboard.context(request.user) if may_see else {}
