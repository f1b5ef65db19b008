import logging
import os
import threading
import uuid

import psycopg
import pytest
from django.db import DataError, InterfaceError, OperationalError, connection, connections

from cpsite.audit import recorder as module
from cpsite.audit.event import Event, now
from cpsite.audit.models import AuditEvent, Kind
from cpsite.audit.recorder import AuditRecorder
from cpsite.observability import metrics
from tests.waiting import wait_for

START_THREAD, CLOSE = AuditRecorder._start_thread, AuditRecorder.close


def _event(**changes):
    return Event(now(), Kind.ACCEPTED, **({"client": "alice"} | changes))


@pytest.fixture
def slept():
    return []


@pytest.fixture
def recorder(slept, monkeypatch):
    """A recorder without a thread: tests write themselves. It notes its pauses, and goes on."""
    monkeypatch.setattr(AuditRecorder, "close", CLOSE)
    # A thread closes its connection at its end: PostgreSQL drops no database in use.
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    made = AuditRecorder()
    closing = made._closing
    monkeypatch.setattr(closing, "wait", lambda s: None if closing.is_set() else slept.append(s))
    return made


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
    """Make the next INSERTs fail with the given errors; None lets one through."""
    errors = []
    real = module.rows.insert

    def insert(events, ids):
        if errors and (error := errors.pop(0)):
            raise error
        return real(events, ids)

    monkeypatch.setattr(module.rows, "insert", insert)
    return errors


@pytest.mark.django_db
def test_what_has_gathered_is_written_in_one_statement(recorder, django_assert_num_queries):
    """PostgreSQL is asked for the ids before."""
    for _ in range(20):
        recorder.record(_event())
    with django_assert_num_queries(2 if connection.vendor == "postgresql" else 1):
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


@pytest.mark.django_db(transaction=True)
def test_a_stop_does_not_wait_out_a_pause(recorder, monkeypatch, failing, lost):
    monkeypatch.setattr(AuditRecorder, "_start_thread", START_THREAD)
    monkeypatch.setattr(module, "RETRY_DELAYS", (3600.0,))
    recorder._start_afresh()  # with pauses that are real
    failing += [OperationalError(), OperationalError()]
    recorder.record(_event())
    wait_for(lambda: len(failing) == 1, "the first attempt")
    recorder.close(timeout=60)
    assert [line.cause for line in lost()] == ["OperationalError"]


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


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("bad", [{0}, {63}, {31, 32}, {3, 40}, set(range(64))], ids=str)
def test_rows_that_are_refused_are_found_in_few_statements(recorder, lost, monkeypatch, bad):
    calls = []
    real = module.rows.insert
    monkeypatch.setattr(
        module.rows, "insert", lambda events, ids: calls.append(events) or real(events, ids)
    )
    for number in range(64):
        changes = {"duration_ms": "not a number"} if number in bad else {}
        recorder.record(_event(client=f"c{number}", **changes))
    recorder.write_pending()
    assert {line.client for line in lost()} == {f"c{number}" for number in bad}
    written = [event.client for event in AuditEvent.objects.order_by("id")]
    assert sorted(written) == sorted(f"c{number}" for number in set(range(64)) - bad)
    assert len(calls) <= 2 * 8 * len(bad)


@pytest.mark.django_db(transaction=True)
def test_an_outage_while_rows_are_written_one_by_one(recorder, failing, lost):
    failing += [DataError(), InterfaceError(), None, OperationalError()]
    for client in ("first", "second"):
        recorder.record(_event(client=client))
    recorder.write_pending()
    assert [event.client for event in AuditEvent.objects.order_by("id")] == ["first", "second"]
    assert not lost()


