"""The Idempotency-Key header: a request and its retries create only one message."""

import json
import logging
import threading
import time
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from cpsite.message import Message
from cpsite.queue.group_commit import NotSent
from tests import factories
from tests.logged import lines_of
from tests.waiting import wait_for
from validator import exceptions, idempotency, metrics, publisher, views
from validator.models import IdempotencyRecord

# A refused INSERT would end the transaction that wraps other tests.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def send(client, queue):
    def post(key="order-1", token=factories.ALICE, **changes):
        body = factories.envelope(token=token, data=factories.fields(**changes))
        headers = {} if key is None else {"idempotency-key": key}
        return client.post("/", json.dumps(body), content_type="application/json", headers=headers)

    return post


def _published(queue):
    return [Message.decode(json.loads(body)["body"].encode()) for body in queue.bodies()]


def _shift(**changes):
    """Move a record's times, as if time had passed."""
    IdempotencyRecord.objects.update(**changes)


def test_the_same_request_twice_is_one_message(send, queue):
    first, second = send(), send()
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    (message,) = _published(queue)
    assert str(message.message_id) == first.json()["message_id"]


def test_browsers_get_the_same(send, queue, client):
    first = send()
    again = client.post(
        "/",
        json.dumps(factories.envelope()),
        content_type="application/json",
        headers={"idempotency-key": "order-1", "accept": "application/json;q=0.9"},
    )
    assert again.status_code == 202
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_repeat_is_counted_and_logged_but_accepted_once(send, queue, caplog, audit):
    caplog.set_level(logging.INFO)
    counter = metrics.messages_total.labels("repeated")
    before = counter._value.get()
    first = send()
    send()
    assert counter._value.get() == before + 1
    (line,) = [record for record in caplog.records if record.getMessage() == "message_repeated"]
    assert line.message_id == first.json()["message_id"]
    assert [event.kind for event in audit()] == ["accepted"]


def test_other_data_with_the_same_key_is_422(send, queue, audit):
    send()
    answer = send(field1="other")
    assert answer.status_code == 422
    assert answer.json()["code"] == "idempotency_key_reused"
    assert len(_published(queue)) == 1
    assert [event.reason for event in audit()] == ["", "idempotency_key_reused"]


def test_the_order_of_fields_and_the_token_in_use_make_no_difference(client, send, queue):
    send()
    data = dict(reversed(factories.fields().items()))
    again = client.post(
        "/",
        json.dumps({"data": data}),
        content_type="application/json",
        headers={
            "idempotency-key": "order-1",
            "authorization": f"Bearer {factories.ALICE_NEXT}",
        },
    )
    assert again.headers["Idempotent-Replayed"] == "true"


def test_keys_belong_to_a_client(send, queue):
    first, second = send(), send(token=factories.BOB)
    assert second.status_code == 202
    assert second.json() != first.json()
    assert {message.client for message in _published(queue)} == {"alice", "bob"}


def test_without_a_key_each_request_is_a_message(send, queue):
    send(key=None)
    send(key=None)
    assert len(_published(queue)) == 2
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.parametrize("key", ["a", "x" * 255, "8e03978e-40d5-43dd-bc93-6894a57f9324", "!~#{}"])
def test_a_key_may_be_quoted_or_not(send, queue, key):
    first = send(key=key)
    assert first.status_code == 202
    assert send(key=f'"{key}"').headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    "key", ["", " ", '""', "x" * 256, "two words", "é", 'a"b', '"a', 'a"', "a,a", '"a,b"']
)
def test_a_bad_key_is_400_and_nothing_is_sent(send, queue, key):
    answer = send(key=key)
    assert answer.status_code == 400
    assert answer.json()["code"] == "idempotency_key_invalid"
    assert not queue.bodies()


def test_an_unauthenticated_caller_learns_nothing_about_keys(send, queue):
    send()
    assert send(token="nobodys-token").status_code == 401
    assert send(token="nobodys-token", key="").status_code == 401


def test_a_broken_contract_leaves_the_key_free(send, queue):
    assert send(field1="").status_code == 400
    assert send().status_code == 202


def _too_large(monkeypatch):
    """Let messages grow too long for SQS, as text full of U+007F does."""
    monkeypatch.setattr("cpsite.queue.client.MESSAGE_BYTES", 10)


def _known_outage(monkeypatch):
    monkeypatch.setattr(publisher._breaker(), "begin", lambda: None)


def _no_turn(monkeypatch):
    def submit(self, item, size=0):
        raise NotSent

    monkeypatch.setattr("cpsite.queue.group_commit.GroupCommit.submit", submit)


NEVER_SENT = {
    "too large": (_too_large, 413),
    "outage": (_known_outage, 503),
    "turn": (_no_turn, 503),
}


