import pytest
from django.test import Client


@pytest.mark.parametrize("given", ["/nope", "/messages", "/health", "/metrics", "/?format=xml"])
def test_unknown_paths_are_404_in_the_api_shape(client, given):
    answer = client.get(given)
    if given == "/?format=xml":  # no such override: the Accept header decides
        assert answer.status_code == 200
        return
    assert answer.status_code == 404
    assert answer.json().keys() == {"code", "detail"}
    assert answer.json()["code"] == "not_found"
    assert answer.json()["detail"].startswith("There is nothing at this path.")


@pytest.mark.urls("tests.cpsite.web.crashing_urls")
def test_a_crash_outside_of_the_views_tells_nothing(client):
    client.raise_request_exception = False
    answer = client.get("/crash")
    assert answer.status_code == 500
    assert answer.json() == {
        "code": "internal_error",
        "detail": "Something went wrong on our side.",
    }


@pytest.mark.django_db
@pytest.mark.urls("tests.cpsite.web.crashing_urls")
@pytest.mark.parametrize(
    ("given", "status", "told"),
    [
        ("/admin/crash", 500, "Something went wrong on our side"),
        ("/admin/audit/nope/", 404, "There is nothing at this address"),
    ],
)
def test_the_admin_answers_with_pages(admin_client, given, status, told):
    admin_client.raise_request_exception = False
    answer = admin_client.get(given, headers={"x-request-id": "request-1"})
    assert answer.status_code == status
    assert answer["Content-Type"].startswith("text/html")
    page = answer.content.decode()
    assert told in page
    assert "secret" not in page
    assert '<a href="/admin/">Back to the admin</a>' in page
    assert ("request-1" in page) == (status == 500)


@pytest.mark.django_db
def test_a_forbidden_page_says_who_is_logged_in_and_lets_them_log_out(client, django_user_model):
    user = django_user_model.objects.create_user("erna <b>", is_staff=True)
    client.force_login(user)
    answer = client.get("/admin/audit/auditevent/")
    assert answer.status_code == 403
    page = answer.content.decode()
    assert "You may not open this page" in page
    assert "erna &lt;b&gt;" in page
    assert '<a href="/admin/">Back to the admin</a>' in page
    assert '<form method="post" action="/admin/logout/">' in page


@pytest.mark.django_db
def test_a_form_without_our_token_is_told_what_to_do(admin_user):
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    answer = client.post("/admin/password_change/", {})
    assert answer.status_code == 403
    assert "load the page again" in answer.content.decode()


#: What Chromium and Firefox send, and what libraries send that are not browsers.
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
LIBRARIES = ("*/*", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "application/json")


@pytest.mark.parametrize(("given", "status"), [("/nope", 404), ("/crash", 500)])
@pytest.mark.urls("tests.cpsite.web.crashing_urls")
def test_a_browser_is_shown_a_page_with_a_way_back(client, given, status):
    client.raise_request_exception = False
    answer = client.get(given, headers={"accept": BROWSER})
    assert answer.status_code == status
    assert answer["Content-Type"].startswith("text/html")
    assert answer["Vary"] == "Accept"
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    page = answer.content.decode()
    assert '<a href="/">' in page
    assert "secret" not in page
    for accept in LIBRARIES:
        assert client.get(given, headers={"accept": accept}).json()["code"]
    assert client.post(given, headers={"accept": BROWSER}).json()["code"]


def test_without_the_api_a_browser_gets_json(client, settings):
    settings.SERVES_API = False
    assert client.get("/nope", headers={"accept": BROWSER}).json()["code"] == "not_found"


@pytest.mark.urls("tests.cpsite.web.crashing_urls")
@pytest.mark.parametrize("given", ["/admin/unavailable", "/admin/lost"])
def test_an_admin_page_without_the_database_may_be_asked_for_again(client, given):
    client.raise_request_exception = False
    answer = client.get(given)
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert answer["Content-Type"].startswith("text/html")
    assert b"The database does not answer" in answer.content
    assert b"secret" not in answer.content


@pytest.mark.parametrize(("given", "kind"), [("/", "application/json"), ("/admin/", "text/html")])
def test_what_django_refuses_is_a_400(rf, given, kind):
    from cpsite.web.error_views import bad_request

    answer = bad_request(rf.get(given), Exception("secret"))
    assert answer.status_code == 400
    assert answer["Content-Type"].startswith(kind)
    assert b"secret" not in answer.content


def test_head_answers_and_options_reveals_nothing(client):
    assert client.head("/").status_code == 200
    answer = client.options("/")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_an_accept_header_that_we_cannot_meet_is_406(client, queue, db):
    answer = client.post("/", "{}", content_type="application/json", headers={"accept": "text/csv"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
