from django.contrib import admin
from django.urls import include, path

from cpsite import health

admin.site.site_header = admin.site.site_title = "cpsite"
admin.site.index_title = "Audit log and users"

handler400 = "cpsite.errors.bad_request"
handler404 = "cpsite.errors.page_not_found"
handler500 = "cpsite.errors.server_error"

urlpatterns = [
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("admin/", admin.site.urls),
    path("", include("validator.urls")),
]