@pytest.mark.django_db(transaction=True)
def test_a_commit_whose_answer_is_lost(recorder, lost, monkeypatch):
    """The connection breaks when the database has committed: nothing is written twice or lost."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite is in the process: it cannot be cut off")
    commits = _failing_commits(monkeypatch, is_done=True)
    recorder.record(_event(client="first"))
    recorder.record(_event(client="second"))
    recorder.write_pending()
    assert len(commits) == 2
    assert [event.client for event in AuditEvent.objects.order_by("id")] == ["first", "second"]
    assert not lost()


@pytest.mark.django_db(transaction=True)
def test_a_server_that_ends_the_connection_in_the_middle(recorder, lost, monkeypatch):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite is in the process: it cannot be cut off")
    real, taken = module.rows._take_ids, []

    def take_ids(number):
        taken.extend(real(number))
        with connection.cursor() as cursor, pytest.raises(OperationalError):
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return taken

    monkeypatch.setattr(module.rows, "_take_ids", take_ids)
    recorder.record(_event(client="first"))
    recorder.record(_event(client="second"))
    recorder.write_pending()
    events = AuditEvent.objects.order_by("id")
    assert list(events.values_list("id", "client")) == list(
        zip(taken, ["first", "second"], strict=True)
    )
    assert not lost()


@pytest.mark.django_db(transaction=True)
def test_a_commit_that_fails(recorder, lost, monkeypatch):
    """Others may get the ids of its rows meanwhile: SQLite gives them again."""
    recorder.record(_event(client="first"))
    recorder.record(_event(client="second"))
    commits = _failing_commits(monkeypatch, is_done=False)
    other = [AuditEvent(kind=Kind.ACCEPTED, client="another")]
    monkeypatch.setattr(recorder._closing, "wait", lambda _s: AuditEvent.objects.bulk_create(other))
    recorder.write_pending()
    assert len(commits) == 3
    clients = {event.client for event in AuditEvent.objects.all()}
    assert clients == {"another", "first", "second"}
    assert not lost()


def _failing_commits(monkeypatch, *, is_done):
    """Let the next COMMIT or COPY report a failure, done or not. Return a list that counts them."""
    commits = []
    wrapper = type(connections["default"])
    commit, end_copy = wrapper._commit, psycopg.Copy.__exit__

    def fail(connection):
        if is_done:
            connection.close()
        raise psycopg.OperationalError("the connection is lost")

    def failing_commit(self):
        commits.append(self)
        if len(commits) > 1 or is_done:
            commit(self)
        if len(commits) == 1:
            raise OperationalError("the connection is lost")

    def failing_copy(self, *error):
        commits.append(self)
        if len(commits) > 1 or is_done:
            end_copy(self, *error)
        else:
            end_copy(self, psycopg.OperationalError, psycopg.OperationalError(), None)
        if len(commits) == 1:
            fail(self.connection)

    monkeypatch.setattr(wrapper, "_commit", failing_commit)
    monkeypatch.setattr(psycopg.Copy, "__exit__", failing_copy)
    return commits


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


@pytest.mark.django_db(transaction=True)
def test_an_event_on_its_own_is_written_without_a_close(recorder, monkeypatch):
    """The thread goes to sleep when there is nothing to write, and is woken again."""
    monkeypatch.setattr(AuditRecorder, "_start_thread", START_THREAD)
    recorder._closing = threading.Event()  # one that waits: SQLite may be locked by who counts
    for number in range(3):
        recorder.record(_event())
        wait_for(lambda n=number: _count() == n + 1, "the event")
    recorder.close()


def _count():
    try:
        return AuditEvent.objects.count()
    except OperationalError:  # in memory, SQLite locks the table for readers, too
        return None


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

    monkeypatch.setattr(module.rows, "insert", hang)
    recorder.record(_event(client="in-hand"))
    assert hanging.wait(10)
    recorder.record(_event(client="waiting"))
    thread = recorder._thread
    recorder.close(timeout=0.2)
    assert [line.client for line in lost()] == ["in-hand", "waiting"]
    recorder.close(timeout=3600)  # the interpreter's, at its exit: it does not wait once more
    assert thread.is_alive()
    go_on.set()
    thread.join(60)
    assert not thread.is_alive()
    assert len(lost()) == 2


@pytest.mark.django_db(transaction=True)
def test_the_deadline_of_a_stop_closes_beside_the_stop(recorder, monkeypatch, lost):
    """While the database hangs, the stop waits. Its deadline must count, and end the process."""
    monkeypatch.setattr(AuditRecorder, "_start_thread", START_THREAD)
    hanging, go_on = threading.Event(), threading.Event()

    def hang(*_args, **_kwargs):
        hanging.set()
        go_on.wait(60)
        raise OperationalError

    monkeypatch.setattr(module.rows, "insert", hang)
    recorder.record(_event(client="in-hand"))
    assert hanging.wait(60)
    recorder.record(_event(client="waiting"))
    stop = threading.Thread(target=recorder.close, args=[60])
    stop.start()
    wait_for(recorder._closing.is_set, "the stop")
    recorder.close(timeout=0.2)
    assert [line.client for line in lost()] == ["in-hand", "waiting"]
    go_on.set()
    stop.join(60)
    assert not stop.is_alive()
    assert len(lost()) == 2


def test_a_stopping_process_does_not_wait_for_the_database(recorder, failing, slept, lost, db):
    failing += [OperationalError()] * (len(module.RETRY_DELAYS) + 1)
    recorder._closing.set()
    recorder.record(_event())
    recorder.write_pending()
    assert slept == []
    assert len(lost()) == 1


@pytest.mark.django_db(transaction=True)
def test_an_unforeseen_error_does_not_end_the_thread(recorder, monkeypatch, lost, failing, caplog):
    monkeypatch.setattr(AuditRecorder, "_start_thread", START_THREAD)
    failing.append(RuntimeError("nobody thought of this"))
    recorder.record(_event(client="first"))
    wait_for(lambda: not failing, "the first attempt")
    # Written after it was counted.
    wait_for(lambda: "audit_event_lost" in caplog.text, "the log line")
    assert not recorder._events  # or a close would count it once more
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
    assert len(recorder._events) == 1


@pytest.mark.django_db(transaction=True)
def test_what_no_thread_could_write_is_written_when_one_can_be_started(recorder, monkeypatch, lost):
    recorder.record(_event())
    monkeypatch.setattr(AuditRecorder, "_start_thread", START_THREAD)
    recorder.close()
    assert AuditEvent.objects.count() == 1
    assert not lost()


def test_what_no_thread_can_write_is_lost_at_close(recorder, lost):
    recorder.record(_event(actor="ada", row_count=7))
    recorder.close()
    (line,) = lost()
    assert (line.cause, line.actor, line.row_count) == ("stopped", "ada", 7)
    recorder.close()
    assert len(lost()) == 1


@pytest.mark.django_db
def test_the_log_line_of_a_lost_event_holds_all_of_it(recorder, lost):
    recorder.record(_event())
    recorder.close()
    (line,) = lost()
    columns = {field.name for field in AuditEvent._meta.concrete_fields} - {"id"}
    assert columns <= set(vars(line))


def test_a_forked_child_starts_with_an_empty_buffer(recorder):
    recorder.record(_event())
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - coverage does not follow a bare fork
        os.write(write, str(len(recorder._events)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"0"
    assert len(recorder._events) == 1