@pytest.mark.parametrize("kind", NEVER_SENT)
def test_a_message_that_was_never_sent_leaves_its_key_free(send, queue, monkeypatch, kind):
    break_it, status = NEVER_SENT[kind]
    with monkeypatch.context() as broken:
        break_it(broken)
        assert send().status_code == status
        assert send(field1="other").status_code == status
    shortened = send(field1="new")
    assert shortened.status_code == 202
    assert "Idempotent-Replayed" not in shortened.headers
    assert send(field1="new").json() == shortened.json()
    assert send().status_code == 422
    assert [message.data["field1"] for message in _published(queue)] == ["new"]


@pytest.mark.parametrize("kind", NEVER_SENT)
def test_an_expired_key_is_free_again_as_well(send, queue, monkeypatch, kind):
    send()
    _shift(expires_at=Now() - timedelta(seconds=1))
    with monkeypatch.context() as broken:
        NEVER_SENT[kind][0](broken)
        send(field1="second")
    assert send(field1="third").status_code == 202


@pytest.mark.parametrize("drift", [-0.5, -0.001, 0.001, 0.5])
def test_a_clock_of_the_database_that_drifts_leaves_the_key_free(send, queue, monkeypatch, drift):
    """SQLite tells milliseconds, and NTP corrects the clock of PostgreSQL, not a monotonic one."""

    def not_sent(body):
        record, by = IdempotencyRecord.objects.get(), timedelta(seconds=drift)
        _shift(claimed_until=record.claimed_until + by, expires_at=record.expires_at + by)
        raise exceptions.QueueNotAsked

    with monkeypatch.context() as broken:
        broken.setattr(views, "publish_message", not_sent)
        assert send().status_code == 503
    assert send(field1="other").status_code == 202


@pytest.mark.parametrize("kind", NEVER_SENT)
def test_a_message_that_an_earlier_request_may_have_sent_keeps_its_key(
    send, queue, monkeypatch, kind
):
    with monkeypatch.context() as broken:

        def no_answer(body):
            raise exceptions.QueueUnavailable

        broken.setattr(views, "publish_message", no_answer)
        assert send().status_code == 503
    message_id = IdempotencyRecord.objects.get().message_id
    with monkeypatch.context() as broken:
        NEVER_SENT[kind][0](broken)
        send()
    assert send(field1="other").status_code == 422
    assert send().json()["message_id"] == str(message_id)


def test_a_late_request_does_not_free_the_key_of_who_has_taken_it_over(send, queue, monkeypatch):
    """It was never sent, but so late that another request publishes it meanwhile."""
    monkeypatch.setattr(idempotency.Claim, "_update", lambda self, **changes: None)
    message_id = send().json()["message_id"]
    record = IdempotencyRecord.objects.get()
    first = replace(factories.message(), message_id=record.message_id)
    values = idempotency._values("order-1", first)
    _shift(claimed_until=Now() - timedelta(seconds=1))
    assert IdempotencyRecord.objects.with_now().get().take_over(values)
    late = idempotency.Claim(record.pk, first, given_at=time.monotonic() - 14)
    late.free()
    assert str(IdempotencyRecord.objects.get().message_id) == message_id


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "after an expired one"])
def test_a_request_that_is_held_up_after_it_got_the_key_does_not_free_it(
    send, monkeypatch, is_first
):
    """For as long as its claim lasts, so that another request has it by now."""
    if not is_first:
        send(field1="old")
        _shift(expires_at=Now() - timedelta(seconds=1))
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(idempotency, "time", clock)
    now, query = 1000.0, idempotency._query

    def hold_up(statement):
        nonlocal now
        found = query(statement)
        now += 14
        return found

    monkeypatch.setattr(idempotency, "_query", hold_up)
    message = factories.message()
    late = idempotency.claim("order-1", message)
    _shift(claimed_until=Now() - timedelta(seconds=1))
    record = IdempotencyRecord.objects.with_now().get()
    assert record.take_over(idempotency._values("order-1", message))
    late.free()
    assert str(IdempotencyRecord.objects.get().message_id) == str(message.message_id)


@pytest.mark.parametrize("drift", [-0.9, 0.0, 0.9])
@pytest.mark.parametrize("held_up", [0.0, 7.9])
def test_a_late_request_does_not_free_the_key_of_who_had_it_for_a_moment(send, held_up, drift):
    """Another one took it over at the end of the claim, and got no answer from SQS."""
    seconds = idempotency._claim_seconds()
    message = factories.message()
    claim = idempotency.claim("order-1", message)
    record = IdempotencyRecord.objects.get()
    _shift(claimed_until=Now() - timedelta(seconds=1))
    assert record.take_over(idempotency._values("order-1", message))
    # The first one was held up, then frees the key: for its clock the claim began so much earlier.
    later = timedelta(seconds=seconds + drift - held_up)
    _shift(claimed_until=Now(), expires_at=record.expires_at + later)
    given_at = idempotency._given_at(time.monotonic() - held_up)
    assert given_at is not None
    replace(claim, given_at=given_at).free()
    assert IdempotencyRecord.objects.exists()


