import gc
import logging
import os
import threading
import time
import uuid

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.db.models import QuerySet

from cpsite.audit import recorder as module
from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.recorder import AuditRecorder
from cpsite.observability import metrics

START_THREAD = AuditRecorder._start_thread


def _event(**changes):
    return AuditEvent(**({"kind": Kind.ACCEPTED, "client": "alice"} | changes))


@pytest.fixture
def slept():
    return []


@pytest.fixture
def recorder(slept):
    yield AuditRecorder(sleep=slept.append)
    if connection.vendor == "postgresql":
        # Closes the connection of a thread that has ended: it drops no database in use.
        gc.collect()


@pytest.fixture
def lost(caplog):
    caplog.set_level(logging.ERROR)
    counter = metrics.audit_write_failures_total
    before = counter._value.get()

    def count():
        lines = [r for r in caplog.records if r.getMessage() == "audit_event_lost"]
        assert counter._value.get() - before == len(lines)
        return lines

    return count


@pytest.fixture
def failing(monkeypatch):
    """Make the next INSERTs fail with the given errors."""
    errors = []
    real = QuerySet.bulk_create

    def bulk_create(self, *args, **kwargs):
        if errors:
            raise errors.pop(0)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(QuerySet, "bulk_create", bulk_create)
    return errors


@pytest.mark.django_db
def test_what_has_gathered_is_written_in_one_insert(recorder, django_assert_num_queries):
    for _ in range(20):
        recorder.record(_event())
    with django_assert_num_queries(1):
        recorder.write_pending()
    assert AuditEvent.objects.count() == 20


@pytest.mark.django_db
def test_a_batch_has_a_bound(recorder):
    for _ in range(module.BATCH_SIZE + 1):
        recorder.record(_event())
    recorder.write_pending()
    assert AuditEvent.objects.count() == module.BATCH_SIZE
    recorder.write_pending()
    assert AuditEvent.objects.count() == module.BATCH_SIZE + 1


@pytest.mark.django_db
def test_nothing_to_write_asks_the_database_nothing(recorder, django_assert_num_queries):
    with django_assert_num_queries(0):
        recorder.write_pending()


@pytest.mark.django_db
def test_a_short_outage_loses_nothing(recorder, failing, slept, lost):
    failing += [OperationalError(), InterfaceError()]
    recorder.record(_event())
    recorder.write_pending()
    assert AuditEvent.objects.count() == 1
    assert sum(slept) == pytest.approx(0.1 + 0.5)
    assert not lost()


@pytest.mark.django_db
def test_a_long_outage_is_counted_and_logged_but_never_raised(recorder, failing, lost):
    failing += [OperationalError()] * (len(module.RETRY_DELAYS) + 1)
    message_id = uuid.uuid4()
    recorder.record(_event(message_id=message_id, source_ip="10.0.0.1", reason="r"))
    recorder.write_pending()
    (line,) = lost()
    assert line.cause == "OperationalError"
    assert line.message_id == str(message_id)
    assert (line.kind, line.client, line.source_ip, line.reason) == (
        "accepted",
        "alice",
        "10.0.0.1",
        "r",
    )
    assert AuditEvent.objects.count() == 0


@pytest.mark.django_db
def test_a_stop_does_not_wait_out_a_pause(recorder, slept):
    recorder._sleep = lambda seconds: setattr(recorder, "_closing", True) or slept.append(seconds)
    recorder._pause(4.0)
    assert slept == [0.25]


@pytest.mark.django_db
def test_after_an_outage_events_are_written_again(recorder, failing, lost):
    failing += [OperationalError()] * (len(module.RETRY_DELAYS) + 1)
    recorder.record(_event())
    recorder.write_pending()
    recorder.record(_event())
    recorder.write_pending()
    assert AuditEvent.objects.count() == 1
    assert len(lost()) == 1


@pytest.mark.django_db(transaction=True)
def test_one_row_that_the_database_refuses_costs_only_itself(recorder, lost):
    recorder.record(_event())
    recorder.record(_event(duration_ms="not a number"))
    recorder.record(_event())
    recorder.write_pending()
    assert AuditEvent.objects.count() == 2
    assert len(lost()) == 1


