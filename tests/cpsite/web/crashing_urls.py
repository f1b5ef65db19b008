"""The product's URLs and views that crash."""

from django.db import InterfaceError, OperationalError
from django.urls import path

from cpsite.urls import handler400, handler404, handler500
from cpsite.urls import urlpatterns as products

__all__ = ["handler400", "handler404", "handler500", "urlpatterns"]


def _crash(request):
    raise RuntimeError("secret detail")


def _without_the_database(request):
    raise OperationalError("secret host")


def _with_a_lost_connection(request):
    raise InterfaceError("secret host")


urlpatterns = [
    path("crash", _crash),
    path("admin/crash", _crash),
    path("admin/unavailable", _without_the_database),
    path("admin/lost", _with_a_lost_connection),
    *products,
]