def test_while_a_request_is_in_progress_another_one_is_a_409(send, queue, monkeypatch):
    during = []
    publish = views.publish_message

    def slow(body):
        during.append(send())
        publish(body)

    monkeypatch.setattr(views, "publish_message", slow)
    assert send().status_code == 202
    (answer,) = during
    assert answer.status_code == 409
    assert answer.json()["code"] == "idempotency_in_progress"
    assert answer.headers["Retry-After"] == "1"
    assert len(_published(queue)) == 1


def test_after_a_failure_the_same_message_can_be_retried_at_once(send, queue, monkeypatch):
    tried = []
    with monkeypatch.context() as broken:

        def fail(body):
            tried.append(Message.decode(body.encode()))
            raise exceptions.QueueUnavailable

        broken.setattr(views, "publish_message", fail)
        assert send().status_code == 503
    answer = send()
    assert answer.status_code == 202
    assert "Idempotent-Replayed" not in answer.headers
    # SQS may have both. Equal messages are one object.
    assert _published(queue) == tried


def test_a_released_claim_can_be_taken_over_in_the_same_millisecond():
    for number in range(30):
        message = factories.message()
        claim = idempotency.claim(f"order-{number}", message)
        claim.release()
        record = IdempotencyRecord.objects.get(id=claim.record_id)
        assert record.take_over(idempotency._values(f"order-{number}", message))


def test_a_claim_whose_request_died_is_taken_over(send, queue, monkeypatch):
    """As after a kill -9 between the claim and the answer."""
    monkeypatch.setattr(idempotency.Claim, "_update", lambda self, **changes: None)
    first = send()
    assert send().status_code == 409
    _shift(claimed_until=Now() - timedelta(seconds=1))
    second = send()
    assert second.json() == first.json()
    assert "Idempotent-Replayed" not in second.headers
    one, two = _published(queue)
    assert one == two


def test_only_one_request_takes_over_a_claim(send, queue, monkeypatch):
    monkeypatch.setattr(idempotency.Claim, "_update", lambda self, **changes: None)
    send()
    _shift(claimed_until=Now() - timedelta(seconds=1))
    found = IdempotencyRecord.objects.with_now().get()
    values = idempotency._values("order-1", factories.message())
    assert [found.take_over(values), found.take_over(values)] == [True, False]


def test_a_key_is_known_for_its_time(send, queue):
    first = send()
    _shift(expires_at=Now() - timedelta(seconds=1))
    second = send(field1="new")
    assert second.status_code == 202
    assert second.json() != first.json()
    assert send(field1="new").headers["Idempotent-Replayed"] == "true"
    assert send().status_code == 422
    assert len(_published(queue)) == 2
    assert IdempotencyRecord.objects.count() == 1


def test_a_claim_outlasts_a_publish_and_a_key_its_day(send, queue, settings, monkeypatch):
    settings.SQS_PUBLISH_TIMEOUT_SECONDS, settings.IDEMPOTENCY_KEY_SECONDS = 100, 1000
    before = timezone.now()
    send()
    after, record = timezone.now(), IdempotencyRecord.objects.get()
    a_millisecond = timedelta(milliseconds=1)  # SQLite's times have no more digits
    claimed_at = record.claimed_until - timedelta(seconds=100 + 5)
    assert before - a_millisecond <= claimed_at <= after
    assert record.expires_at - record.claimed_until == timedelta(seconds=1000)


def test_an_expired_key_goes_to_only_one_request(send, queue):
    send()
    _shift(expires_at=Now() - timedelta(seconds=1))
    found = IdempotencyRecord.objects.with_now().get()
    one, two = (
        idempotency._values("order-1", factories.accepted(client="alice", data=factories.fields()))
        for _ in range(2)
    )
    assert [found.start_afresh(one), found.start_afresh(two)] == [True, False]


def test_a_slow_request_does_not_touch_the_next_owner_of_its_key(send, queue):
    send()
    record = IdempotencyRecord.objects.get()
    late = idempotency.Claim(record.pk, factories.message())
    late.release()
    late.confirm()
    assert IdempotencyRecord.objects.filter(claimed_until=record.claimed_until).exists()


def test_a_key_that_others_keep_claiming_is_given_up(send, queue, monkeypatch):
    send()
    _shift(expires_at=Now() - timedelta(seconds=1))
    monkeypatch.setattr(IdempotencyRecord, "start_afresh", lambda self, values: False)
    assert send().status_code == 409


