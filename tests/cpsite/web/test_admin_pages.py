"""Every address of the admin, as every role, and every parameter of every list: none fails.

`make test-slow` runs this on PostgreSQL, too, which refuses values that SQLite takes.
"""

import urllib.parse
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from cpsite.audit.models import AuditEvent, Kind
from cpsite.dead_letters.look import Seen
from tests import factories

pytestmark = pytest.mark.django_db
FAILURE = 500
ROLES = ("nobody", "staff", "Viewers", "Operators", "superuser")
LISTS = (
    "/admin/audit/auditevent/",
    "/admin/uploader/deadletterentry/",
    "/admin/auth/user/",
    "/admin/auth/group/",
)
#: Values for the parts of a path.
PARTS = ("1", "0", "no-such-thing", "99999999999999999999", "a\0b", "é")
#: Values that a database, a parser or a clock may choke on.
VALUES = (
    *("", "\0", "a\0b", "%", "_", "'", '"', "\\", "<b>", "x" * 3_000, "é", "\U0001f600", "\ud800"),
    *(
        "0",
        "-1",
        "1",
        "²",
        "1e400",
        "nan",
        "inf-1",
        "nan-1",
        "1e300-1",
        "-1-1",
        "9" * 30,
        "9" * 5_000,
    ),
    *(f"1-{'9' * 30}", "-62135596800-1", "253402300799.999999-1", "1.5", "true", "None", "null"),
    *(
        "0001-01-01",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59-14:00",
        "9999-12-31",
        "10000-01-01",
    ),
    *("2026-02-30", "2026-11-24T25:00", "2026-W01", "2026-11-24T12:00+99:99", "1,2", "[]", "{}"),
    *("192.0.2.1", "::1", "::ffff:192.0.2.1", "999.1.1.1", "fe80::1%eth0", "6b1f1d5e"),
    *("6b1f1d5e-0000-4000-8000-000000000001", "6B1F1D5E00004000800000000000000%31", "admin"),
)
LOOKUPS = ("", "__exact", "__in", "__isnull", "__gt", "__year", "__date", "__regex", "__contains")
OF_DJANGO = ("q", "p", "o", "all", "e", "_facets", "_popup", "_to_field", "_changelist_filters")


def patterns(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, dict[str, object]]]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            yield from patterns(entry, prefix + str(entry.pattern))
        elif isinstance(entry, URLPattern):
            yield prefix + str(entry.pattern), entry.pattern.converters


def addresses() -> set[str]:
    """Return every route of the admin, with each of PARTS for each of its parts."""
    found = set()
    for route, converters in patterns(get_resolver()):
        if not route.startswith("admin/") or route.endswith("$"):
            continue
        types = [str(each.pk) for each in ContentType.objects.all()]
        for part in PARTS:
            fillings = types if "content_type_id" in converters else [part]
            for filling in fillings:
                path = route
                for name, converter in converters.items():
                    value = filling if name == "content_type_id" else part
                    if type(converter).__name__ == "UUIDConverter":
                        value = "6b1f1d5e-0000-4000-8000-000000000001"
                    for kind in ("str", "path", "int", "uuid"):
                        path = path.replace(f"<{kind}:{name}>", urllib.parse.quote(value))
                    path = path.replace(f"<{name}>", urllib.parse.quote(value))
                assert "<" not in path, route
                found.add("/" + path)
    return found


@pytest.fixture(autouse=True)
def _world(queue, bucket, monkeypatch, client):
    """An event of each kind, a dead letter, and a client that returns a 500 as an answer."""
    monkeypatch.setattr("cpsite.dead_letters.queue.WAIT_SECONDS", 0)
    for kind in Kind:
        AuditEvent.objects.create(
            kind=kind,
            message_id=factories.message().message_id,
            client="alice",
            reason="some_reason",
            source_ip="192.0.2.1",
            object_key="messages/a.json",
            occurred_at=timezone.now(),
        )
    queue.client.send_message(QueueUrl=queue.dlq_url, MessageBody="poison")
    client.raise_request_exception = False


@pytest.fixture
def log_in(client):
    def act(role):
        if role == "nobody":
            return client
        user = User.objects.create_user(role, is_staff=True, is_superuser=role == "superuser")
        user.groups.set(Group.objects.filter(name=role))
        client.force_login(user)
        return client

    return act


@pytest.mark.parametrize("role", ROLES)
def test_no_address_fails_for_anybody(log_in, role):
    client = log_in(role)
    failed = []
    for address in sorted(addresses()):
        if address == "/admin/logout/":
            continue
        for ask in (client.get, client.post):
            answer = ask(address)
            if answer.status_code >= FAILURE:
                failed.append((ask.__name__, address))
            is_closed = role in {"nobody", "staff"} and any(map(address.startswith, LISTS))
            if is_closed and answer.status_code == 200:
                failed.append((ask.__name__, address, "is open"))
    assert failed == []


