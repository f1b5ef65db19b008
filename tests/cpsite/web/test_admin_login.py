"""The admin's login locks out an address after too many wrong passwords."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from cpsite import settings as cpsite_settings
from cpsite.web import admin_login
from tests import factories
from tests.end_to_end.conftest import ROOT

pytestmark = pytest.mark.django_db
LOGIN = "/admin/login/"
PASSWORD = "the right one, which is long"


#: As it is set for production. The other tests count to three.
LIMIT = settings.AXES_FAILURE_LIMIT


@pytest.fixture(autouse=True)
def _limit(settings):
    settings.AXES_FAILURE_LIMIT = 3


@pytest.fixture(autouse=True)
def _operator():
    User.objects.create_user("operator", password=PASSWORD, is_staff=True)


def log_in(client, password, name="operator", **extra):
    return client.post(LOGIN, {"username": name, "password": password}, **extra)


def guess(client, times, **extra):
    return [log_in(client, f"guess {number}", **extra).status_code for number in range(times)]


def test_a_few_wrong_passwords_are_forgiven(client):
    assert guess(client, 2) == [200, 200]
    assert log_in(client, PASSWORD).status_code == 302
    assert client.get("/admin/").status_code == 200


def test_after_too_many_the_right_one_is_not_looked_at(client):
    assert guess(client, 3) == [200, 200, 429]
    answer = log_in(client, PASSWORD)
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 900
    page = " ".join(answer.content.decode().split())
    assert "Too many wrong passwords came from your address. Try again in 15 minutes" in page
    assert client.get("/admin/").status_code == 302


def test_the_tenth_wrong_password_is_one_too_many(client, settings):
    settings.AXES_FAILURE_LIMIT = LIMIT
    assert guess(client, 10) == [200] * 9 + [429]
    assert log_in(client, PASSWORD).status_code == 429


def test_other_names_from_there_have_to_wait_and_other_addresses_do_not(client):
    for number in range(3):
        log_in(client, "Spring2026!", name=f"user-{number}")
    assert log_in(client, PASSWORD).status_code == 429
    assert log_in(client, PASSWORD, REMOTE_ADDR="192.0.2.9").status_code == 302


def test_the_wait_ends_and_tries_meanwhile_do_not_make_it_longer(client):
    guess(client, 3)
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=10))
    answer = log_in(client, PASSWORD)
    assert int(answer["Retry-After"]) <= 300
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert log_in(client, PASSWORD).status_code == 302
    assert AccessAttempt.objects.count() == 0


@pytest.mark.parametrize("command", [["axes_reset"], ["axes_reset_ip", "127.0.0.1"]])
def test_an_administrator_ends_the_wait(client, command, capsys):
    guess(client, 3)
    call_command(*command)
    assert log_in(client, PASSWORD).status_code == 302


def test_behind_a_proxy_the_address_is_the_one_that_it_saw(client, settings):
    settings.TRUSTED_PROXIES = 1
    # An entry that the client itself writes comes before the one that the proxy appends.
    for number in range(3):
        guess(client, 1, headers={"X-Forwarded-For": f"203.0.113.{number}, 198.51.100.7"})
    other = {"X-Forwarded-For": "198.51.100.7, 192.0.2.44"}
    assert log_in(client, PASSWORD, headers=other).status_code == 302
    guesser = {"X-Forwarded-For": "192.0.2.44, 198.51.100.7"}
    assert log_in(client, PASSWORD, headers=guesser).status_code == 429


def test_a_network_of_ipv6_is_one_caller(client):
    for number in range(3):
        guess(client, 1, REMOTE_ADDR=f"2001:db8:0:1::{number}")
    assert log_in(client, PASSWORD, REMOTE_ADDR="2001:db8:0:1:ffff::1").status_code == 429
    assert log_in(client, PASSWORD, REMOTE_ADDR="2001:db8:0:2::1").status_code == 302


def test_while_too_many_logins_are_under_way_further_ones_are_asked_to_wait(client):
    held = [admin_login._under_way.acquire(blocking=False) for _ in range(admin_login.LOGINS)]
    try:
        assert all(held)
        answer = log_in(client, PASSWORD)
        assert (answer.status_code, answer["Retry-After"]) == (503, str(admin_login.BUSY_SECONDS))
        page = answer.content.decode()
        assert "Too many logins are under way" in page
        assert f'<a href="{LOGIN}">Log in again</a>' in page
        assert client.get(LOGIN).status_code == 200
    finally:
        for _ in held:
            admin_login._under_way.release()
    assert guess(client, 2) == [200, 200]
    assert log_in(client, PASSWORD).status_code == 302


def test_whoever_is_locked_out_cannot_fill_the_log(client, caplog):
    guess(client, 3)
    for _ in range(5):
        assert log_in(client, PASSWORD).status_code == 429
    lines = [line.getMessage() for line in caplog.records]
    assert lines.count("admin_login_throttled") == 1


def test_passwords_are_hashed_as_django_does(settings):
    """The hashes of users who exist stay valid, and commands without gevent make the same."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    django_s = make_password(PASSWORD)
    settings.PASSWORD_HASHERS = cpsite_settings.PASSWORD_HASHERS
    assert check_password(PASSWORD, django_s)
    assert make_password(PASSWORD).startswith(django_s.rpartition("$")[0].rpartition("$")[0])


def test_logins_are_logged_without_what_was_typed(client, caplog):
    caplog.set_level("INFO")
    log_in(client, "guess-1")
    log_in(client, "guess-2", name="my-password-by-mistake")
    log_in(client, PASSWORD)
    log_in(client, "guess-3")
    lines = [
        (line.getMessage(), line.user, line.source_ip)
        for line in caplog.records
        if line.name == "cpsite.web.admin_login"
    ]
    assert lines == [
        ("admin_login_failed", "operator", "127.0.0.1"),
        ("admin_login_failed", None, "127.0.0.1"),
        ("admin_login", "operator", "127.0.0.1"),
        ("admin_login_throttled", "operator", "127.0.0.1"),
    ]
    assert "mistake" not in caplog.text
    assert "guess" not in caplog.text


def test_what_is_kept_holds_no_password(client):
    guess(client, 2)
    (attempt,) = AccessAttempt.objects.all()
    assert attempt.failures_since_start == 2
    assert "guess" not in attempt.post_data + attempt.get_data


@pytest.mark.parametrize("name", ["nul\0byte", "x" * 5_000, "", b"\xff"])
def test_strange_names_are_refused_plainly(client, name):
    assert log_in(client, "guess", name=name).status_code == 200


def test_the_api_asks_nothing_of_it(client, queue, django_assert_num_queries):
    guess(client, 3)
    with django_assert_num_queries(0):
        answer = client.post("/", factories.envelope(), content_type="application/json")
    assert answer.status_code == 202
    assert not hasattr(answer.wsgi_request, "axes_locked_out")


def test_the_uploader_does_without_it():
    """Its image has no django-axes."""
    script = (
        "import sys; sys.modules['axes'] = None\n"
        "from django.core.management import execute_from_command_line\n"
        "execute_from_command_line(['manage.py', 'check'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "CPSITE_SERVICE": "uploader"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