def test_a_full_buffer_loses_the_event_at_once(recorder, lost, monkeypatch):
    monkeypatch.setattr(module, "CAPACITY", 2)
    recorder._start_afresh()
    for _ in range(3):
        recorder.record(_event())
    assert [line.cause for line in lost()] == ["buffer_full"]


@pytest.mark.django_db(transaction=True)
def test_a_thread_writes_and_close_waits_for_it(recorder, monkeypatch):
    monkeypatch.setattr(AuditRecorder, "_start_thread", START_THREAD)
    for _ in range(30):
        recorder.record(_event())
    recorder.close()
    assert AuditEvent.objects.count() == 30
    assert "audit" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.django_db(transaction=True)
def test_after_close_it_can_be_used_again(recorder, monkeypatch):
    monkeypatch.setattr(AuditRecorder, "_start_thread", START_THREAD)
    recorder.record(_event())
    recorder.close()
    recorder.record(_event())
    recorder.close()
    assert AuditEvent.objects.count() == 2


def test_close_without_use_does_nothing(recorder):
    recorder.close()


@pytest.mark.django_db(transaction=True)
def test_what_is_not_written_in_time_is_logged_at_close(recorder, monkeypatch, lost):
    """A hanging database must not hang the process, and the events are logged as lost."""
    monkeypatch.setattr(AuditRecorder, "_start_thread", START_THREAD)
    hanging, go_on = threading.Event(), threading.Event()

    def hang(*_args, **_kwargs):
        hanging.set()
        go_on.wait(30)
        raise OperationalError

    monkeypatch.setattr(QuerySet, "bulk_create", hang)
    recorder.record(_event(client="in-hand"))
    assert hanging.wait(10)
    recorder.record(_event(client="waiting"))
    thread = recorder._thread
    recorder.close(timeout=0.2)
    assert [line.client for line in lost()] == ["in-hand", "waiting"]
    monkeypatch.setattr(module, "RETRY_DELAYS", ())
    go_on.set()
    thread.join(10)


def test_a_stopping_process_does_not_wait_for_the_database(recorder, failing, slept, lost, db):
    failing += [OperationalError()] * 4
    recorder._closing = True
    recorder.record(_event())
    recorder.write_pending()
    assert slept == []
    assert len(lost()) == 1


@pytest.mark.django_db(transaction=True)
def test_an_unforeseen_error_does_not_end_the_thread(recorder, monkeypatch, lost, failing, caplog):
    monkeypatch.setattr(AuditRecorder, "_start_thread", START_THREAD)
    failing.append(RuntimeError("nobody thought of this"))
    recorder.record(_event(client="first"))
    for _ in range(1000):
        if not failing:
            break
        time.sleep(0.01)
    for _ in range(1000):
        if "audit_event_lost" in caplog.text:  # which is written after it was counted
            break
        time.sleep(0.01)
    assert not recorder._in_flight  # or a close would count it once more
    recorder.record(_event(client="second"))
    recorder.close()
    assert [event.client for event in AuditEvent.objects.all()] == ["second"]
    assert [line.client for line in lost()] == ["first"]


def test_a_thread_that_cannot_start_fails_nobody(recorder, monkeypatch, caplog):
    monkeypatch.setattr(AuditRecorder, "_start_thread", START_THREAD)

    def fail(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    recorder.record(_event())
    assert "audit_thread_not_started" in caplog.text
    assert recorder._events.qsize() == 1


def test_a_forked_child_starts_with_an_empty_buffer(recorder):
    recorder.record(_event())
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - coverage does not follow a bare fork
        os.write(write, str(recorder._events.qsize()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"0"
    assert recorder._events.qsize() == 1


@pytest.mark.django_db
def test_the_batch_fits_the_statement(recorder):
    columns = len(AuditEvent._meta.concrete_fields) - 1
    limit = connection.features.max_query_params or 65_535
    assert module.BATCH_SIZE * columns <= max(limit, 32_766)
