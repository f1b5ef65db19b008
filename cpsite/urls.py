from django.contrib import admin
from django.urls import include, path

from cpsite.web import admin_login, health

admin.site.site_header = admin.site.site_title = "cpsite"
# The sidebar would take a fifth of the width for three entries that the index has too.
admin.site.enable_nav_sidebar = False
admin.site.index_title = "Audit log, dead letters and users"

handler400 = "cpsite.web.error_views.bad_request"
handler404 = "cpsite.web.error_views.page_not_found"
handler500 = "cpsite.web.error_views.server_error"

urlpatterns = [
    path("health/live", health.live),
    path("health/ready", health.ready),
    # Before the admin's own login view, which this one calls.
    path("admin/login/", admin_login.login),
    path("admin/", admin.site.urls),
    path("", include("validator.urls")),
]
