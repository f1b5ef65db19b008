"""The admin's pages, below /admin/."""

from typing import Any, ClassVar, NoReturn

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import ManyToManyField
from django.forms import CheckboxSelectMultiple
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path

from cpsite.audit.admin import dashboard
from cpsite.audit.admin.parameters import KnownParameters
from cpsite.web import admin_login

admin.site.site_header = admin.site.site_title = "cpsite"
# The sidebar would take a fifth of the width for three entries that the index has too.
admin.site.enable_nav_sidebar = False
admin.site.index_title = "Dashboard"


class _Ticked(admin.ModelAdmin[Any]):
    """Base before a ModelAdmin: groups and permissions are boxes to tick.

    Django's two lists side by side are made by a script, do not fit on a phone, and name the boxes
    that filter them in a way that not every screen reader reads out.
    """

    filter_horizontal = ()
    formfield_overrides: ClassVar = {ManyToManyField: {"widget": CheckboxSelectMultiple}}


class _UserAdmin(_Ticked, KnownParameters, UserAdmin[User]):
    #: Nobody chooses them.
    readonly_fields = ("last_login", "date_joined")


class _GroupAdmin(_Ticked, KnownParameters, GroupAdmin):
    pass


admin.site.unregister([User, Group])
admin.site.register(User, _UserAdmin)
admin.site.register(Group, _GroupAdmin)


def no_such_page(_request: HttpRequest, rest: str) -> NoReturn:  # noqa: ARG001 - the path's
    raise Http404("There is no such page.")


def index(request: HttpRequest) -> HttpResponse:
    """Show the admin's index with the dashboard, to who may see the audit log."""
    may_see = request.user.has_perm("audit.view_auditevent")
    return admin.site.index(request, dashboard.context(request.user) if may_see else {})


urlpatterns = [
    # Before the admin's own index, which this one calls.
    path("", admin.site.admin_view(index)),
    # Before the admin's own login view, which this one calls.
    path("login/", admin_login.login),
    # Django's way to the page of a row on the site. None of our rows has one.
    path("r/<path:rest>", no_such_page),
    path("", admin.site.urls),
]
