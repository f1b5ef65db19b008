"""Viewers and Operators: made by a migration, and what each may do."""

from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection

pytestmark = pytest.mark.django_db
migration = import_module("cpsite.audit.migrations.0002_roles")
further = import_module("cpsite.dead_letters.migrations.0002_content_and_discard")

EVENTS = "/admin/audit/auditevent/"
LETTERS = "/admin/uploader/deadletterentry/"
VIEW = {"audit.view_auditevent", "uploader.view_deadletterentry"}
#: The part of a schema editor that the migration uses. SQLite allows none in a transaction.
EDITOR = SimpleNamespace(connection=connection)
#: What Operators may do beside: the last two by a migration of the dead letters' own.
ACT = {
    "uploader.redrive_deadletterentry",
    "uploader.discard_deadletterentry",
    "uploader.view_content_deadletterentry",
}


def member(*groups):
    user = User.objects.create_user("member", password="x", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    return user


@pytest.mark.parametrize(
    ("groups", "permissions"),
    [(["Viewers"], VIEW), (["Operators"], VIEW | ACT), ([], set())],
)
def test_a_role_has_these_permissions_and_no_others(groups, permissions):
    assert member(*groups).get_all_permissions() == permissions


@pytest.mark.parametrize(
    ("groups", "statuses"),
    [
        (["Viewers"], {"events": 200, "waiting": 200, "letters": 200, "redrive": 403}),
        (["Operators"], {"events": 200, "waiting": 200, "letters": 200, "redrive": 302}),
        ([], {"events": 403, "waiting": 403, "letters": 403, "redrive": 403}),
    ],
)
def test_pages_keep_to_the_roles(client, queue, monkeypatch, groups, statuses):
    monkeypatch.setattr("cpsite.dead_letters.queue.WAIT_SECONDS", 0)
    client.force_login(member(*groups))
    assert {
        "events": client.get(EVENTS).status_code,
        "waiting": client.get(f"{EVENTS}waiting/").status_code,
        "letters": client.get(LETTERS).status_code,
        "redrive": client.post(LETTERS).status_code,
    } == statuses
    for other in ("/admin/auth/user/", "/admin/auth/group/", f"{EVENTS}add/"):
        assert client.get(other).status_code == 403


def test_the_index_shows_nothing_to_staff_without_a_role(client):
    client.force_login(member())
    assert "have permission to view or edit anything" in client.get("/admin/").content.decode()


def test_users_and_groups_are_for_superusers(admin_client):
    for page in ("/admin/auth/user/", "/admin/auth/group/"):
        assert admin_client.get(page).status_code == 200


def test_it_can_run_again_and_keeps_what_was_added():
    group = Group.objects.get(name="Viewers")
    group.permissions.add(Permission.objects.get(codename="view_user"))
    migration.create_roles(apps, EDITOR)
    assert group.permissions.count() == 3
    assert Group.objects.count() == 2


def test_it_runs_before_django_has_made_the_permissions_and_django_finds_them():
    Group.objects.all().delete()
    for app_label in ("audit", "uploader"):
        ContentType.objects.filter(app_label=app_label).delete()
    ContentType.objects.clear_cache()
    migration.create_roles(apps, EDITOR)
    further.add_to_role(apps, EDITOR)
    for app_label in ("audit", "uploader"):
        create_permissions(apps.get_app_config(app_label), verbosity=0)
    assert member("Operators").get_all_permissions() == VIEW | ACT
    for name in VIEW | ACT:
        assert Permission.objects.filter(codename=name.partition(".")[2]).count() == 1


def test_it_can_be_taken_back_and_its_users_stay():
    user = member("Operators")
    migration.delete_roles(apps, EDITOR)
    assert Group.objects.count() == 0
    assert User.objects.get(pk=user.pk).get_all_permissions() == set()


def test_what_operators_got_later_can_be_taken_back_and_given_again():
    operator = member("Operators")
    further.take_from_role(apps, EDITOR)
    assert User.objects.get(pk=operator.pk).get_all_permissions() == VIEW | {
        "uploader.redrive_deadletterentry"
    }
    further.add_to_role(apps, EDITOR)
    further.add_to_role(apps, EDITOR)
    assert User.objects.get(pk=operator.pk).get_all_permissions() == VIEW | ACT


def test_a_site_without_that_role_gets_none():
    Group.objects.all().delete()
    further.add_to_role(apps, EDITOR)
    assert Group.objects.count() == 0
