"""How many messages a process works on at a time: those that it can answer soon."""

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpsite.web import load_shedding
from cpsite.web.load_shedding import ALWAYS, TARGET_SECONDS, TICK_SECONDS, LoadShedder, busy_seconds

CONNECTIONS = 512
MOST = CONNECTIONS // 2


class Process:
    """A process that answers at a rate, and is busy for a share of its time."""

    def __init__(self, connections=CONNECTIONS):
        self.now = self.busy = 100.0
        self.load = LoadShedder(connections, clock=lambda: self.now, busy=lambda: self.busy)

    def work(self, *, answers, seconds=TICK_SECONDS, busy_share=1.0):
        for _ in range(answers):
            self.load.begin()
            self.load.end()
        self.now += seconds
        self.busy += seconds * busy_share
        self.load.tick()

    @property
    def limit(self):
        taken = 0
        while self.load.has_room:
            self.load.begin()
            taken += 1
        for _ in range(taken):
            self.load.in_progress -= 1
        return taken


def test_half_of_the_connections_may_have_messages():
    process = Process()
    assert process.limit == MOST
    process.work(answers=0, busy_share=0.0)
    assert process.limit == MOST


def test_a_saturated_process_takes_what_it_can_answer_in_time():
    process = Process()
    for _ in range(10):
        process.work(answers=60)  # 600 a second
    assert process.limit == pytest.approx(600 * TARGET_SECONDS, abs=1)


def test_a_quick_process_takes_no_more_than_half_of_its_connections():
    process = Process()
    process.work(answers=10_000)
    assert process.limit == MOST


def test_a_process_that_waits_for_others_refuses_none_of_them():
    """SQS is slow: what is in progress waits for it, and does so with any number of others."""
    process = Process()
    process.work(answers=5, busy_share=0.5)
    assert process.limit == MOST


def test_a_few_are_always_taken():
    process = Process()
    for _ in range(10):
        process.work(answers=1)
    assert process.limit == ALWAYS
    assert Process(connections=10).limit == ALWAYS  # as many as there are connections, and more


def test_what_was_answered_with_time_to_spare_says_nothing_of_a_burst():
    process = Process()
    for _ in range(10):
        process.work(answers=1, busy_share=0.2)
    process.work(answers=60)
    assert process.limit == pytest.approx(600 * TARGET_SECONDS, abs=1)


def test_the_limit_follows_the_last_second():
    process = Process()
    for _ in range(10):
        process.work(answers=80)
    before = process.limit
    process.work(answers=40)
    assert ALWAYS < process.limit < before
    for _ in range(9):
        process.work(answers=40)
    assert process.limit == pytest.approx(400 * TARGET_SECONDS, abs=1)
    process.work(answers=40, busy_share=0.5)  # it has time again
    assert process.limit == MOST


def test_a_tick_without_time_changes_nothing():
    process = Process()
    process.work(answers=40)
    before = process.limit
    process.work(answers=1, seconds=0.0)
    assert process.limit == before


def test_those_that_wait_for_their_client_take_no_room():
    process = Process()
    for _ in range(MOST):
        process.load.begin()
    assert not process.load.has_room
    process.load.tick(idle=1)
    assert process.load.has_room
    process.load.begin()
    assert not process.load.has_room
    process.load.tick(idle=0)
    process.load.end()
    assert not process.load.has_room


@given(
    ticks=st.lists(
        st.tuples(st.integers(0, 2_000), st.floats(0.01, 2), st.floats(0, 1)), max_size=12
    ),
    connections=st.integers(1, 2_000),
)
def test_the_limit_is_never_outside_its_bounds(ticks, connections):
    process = Process(connections)
    for answers, seconds, share in ticks:
        process.work(answers=answers, seconds=seconds, busy_share=share)
        assert ALWAYS <= process.limit <= max(ALWAYS, connections // 2)


def test_a_thread_is_busy_while_it_works_and_not_while_it_waits():
    waits = []
    for _ in range(5):
        before = busy_seconds()
        time.sleep(0.1)
        waits.append(busy_seconds() - before)
    until = time.thread_time() + 0.2
    before = busy_seconds()
    while time.thread_time() < until:
        pass
    assert busy_seconds() - before >= 0.19
    assert min(waits) < 0.09  # on a busy machine it may wait for its CPU as well


def test_a_thread_that_waits_for_a_cpu_is_busy():
    """Of three that share a CPU, each is busy all the time."""
    allowed = os.sched_getaffinity(0)
    one = {min(allowed)}
    others = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import os; os.sched_setaffinity(0, {one}); print(flush=True)\nwhile True: pass",
            ],
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    try:
        for each in others:
            each.stdout.readline()
        os.sched_setaffinity(0, one)
        began, before, ran = time.monotonic(), busy_seconds(), time.thread_time()
        while time.monotonic() - began < 0.6:
            pass
        seconds = time.monotonic() - began
        assert busy_seconds() - before > 0.9 * seconds
        assert time.thread_time() - ran < 0.8 * seconds
    finally:
        os.sched_setaffinity(0, allowed)
        for each in others:
            each.kill()
            each.wait()
            each.stdout.close()


@pytest.mark.parametrize("text", [None, "0 0 0\n", "", "x y z"])
def test_without_linuxs_statistics_a_thread_is_busy_while_it_runs(monkeypatch, tmp_path, text):
    file = tmp_path / "schedstat"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(load_shedding, "_SCHEDSTAT", file)
    until = time.thread_time() + 0.05
    before = busy_seconds()
    while time.thread_time() < until:
        pass
    assert busy_seconds() - before >= 0.04
