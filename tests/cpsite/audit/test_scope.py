"""`AUDIT_EVENTS=failures`: what is not recorded, and that nothing is said about it instead."""

import json
import math
import uuid
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.utils import timezone

from cpsite.audit.history import Status, read_history
from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.oldest_waiting import oldest_waiting
from cpsite.audit.scope import NotRecorded, recorded_kinds
from cpsite.audit.unstored import count_unstored, find_waiting
from cpsite.dead_letters.accounting import Person, discarded, redriven
from cpsite.web.queue_watch import OldestMessage, oldest_message_age_seconds
from tests import factories
from uploader import accounting as of_uploader
from uploader import metrics
from uploader.conflicts import ConflictFinder
from uploader.layouts import Part
from validator import accounting as of_validator
from validator.exceptions import TokenUnknown
from validator.metrics import messages_total

pytestmark = pytest.mark.django_db
LIST = "/admin/audit/auditevent/"
WHY = "AUDIT_EVENTS=failures"
DELIVERY = SimpleNamespace(body=b"the stored bytes", attempts=1, sqs_message_id="m-1")


@pytest.fixture
def failures(settings):
    cache.clear()
    settings.AUDIT_EVENTS = "failures"


def _everything():
    """Let each kind of event happen."""
    message = factories.message()
    of_validator.accepted(message, "{}", source_ip=None, duration_ms=1)
    of_validator.refused(TokenUnknown(), client="", source_ip=None, duration_ms=1, message_id=None)
    of_uploader.stored(Part(DELIVERY, message), key="messages/x.json", duration=0.1, log=True)
    of_uploader.failed(DELIVERY, message, reason="aws_SlowDown", retry_in_seconds=5)
    letter = SimpleNamespace(
        message=message,
        message_id=message.message_id,
        sqs_message_id="m-1",
        client="alice",
        reason="aws_SlowDown",
        accepted_at=message.accepted_at,
        attempts=5,
        payload=b"{}",
    )
    redriven(letter, Person(actor="ada"))
    discarded(letter, "by request", Person(actor="ada"))


@pytest.mark.parametrize("scope", ["all", "failures"])
def test_what_is_left_out_is_counted_and_logged_all_the_same(settings, audit, caplog, scope):
    settings.AUDIT_EVENTS = scope
    caplog.set_level("INFO")
    counters = messages_total.labels("accepted"), metrics.messages_total.labels("stored")
    before = [counter._value.get() for counter in counters]
    _everything()
    kinds = ["accepted", "refused", "stored", "failed", "redriven", "discarded"]
    left_out = {"accepted", "stored"} if scope == "failures" else set()
    assert [event.kind for event in audit()] == [kind for kind in kinds if kind not in left_out]
    assert [counter._value.get() for counter in counters] == [number + 1 for number in before]
    assert {"message_accepted", "message_stored"} <= {line.msg for line in caplog.records}


def test_an_access_is_recorded(failures, admin_client, audit):
    AuditEvent.objects.create(kind=Kind.REFUSED, reason="token_unknown")
    admin_client.get(f"{LIST}export/").getvalue()
    assert [event.kind for event in audit()] == ["refused", "read"]
    assert set(recorded_kinds()) == set(Kind) - {Kind.ACCEPTED, Kind.STORED}


def _event(kind, **changes):
    about = {"message_id": factories.message().message_id, "client": "alice"}
    moment = timezone.now() - timedelta(minutes=10)
    return AuditEvent.objects.create(kind=kind, occurred_at=moment, **about | changes)


def test_a_client_is_not_told_a_status(failures, client):
    """Not even that of a message that failed: it may have been stored since."""
    _event(Kind.FAILED)
    path = f"/messages/{factories.message().message_id}/"
    answer = client.get(path, headers={"authorization": f"Bearer {factories.ALICE}"})
    assert (answer.status_code, answer.json()["code"]) == (501, "status_not_recorded")
    assert client.get(path).status_code == 401


