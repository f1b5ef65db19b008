import threading
import time

import pytest

from tests.waiting import wait_for
from uploader import metrics
from uploader.backoff import PAUSE_SECONDS_MAX, pause_seconds
from uploader.storage_outage import OUTAGE_FAILURES, StorageOutage


@pytest.fixture
def outage():
    return StorageOutage()


def _fail(outage, times=OUTAGE_FAILURES):
    for _ in range(times):
        outage.failed()


def test_a_few_failures_are_no_outage(outage):
    _fail(outage, OUTAGE_FAILURES - 1)
    assert not outage.is_on
    outage.succeeded()
    _fail(outage, OUTAGE_FAILURES - 1)
    assert not outage.is_on


def test_consecutive_failures_are_an_outage_and_set_the_metric(outage, caplog):
    _fail(outage, OUTAGE_FAILURES + 3)
    assert outage.is_on
    assert metrics.storage_available._value.get() == 0
    assert caplog.text.count("storage_is_away") == 1
    outage.succeeded()
    assert not outage.is_on
    assert metrics.storage_available._value.get() == 1
    assert caplog.text.count("storage_is_back") == 1


def test_it_knows_when_something_was_stored(outage):
    moment = time.monotonic()
    assert not outage.has_stored_since(moment)
    outage.succeeded()
    assert outage.has_stored_since(moment)
    assert not outage.has_stored_since(time.monotonic())


def _wait_in_thread(outage, seconds=60.0, is_stopping=lambda: False):
    beats, results = [], []
    thread = threading.Thread(
        target=lambda: results.append(
            outage.wait(seconds, is_stopping=is_stopping, beat=lambda: beats.append(1))
        )
    )
    thread.start()
    wait_for(lambda: beats, "the wait")
    return thread, beats, results


def test_the_end_of_an_outage_wakes_waiting_threads(outage):
    _fail(outage)
    waits = [_wait_in_thread(outage) for _ in range(3)]
    outage.succeeded()
    for thread, _, results in waits:
        thread.join(30)
        assert results == [True]


def test_a_success_of_another_does_not_shorten_a_pause_outside_of_an_outage(outage):
    """Otherwise a message that fails by itself would be retried in a busy loop."""
    _fail(outage, 1)
    stopping = threading.Event()
    thread, beats, results = _wait_in_thread(outage, seconds=3600.0, is_stopping=stopping.is_set)
    outage.succeeded()
    before = len(beats)
    wait_for(lambda: len(beats) > before + 2, "some more beats")
    assert results == []
    stopping.set()
    thread.join(30)


def test_a_stop_ends_a_wait(outage):
    stopping = threading.Event()
    thread, _, results = _wait_in_thread(outage, is_stopping=stopping.is_set)
    stopping.set()
    thread.join(30)
    assert results == [False]


def test_a_wait_ends_by_itself_and_beats_meanwhile(outage):
    beats = []
    assert outage.wait(0.6, is_stopping=lambda: False, beat=lambda: beats.append(1))
    assert len(beats) >= 3


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 1), (2, 2), (4, 8), (6, PAUSE_SECONDS_MAX), (9999, 30)]
)
def test_pauses_grow_and_are_bounded(failures, longest):
    pauses = [pause_seconds(failures) for _ in range(50)]
    assert longest / 2 <= min(pauses) <= max(pauses) <= longest
    assert len(set(pauses)) > 1
