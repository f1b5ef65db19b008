import pytest

from cpsite.observability.logging import request_id
from tests import factories


@pytest.mark.parametrize("given", ["abc-1", "Root=1-67891233-abcdef012345678912345678", "a" * 128])
def test_a_request_id_is_taken_from_the_client(client, given):
    assert client.get("/health/live", headers={"X-Request-ID": given})["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "x\x00", "é", "a" * 129, "<script>"])
def test_a_bad_request_id_is_replaced(client, given):
    answer = client.get("/health/live", headers={"X-Request-ID": given})["X-Request-ID"]
    assert answer != given
    assert len(answer) == 32


def test_the_request_id_ends_with_the_request(client):
    client.get("/health/live", headers={"X-Request-ID": "abc"})
    assert request_id.get() == ""


def test_answers_tell_their_length(client):
    answer = client.get("/health/live")
    assert answer["Content-Length"] == str(len(answer.content))


def test_posting_a_message_touches_no_session_user_or_cookie(client, queue):
    answer = client.post("/", factories.envelope(), content_type="application/json")
    assert answer.status_code == 202
    assert not answer.cookies
    assert not hasattr(answer.wsgi_request, "session")
    assert not hasattr(answer.wsgi_request, "_messages")


@pytest.mark.django_db
def test_the_admin_has_sessions_users_and_csrf_protection(client):
    answer = client.get("/admin/login/")
    assert answer.status_code == 200
    assert "csrftoken" in answer.cookies
    assert answer.wsgi_request.user.is_anonymous
    assert hasattr(answer.wsgi_request, "session")


@pytest.mark.django_db
def test_the_admin_without_slash_redirects(client):
    assert client.get("/admin")["Location"] == "/admin/"


@pytest.mark.django_db
def test_the_admin_refuses_unknown_hosts_but_health_checks_by_address_pass(client):
    assert client.get("/admin/", headers={"host": "10.0.0.7"}).status_code == 400
    assert client.get("/health/live", headers={"host": "10.0.0.7"}).status_code == 200
