"""`GET /messages/<message_id>/`: a client asks for the status of its message."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import OperationalError

from cpsite.audit.models import AuditEvent, Kind
from tests import factories
from validator import message_status

pytestmark = pytest.mark.django_db

ID = uuid.UUID("6b1f1d5e-0000-4000-8000-000000000001")
ACCEPTED_AT = datetime(2026, 11, 23, 23, 59, 59, 5, tzinfo=UTC)


@pytest.fixture
def ask(client):
    def get(message_id=ID, token=factories.ALICE, **headers):
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return client.get(f"/messages/{message_id}/", headers=headers)

    return get


def _event(kind, seconds=0, **changes):
    values = {"message_id": ID, "client": "alice", "accepted_at": ACCEPTED_AT}
    return AuditEvent.objects.create(
        kind=kind, occurred_at=ACCEPTED_AT + timedelta(seconds=seconds), **(values | changes)
    )


def test_a_message_that_was_just_accepted_is_queued(client, queue, ask, audit):
    body = json.dumps(factories.envelope())
    sent = client.post("/", body, content_type="application/json").json()
    (event,) = audit()
    assert ask(sent["message_id"]).json() == {
        "message_id": sent["message_id"],
        "status": "queued",
        "contract": "message",
        "accepted_at": f"{event.accepted_at:%Y-%m-%dT%H:%M:%S.%fZ}",
        "stored_at": None,
        "object_key": None,
    }


def test_a_stored_message_has_its_time_and_key(ask):
    _event(Kind.ACCEPTED)
    _event(Kind.STORED, 2, object_key="messages/2026/11/23/x.json")
    # Delivered a second time.
    _event(Kind.STORED, 9, object_key="messages/2026/11/23/x.json")
    answer = ask()
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    assert answer.json() == {
        "message_id": str(ID),
        "status": "stored",
        "contract": "message",
        "accepted_at": "2026-11-23T23:59:59.000005Z",
        "stored_at": "2026-11-24T00:00:01.000005Z",
        "object_key": "messages/2026/11/23/x.json",
    }


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        ([Kind.ACCEPTED], "queued"),
        ([Kind.FAILED], "failed"),
        ([Kind.ACCEPTED, Kind.FAILED, Kind.FAILED], "failed"),
        ([Kind.ACCEPTED, Kind.FAILED, Kind.REDRIVEN], "queued"),
        ([Kind.ACCEPTED, Kind.FAILED, Kind.STORED], "stored"),
        ([Kind.STORED, Kind.FAILED], "stored"),
        # Publishing failed, but SQS may have it.
        ([Kind.REFUSED], "queued"),
    ],
)
def test_its_status_follows_from_its_events(ask, kinds, status):
    for seconds, kind in enumerate(kinds):
        _event(kind, seconds)
    assert ask().json()["status"] == status


def test_the_reason_of_a_failure_is_only_for_operators(ask):
    _event(Kind.FAILED, reason="aws_AccessDenied")
    assert "AccessDenied" not in ask().content.decode()


def test_a_lost_event_does_not_hide_the_others(ask):
    _event(Kind.STORED, 1, object_key="messages/2026/11/23/x.json")
    assert ask().json()["accepted_at"] == "2026-11-23T23:59:59.000005Z"


def test_a_client_cannot_see_the_messages_of_others(ask):
    _event(Kind.ACCEPTED)
    theirs, nobodys = ask(token=factories.BOB), ask(uuid.uuid4())
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.json() == nobodys.json()
    assert theirs.json()["code"] == "message_unknown"


def test_an_invalid_id_is_a_404(ask):
    answer = ask("6b1f1d5e")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("token", "code"), [(None, "token_missing"), ("a-token-of-nobody", "token_unknown")]
)
def test_an_unauthenticated_caller_learns_nothing_and_is_audited(ask, audit, token, code):
    _event(Kind.ACCEPTED)
    answer = ask(token=token)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert "Bearer" in answer["WWW-Authenticate"]
    refused = audit()[-1]
    assert (refused.kind, refused.reason, refused.message_id) == ("refused", code, None)
    assert refused.source_ip == "127.0.0.1"


def test_a_refusal_has_the_milliseconds_of_the_request(ask, audit, monkeypatch):
    seconds = iter([100.0, 100.25])
    monkeypatch.setattr(message_status, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    ask(token="a-token-of-nobody")
    assert audit()[-1].duration_ms == 250


def test_token_guessing_is_throttled_and_does_not_fill_the_audit_log(ask, audit, settings):
    settings.THROTTLE_REFUSED_RATE = "2/min"
    answers = [ask(token="a-token-of-nobody") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 429, 429]
    assert int(answers[-1]["Retry-After"]) >= 1
    assert len(audit()) == 2
    _event(Kind.ACCEPTED)
    assert ask().status_code == 200


def test_status_requests_count_towards_the_rate_of_a_client(ask, settings):
    settings.THROTTLE_CLIENT_RATE = "1/min"
    _event(Kind.ACCEPTED)
    assert [ask().status_code, ask().status_code] == [200, 429]


def test_without_the_database_it_is_a_503_with_retry_after(ask, monkeypatch):
    def fail(_message_id):
        raise OperationalError("postgresql://user:password@host/name")

    monkeypatch.setattr(message_status, "read_history", fail)
    answer = ask()
    assert (answer.status_code, answer.json()["code"]) == (503, "status_unavailable")
    assert int(answer["Retry-After"]) >= 1
    assert "password" not in answer.content.decode()


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_nothing_can_be_changed(client, method):
    answer = getattr(client, method)(
        f"/messages/{ID}/", headers={"authorization": f"Bearer {factories.ALICE}"}
    )
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_a_browser_gets_a_page(ask):
    _event(Kind.ACCEPTED)
    answer = ask(accept="text/html")
    assert answer["Content-Type"].startswith("text/html")
    assert "queued" in answer.content.decode()