@pytest.mark.parametrize("rest", ["1/change/", "1/delete/", "1/history/", "add/", "1/", "x/y/"])
@pytest.mark.parametrize("role", ["Viewers", "Operators", "superuser"])
def test_a_dead_letter_has_no_pages_of_a_table(log_in, role, rest):
    client = log_in(role)
    assert client.get(f"/admin/uploader/deadletterentry/{rest}").status_code == 404
    assert client.post(f"/admin/uploader/deadletterentry/{rest}").status_code == 404


def names_of(path: str) -> set[str]:
    """Return the parameters of a list: Django's, ours, and lookups for each field."""
    names = {*OF_DJANGO, "since", "from", "until", "older", "after", "client", "reason", "letter"}
    for model in admin.site._registry:
        if path == f"/admin/{model._meta.app_label}/{model._meta.model_name}/":
            fields = [field.name for field in model._meta.get_fields()]
            names |= {f"{name}{lookup}" for name in fields for lookup in LOOKUPS}
    return names | {"groups__id__exact", "no_such_field", "logentry__id", "a\0b"}


def ask_all(client, path: str, method: str = "get") -> list[tuple[str, str]]:
    failed = []
    for number, name in enumerate(sorted(names_of(path))):
        # Most lookups are refused by their name alone: each gets some values, all together all.
        is_refused = name.endswith(LOOKUPS[2:])
        for value in VALUES[number % 8 :: 8] if is_refused else VALUES:
            query = urllib.parse.urlencode({name: value}, errors="surrogatepass")
            answer = getattr(client, method)(f"{path}?{query}")
            if answer.status_code >= FAILURE:
                failed.append((name, value[:40]))
    return failed


@pytest.mark.slow(reason="asks some thousand pages")
@pytest.mark.parametrize("path", [*LISTS, *(f"{each}add/" for each in LISTS[2:])])
def test_no_parameter_of_a_list_fails(log_in, path, monkeypatch):
    # The overview is the same for each, and has tests of its own.
    monkeypatch.setattr("cpsite.audit.admin.overview.context", dict)
    monkeypatch.setattr("cpsite.dead_letters.admin.look", lambda **_: Seen())
    assert ask_all(log_in("superuser"), path) == []


#: Those that failed, and parameters of pages of our own: in each run of the tests.
PARAMETERS = {
    "/admin/audit/auditevent/": {
        *("q", "p", "o", "e", "_facets", "since", "from", "until", "client", "reason"),
        *("kind__exact", "message_id", "source_ip", "occurred_at__year", "actor", "a\0b"),
    },
    "/admin/audit/auditevent/waiting/": {"older", "after"},
    "/admin/auth/user/": {"q", "username", "last_login__year", "groups__id__exact"},
    "/admin/auth/group/": {"q", "name"},
    "/admin/login/": {"next"},
    "/admin/autocomplete/": {"app_label", "model_name", "field_name", "term"},
    "/admin/auth/user/add/": {"username", "groups", "_to_field", "_popup"},
}


@pytest.mark.parametrize("path", PARAMETERS)
def test_no_parameter_of_a_page_fails(log_in, path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.names_of", PARAMETERS.get)
    assert ask_all(log_in("superuser"), path) == []


@pytest.mark.parametrize("path", LISTS)
def test_no_value_of_a_form_on_a_list_fails(log_in, path):
    client = log_in("superuser")
    actions = {"/admin/audit/auditevent/": "export_csv"}.get(path, "delete_selected")
    form = {"action": actions, "_selected_action": "1", "index": "0", "select_across": "0"}
    failed = []
    for name in (*form, "letter", "post"):
        for value in VALUES:
            if "\ud800" in value:
                continue
            answer = client.post(path, {**form, name: value})
            if answer.streaming:
                b"".join(answer.streaming_content)
            if answer.status_code >= FAILURE:
                failed.append((name, value[:40]))
    assert failed == []


def test_groups_and_permissions_are_boxes_to_tick(admin_client):
    somebody = User.objects.create_user("somebody", is_staff=True)
    group, _ = Group.objects.get_or_create(name="Viewers")  # tests that commit leave none behind
    page = f"/admin/auth/user/{somebody.pk}/change/"
    text = admin_client.get(page).content.decode()
    assert f'<input type="checkbox" name="groups" value="{group.pk}"' in text
    assert "SelectFilter2" not in text
    assert (
        'type="checkbox" name="permissions"'
        in admin_client.get(f"/admin/auth/group/{group.pk}/change/").content.decode()
    )
    form = {"username": "somebody", "is_active": "on", "is_staff": "on", "groups": [group.pk]}
    assert admin_client.post(page, form | {"date_joined_0": "1999-01-01"}).status_code == 302
    somebody.refresh_from_db()
    assert list(somebody.groups.all()) == [group]
    assert somebody.date_joined.year > 1999
