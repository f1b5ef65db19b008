import pytest


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
@pytest.mark.parametrize(("given", "status"), [("/admin/crash", 500), ("/admin/audit/nope/", 404)])
def test_the_admin_answers_with_pages(admin_client, given, status):
    admin_client.raise_request_exception = False
    answer = admin_client.get(given)
    assert answer.status_code == status
    assert answer["Content-Type"].startswith("text/html")
    assert b"secret" not in answer.content


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
