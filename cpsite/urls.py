"""The paths of the validator's process, by what it serves (VALIDATOR_SERVES)."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path

from cpsite.web import health

handler400 = "cpsite.web.error_views.bad_request"
handler403 = "cpsite.web.error_views.permission_denied"
handler404 = "cpsite.web.error_views.page_not_found"
handler500 = "cpsite.web.error_views.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("health/live", health.live),
    path("health/live/", health.live),
    path("health/ready", health.ready),
    path("health/ready/", health.ready),
]
if settings.SERVES_ADMIN:
    urlpatterns.append(path("admin/", include("cpsite.web.admin_urls")))
if settings.SERVES_API:
    urlpatterns.append(path("", include("validator.urls")))
