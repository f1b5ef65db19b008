"""A message with a known id and another content does not go unnoticed."""

import uuid
from datetime import timedelta
from hashlib import sha256

import pytest
from django.db import OperationalError
from django.utils import timezone

from cpsite.audit.models import AuditEvent
from tests import factories
from tests.logged import lines_of
from tests.waiting import wait_for
from uploader import conflicts, metrics, storage
from uploader.conflicts import OVERLAP, ConflictFinder
from uploader.heartbeat import Heartbeat
from uploader.receiver import Receiver
from uploader.worker import Worker
from validator.publisher import publish_message

pytestmark = pytest.mark.django_db


def event(kind, message_id, content, **values):
    digest = sha256(content.encode()).hexdigest() if content else ""
    return AuditEvent.objects.create(
        kind=kind, message_id=message_id, payload_sha256=digest, **values
    )


def look(finder, caplog):
    before = len(caplog.records)
    finder.look()
    return [
        line.message_id
        for line in caplog.records[before:]
        if line.getMessage() == "message_stored_with_other_content"
    ]


@pytest.mark.parametrize(
    ("events", "is_conflict"),
    [
        ([("accepted", "a"), ("stored", "a")], False),
        ([("accepted", "a"), ("stored", "a"), ("stored", "a")], False),
        ([("stored", "a")], False),
        ([("accepted", ""), ("stored", "a"), ("failed", "")], False),
        ([("accepted", "a"), ("stored", "b")], True),
        ([("stored", "a"), ("stored", "b")], True),
        ([("accepted", "a"), ("stored", "a"), ("stored", "b")], True),
        ([("stored", "b"), ("accepted", "a"), ("stored", "a")], True),
    ],
)
def test_another_content_is_reported_whichever_came_first(caplog, events, is_conflict):
    message_id, other = uuid.uuid4(), uuid.uuid4()
    finder = ConflictFinder()
    before = metrics.conflicting_messages_total._value.get()
    for kind, content in events:
        event(kind, message_id, content)
    event("stored", other, "other")
    assert look(finder, caplog) == [str(message_id)] * is_conflict
    assert look(finder, caplog) == []
    assert metrics.conflicting_messages_total._value.get() == before + is_conflict


def test_a_forgery_after_a_long_time_is_found(caplog):
    message_id = uuid.uuid4()
    long_ago = timezone.now() - timedelta(days=30)
    event("accepted", message_id, "a", occurred_at=long_ago)
    event("stored", message_id, "a", occurred_at=long_ago)
    finder = ConflictFinder()
    assert look(finder, caplog) == []
    event("stored", message_id, "b")
    assert look(finder, caplog) == [str(message_id)]


def test_a_look_without_the_database_is_made_up_for(caplog, monkeypatch):
    finder, message_id = ConflictFinder(), uuid.uuid4()
    event("accepted", message_id, "a")
    event("stored", message_id, "b")
    with monkeypatch.context() as broken:

        def fail(since):
            raise OperationalError("private")

        broken.setattr(conflicts, "_conflicts", fail)
        assert look(finder, caplog) == []
        assert look(finder, caplog) == []
    (line,) = [line for line in caplog.records if line.getMessage() == "conflicts_unknown"]
    assert line.error == "OperationalError"
    assert look(finder, caplog) == [str(message_id)]


def test_a_report_names_the_object_and_is_forgotten_in_the_end(caplog, monkeypatch):
    """What was reported is remembered for as long as a look may find it again."""
    now, message_id = timezone.now(), uuid.uuid4()
    finder = ConflictFinder()
    event("accepted", message_id, "a")
    event("stored", message_id, "b", object_key="messages/x.json")
    finder.look()
    assert lines_of(caplog) == [
        (
            "ERROR",
            "message_stored_with_other_content",
            {"message_id": str(message_id), "object_key": "messages/x.json"},
        )
    ]
    assert list(finder._reported) == [message_id]
    monkeypatch.setattr(conflicts.timezone, "now", lambda: now + timedelta(seconds=200))
    finder.look()
    assert finder._reported == {}
    assert finder._since == now + timedelta(seconds=200) - OVERLAP


def test_a_look_reports_a_bounded_number(caplog, monkeypatch):
    monkeypatch.setattr(conflicts, "LIMIT", 2)
    for _ in range(3):
        message_id = uuid.uuid4()
        event("accepted", message_id, "a")
        event("stored", message_id, "b")
    assert len(look(ConflictFinder(), caplog)) == 2


def test_an_unexpected_error_does_not_end_the_thread(caplog, monkeypatch):
    monkeypatch.setattr(conflicts, "INTERVAL", 0.01)
    released, looks = [], []
    monkeypatch.setattr(conflicts, "release_connection", lambda: released.append(1))
    finder = ConflictFinder()

    def fail_once():
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("a bug")

    monkeypatch.setattr(finder, "look", fail_once)
    finder.start()
    wait_for(lambda: len(looks) > 1, "another look")
    finder.stop()
    finder._thread.join(30)
    assert not finder._thread.is_alive()
    assert len(released) == len(looks)
    assert caplog.text.count("conflicts_failed_unexpectedly") == 1
    assert (finder._thread.name, finder._thread.daemon) == ("conflicts", True)


def test_a_forged_message_on_the_queue_is_reported(queue, bucket, audit, caplog, tmp_path):
    finder = ConflictFinder()
    true = factories.accepted(client="alice", data=factories.fields())
    forged = factories.message(
        message_id=true.message_id,
        accepted_at=true.accepted_at,
        client="alice",
        data=factories.fields(field1="forged"),
    )
    for message in (true, forged):
        publish_message(message.encode())
        Worker(
            receiver=Receiver(concurrency=2),
            store=storage.store,
            heartbeat=Heartbeat(tmp_path / "heartbeat"),
            concurrency=2,
            drain=True,
        ).run()
        audit()
    assert look(finder, caplog) == [str(true.message_id)]
    assert "forged" not in caplog.text


def test_a_forgery_whose_key_is_another_ones_day_is_none(caplog):
    """It replaces nothing: its object has another name. One of the same day is found."""
    now, finder = timezone.now(), ConflictFinder()
    for days, found in ((0, 1), (9, 0)):
        message_id = uuid.uuid4()
        event("accepted", message_id, "a", occurred_at=now - timedelta(days=9), accepted_at=None)
        claimed = now - timedelta(days=9 - days)
        event("stored", message_id, "b", occurred_at=now, accepted_at=claimed)
        assert look(finder, caplog) == [str(message_id)] * found
