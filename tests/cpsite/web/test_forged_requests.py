"""Another site's page cannot act in the name of an operator who is logged in."""

import uuid

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, get_resolver, path, reverse

from cpsite.audit.models import AuditEvent, Kind

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(admin_user):
    """A browser with a session, whose requests another site's page makes."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    return client


def _patterns(found, namespaces=()):
    for entry in found:
        if isinstance(entry, URLPattern):
            if entry.name:
                yield ":".join([*namespaces, entry.name]), entry.pattern.converters
        else:
            inner = (*namespaces, entry.namespace) if entry.namespace else namespaces
            yield from _patterns(entry.url_patterns, inner)


def _addresses():
    """One address of every view of the admin."""
    values = {"int": 1, "uuid": uuid.UUID(int=1), "str": "x", "path": "1", "slug": "x"}
    for name, converters in _patterns(get_resolver().url_patterns):
        if name.startswith("admin:"):
            kinds = {
                argument: type(converter).__name__.removesuffix("Converter").lower()
                for argument, converter in converters.items()
            }
            arguments = {argument: values.get(kind, "x") for argument, kind in kinds.items()}
            if "app_label" not in name and name != "admin:app_list":
                yield name, arguments


ADDRESSES = sorted(_addresses(), key=str)


def test_there_are_views_to_try():
    assert len(ADDRESSES) > 20


@pytest.mark.parametrize(("name", "arguments"), ADDRESSES, ids=[name for name, _ in ADDRESSES])
def test_no_view_of_the_admin_takes_a_form_of_another_site(client, name, arguments):
    answer = client.post(reverse(name, kwargs=arguments), {"action": "x"})
    assert answer.status_code == 403
    assert b"CSRF" in answer.content


def test_an_export_is_not_made_for_another_site(client):
    event = AuditEvent.objects.create(kind=Kind.ACCEPTED)
    form = {"action": "export_csv", "_selected_action": [event.pk]}
    assert client.post("/admin/audit/auditevent/", form).status_code == 403


def _change_something(_request):
    return HttpResponse("done")


urlpatterns = [path("new/", _change_something)]


def test_a_view_that_says_nothing_of_forged_forms_is_protected(client, settings):
    """The admin's views ask for it one by one. A view that is added later need not."""
    settings.ROOT_URLCONF = __name__
    assert client.get("/new/").status_code == 200
    assert client.post("/new/").status_code == 403
