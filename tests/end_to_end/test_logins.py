"""Passwords are hashed aside: logins, from however many networks, stall nothing else."""

import http.client
import re
import threading
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest

from tests import factories
from tests.end_to_end.conftest import Services

pytestmark = pytest.mark.end_to_end

NETWORKS = 6
PASSWORD = "the right one, which is long"
ADMIN = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}


class Browser:
    """A browser behind the proxy that the service trusts, with an address of its own."""

    def __init__(self, services: Services, address: str) -> None:
        self._port = services.port
        self._headers = {"X-Forwarded-For": address}
        self._cookies: dict[str, str] = {}

    def headers(self) -> dict[str, str]:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        return {**self._headers, "Cookie": cookies}

    def _ask(self, method: str, path: str, form: dict[str, str] | None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        headers = self.headers()
        body = None
        if form is not None:
            body = urllib.parse.urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            for cookie in answer.headers.get_all("Set-Cookie", []):
                name, _, value = cookie.partition(";")[0].partition("=")
                self._cookies[name] = value
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, str]:
        return self._ask("GET", path, None)

    def post(self, path: str, **form: str) -> tuple[int, str]:
        _, page = self.get(path)
        return self._ask("POST", path, {**form, "csrfmiddlewaretoken": self.form_token(page)})

    def form_token(self, page: str) -> str:
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert found, page
        return found[1]

    def log_in(self, password: str = PASSWORD, name: str = "root") -> int:
        return self.post("/admin/login/?next=/admin/", username=name, password=password)[0]


def make_superuser(services: Services) -> None:
    services.environment |= ADMIN
    made = services.manage("createsuperuser", "--noinput", "--username=root", "--email=a@b.example")
    assert made.returncode == 0, made.stderr


def _meanwhile(
    services: Services, actions: list[Callable[[], Any]], *, sends: bool = False
) -> tuple[list[Any], int]:
    """Run the actions at once; return their results, and how often others were served meanwhile.

    The others ask for health, and with `sends` they send a message with a key.
    """
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda each=each: results.append(each()))  # type: ignore[misc]
        for each in actions
    ]
    for thread in threads:
        thread.start()
    answered = 0
    while any(thread.is_alive() for thread in threads):
        assert services.get("/health/live")[0] == 200
        if sends:
            key = {"Idempotency-Key": f"key-{answered}"}
            assert services.post(factories.fields(), **key)[0] == 202
        answered += 1
    return results, answered


def test_wrong_logins_from_many_networks_do_not_stall_the_process(services: Services) -> None:
    """Were hashes computed in turn with requests, there would be one health check for each.

    There are more logins than the database's pool has connections: a message with a key needs one.
    """
    services.validator(WEB_CONCURRENCY="1", TRUSTED_PROXIES="1", DATABASE_POOL_SIZE="2")
    browsers = [Browser(services, f"2001:db8:0:{number:x}::1") for number in range(NETWORKS)]

    results, answered = _meanwhile(
        services, [lambda each=each: each.log_in("a guess") for each in browsers], sends=True
    )

    assert results == [200] * NETWORKS
    assert answered > 2 * NETWORKS


@pytest.mark.slow(reason="hashes six passwords, each for long on purpose")
def test_every_form_that_sets_or_checks_a_password_leaves_the_process_free(
    services: Services,
) -> None:
    make_superuser(services)
    services.validator(WEB_CONCURRENCY="1", TRUSTED_PROXIES="1")
    browser = Browser(services, "192.0.2.1")
    assert browser.log_in() == 302
    new = "another one, which is long"
    forms = {
        "/admin/auth/user/add/": {
            "username": "second",
            "usable_password": "true",
            "password1": new,
            "password2": new,
        },
        "/admin/auth/user/1/password/": {
            "usable_password": "true",
            "password1": new,
            "password2": new,
        },
        "/admin/password_change/": {
            "old_password": new,
            "new_password1": PASSWORD,
            "new_password2": PASSWORD,
        },
    }
    for path, form in forms.items():
        results, answered = _meanwhile(
            services, [lambda path=path, form=form: browser.post(path, **form)[0]]
        )
        assert results == [302], path
        # Two pages and a hash: without a thread of its own, the hash lets none in between.
        assert answered > 8, path


@pytest.mark.parametrize("pool", ["0", "2"])
def test_a_login_without_the_database_is_asked_to_come_back(services: Services, pool: str) -> None:
    nobody = "postgresql://nobody@127.0.0.1:1/nothing"
    services.validator(DATABASE_URL=nobody, DATABASE_POOL_SIZE=pool)
    browser = Browser(services, "192.0.2.1")
    status, page = browser.post("/admin/login/", username="root", password=PASSWORD)
    assert status == 503
    assert "The database does not answer" in page
