import threading

import pytest

from tests.waiting import wait_for
from uploader import stop_deadline
from uploader.stop_deadline import StopDeadline


class Worker:
    is_stopping = False
    in_flight = 3


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def closed(monkeypatch):
    calls = []
    monkeypatch.setattr(stop_deadline.recorder, "close", calls.append)
    return calls


def _start(worker, seconds):
    ended = []
    deadline = StopDeadline(worker, seconds=seconds, end=ended.append)
    deadline.start()
    return deadline, ended


def test_a_stop_that_takes_too_long_ends_the_process_after_the_audit_log(worker, closed, caplog):
    deadline, ended = _start(worker, 3.1)
    worker.is_stopping = True
    wait_for(lambda: ended, "the end")
    assert ended == [0]
    assert closed
    (line,) = [record for record in caplog.records if record.getMessage() == "stop_took_too_long"]
    assert line.in_flight == 3
    assert (deadline._thread.name, deadline._thread.daemon) == ("stop-deadline", True)


def test_a_stop_in_time_ends_nothing(worker, closed):
    deadline, ended = _start(worker, 60)
    worker.is_stopping = True
    deadline.finished()
    assert ended == []


def test_a_worker_that_finishes_by_itself_is_not_waited_for(worker, closed):
    deadline, ended = _start(worker, 60)
    deadline.finished()
    assert ended == []
    assert not [thread for thread in threading.enumerate() if thread.name == "stop-deadline"]


class Finished:
    """An event that is never set. It records how long it was waited for."""

    def __init__(self, worker):
        self.waits = []
        self._worker = worker

    def wait(self, seconds):
        self.waits.append(seconds)
        # Asked to stop at the third look.
        self._worker.is_stopping = len(self.waits) == 3
        return False


def test_the_time_begins_with_the_stop_and_leaves_some_for_the_audit_log(
    worker, closed, monkeypatch
):
    monkeypatch.setattr(stop_deadline.time, "monotonic", lambda: 1000.0)
    ended = []
    deadline = StopDeadline(worker, seconds=20.0, end=ended.append)
    deadline._finished = Finished(worker)
    deadline._run()
    assert deadline._finished.waits == [0.25] * 3 + [17.0]
    assert closed == [1.5]
    assert ended == [0]
