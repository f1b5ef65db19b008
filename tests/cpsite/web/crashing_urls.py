"""The product's URLs and two views that crash."""

from django.urls import path

from cpsite.urls import handler400, handler404, handler500
from cpsite.urls import urlpatterns as products

__all__ = ["handler400", "handler404", "handler500", "urlpatterns"]


def _crash(request):
    raise RuntimeError("secret detail")


urlpatterns = [path("crash", _crash), path("admin/crash", _crash), *products]