def test_a_message_that_failed_may_be_stored(failures):
    message_id = _event(Kind.FAILED).message_id
    assert read_history(message_id).status == Status.UNKNOWN
    # Of a time when all was recorded.
    _event(Kind.STORED, object_key="messages/x.json")
    assert read_history(message_id).status == Status.STORED


def test_a_discarded_message_is_gone(failures):
    message_id = _event(Kind.FAILED).message_id
    _event(Kind.DISCARDED, actor="ada")
    assert read_history(message_id).status == Status.FAILED


def test_trace_says_why_it_knows_less(failures, capsys):
    message_id = _event(Kind.FAILED).message_id
    call_command("trace", str(message_id))
    shown = capsys.readouterr().out
    assert f"{message_id}  unknown" in shown
    assert WHY in shown
    call_command("trace", str(message_id), "--json")
    assert json.loads(capsys.readouterr().out)["status"] == "unknown"
    with pytest.raises(CommandError, match=WHY):
        call_command("trace", str(message_id), "--verify")
    with pytest.raises(CommandError, match=WHY):
        call_command("trace", str(uuid.uuid4()))


@pytest.mark.parametrize("ask", [count_unstored, find_waiting, oldest_waiting])
def test_nobody_may_ask_what_is_not_stored(failures, ask):
    _event(Kind.ACCEPTED)
    with pytest.raises(NotRecorded, match=WHY):
        ask(timezone.now())


@pytest.mark.parametrize(("depth", "age"), [(0.0, 0.0), (5.0, math.nan), (math.nan, math.nan)])
def test_the_age_of_the_oldest_message_is_unknown(failures, depth, age, caplog):
    _event(Kind.ACCEPTED)
    OldestMessage().sample(depth)
    assert oldest_message_age_seconds._value.get() == pytest.approx(age, nan_ok=True)
    assert not caplog.records


def test_no_conflicts_are_looked_for(failures, django_assert_num_queries):
    finder = ConflictFinder()
    with django_assert_num_queries(0):
        finder.look()


def test_pages_do_not_call_messages_missing_or_stored(failures, admin_client):
    message_id = _event(Kind.ACCEPTED).message_id
    _event(Kind.FAILED, reason="aws_SlowDown")
    page = admin_client.get("/admin/").content.decode()
    assert page.count(WHY) == 2  # for the oldest one, and for those that are not stored
    assert "No message waits" not in page
    assert "is stored.<" not in page
    assert 'aria-label="1 failed in the last hour"' in page
    assert "accepted in the last hour" not in page
    page = admin_client.get(f"{LIST}waiting/").content.decode()
    assert WHY in page
    assert str(message_id) not in page
    page = admin_client.get(f"{LIST}message/{message_id}/").content.decode()
    assert WHY in page
    assert "no event says that it is stored" not in page
    page = admin_client.get(f"{LIST}message/{uuid.uuid4()}/").content.decode()
    assert WHY in page


def test_no_page_gives_a_share_of_requests_that_it_does_not_know(failures, admin_client):
    for _ in range(20):
        _event(Kind.REFUSED, reason="contract_required")
    for path in ("/admin/", f"{LIST}clients/", f"{LIST}clients/alice/"):
        page = admin_client.get(path).content.decode()
        assert "20 refused in the last hour" in page
        assert "are refused" not in page


def test_pages_of_clients_show_what_is_known(failures, admin_client):
    _event(Kind.FAILED, reason="aws_SlowDown")
    page = admin_client.get(f"{LIST}clients/").content.decode()
    assert WHY in page
    assert 'aria-label="- accepted in the last hour"' in page
    assert 'aria-label="1 failed in the last hour"' in page
    page = admin_client.get(f"{LIST}clients/alice/").content.decode()
    assert WHY in page
    assert "none of what was accepted" not in page
    assert "none in the last 24 hours" not in page
    AuditEvent.objects.all()._raw_delete("default")
    cache.clear()
    assert "No client has sent anything" not in admin_client.get(f"{LIST}clients/").content.decode()