def test_a_record_that_is_pruned_meanwhile_is_created_again(send, queue, monkeypatch):
    send()
    find = idempotency._find

    def pruned(values):
        IdempotencyRecord.objects.all().delete()
        return find(values)

    monkeypatch.setattr(idempotency, "_find", pruned)
    answer = send()
    assert answer.status_code == 202
    assert "Idempotent-Replayed" not in answer.headers


def test_without_the_database_a_keyed_request_is_503_and_a_plain_one_goes_on(
    send, queue, monkeypatch
):
    asked = []

    def insert(_values):
        asked.append(1)
        raise OperationalError("could not connect")

    monkeypatch.setattr(idempotency, "_insert", insert)
    answers = [send() for _ in range(5)]
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].json()["code"] == "idempotency_unavailable"
    assert answers[0].headers["Retry-After"] == "5"
    # Three queries fail. Then the circuit breaker is open.
    assert len(asked) == 3
    assert send(key=None).status_code == 202
    assert len(_published(queue)) == 1


def test_a_confirmation_that_cannot_be_recorded_is_still_a_202(send, queue, monkeypatch, caplog):
    query, calls = idempotency._query, []

    def fail_the_second_time(asked):
        calls.append(asked)
        if len(calls) == 2:
            raise exceptions.IdempotencyUnavailable
        return query(asked)

    monkeypatch.setattr(idempotency, "_query", fail_the_second_time)
    assert send().status_code == 202
    (fields,) = [
        fields for _, event, fields in lines_of(caplog) if event == "idempotency_not_noted"
    ]
    assert fields == {"message_id": str(IdempotencyRecord.objects.get().message_id)}


def test_records_hold_neither_keys_nor_content(send, queue):
    send(key="customer-number-4711", field1="private")
    values = " ".join(str(value) for value in IdempotencyRecord.objects.values().get().values())
    assert "customer-number" not in values
    assert "private" not in values


def test_expired_records_are_pruned(send, queue, monkeypatch):
    monkeypatch.setattr(idempotency, "PRUNE_BATCH", 2)
    for number in range(7):
        send(key=f"order-{number}")
    IdempotencyRecord.objects.exclude(message_id=send(key="order-3").json()["message_id"]).update(
        expires_at=Now() - timedelta(seconds=1)
    )
    idempotency.pruner.prune()
    assert IdempotencyRecord.objects.count() == 1


def test_pruning_happens_at_intervals_in_a_thread(monkeypatch):
    clock, done = [0.0], []
    pruner = idempotency.Pruner(clock=lambda: clock[0])

    def prune():
        thread = threading.current_thread()
        done.append((clock[0], thread.name, thread.daemon))

    monkeypatch.setattr(pruner, "prune", prune)
    for number, now in ((0, 0.0), (0, 59.0), (1, 60.0), (1, 61.0), (1, 119.9), (2, 120.0)):
        clock[0] = now
        pruner.prune_aside()
        wait_for(lambda: len(done) >= number, "a pruning")  # noqa: B023
    assert done == [(60.0, "idempotency", True), (120.0, "idempotency", True)]


def test_an_outage_while_pruning_is_logged(monkeypatch, caplog):
    def fail(_limit):
        raise OperationalError("gone")

    monkeypatch.setattr(IdempotencyRecord.objects, "prune_batch", fail)
    idempotency.pruner.prune()
    assert lines_of(caplog) == [("WARNING", "idempotency_not_pruned", {})]


def test_a_request_goes_on_when_no_thread_can_be_started_for_pruning(monkeypatch, caplog):
    def fail(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    clock = [0.0]
    pruner = idempotency.Pruner(clock=lambda: clock[0])
    clock[0] += idempotency.PRUNE_INTERVAL
    pruner.prune_aside()
    assert "idempotency_not_pruned" in caplog.text


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite lets one write at a time")
def test_pruning_waits_for_a_request_that_gives_the_key_to_a_new_message(send, queue):
    """Inside of the statement: the pruner has found the row expired, and waits for its lock."""
    send()
    _shift(expires_at=Now() - timedelta(seconds=1))
    done = []

    def prune():
        done.append(IdempotencyRecord.objects.prune_batch(10))
        connection.close()

    thread = threading.Thread(target=prune)
    with transaction.atomic():
        found = IdempotencyRecord.objects.with_now().get()
        assert found.start_afresh(idempotency._values("order-1", factories.message()))
        thread.start()
        wait_for(_somebody_waits_for_a_lock, "the pruner")
    thread.join(30)
    assert done == [0]
    assert IdempotencyRecord.objects.count() == 1


def _somebody_waits_for_a_lock():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return cursor.fetchone()[0]
