import random
import threading
import time

import pytest

from cpsite.queue.group_commit import GroupCommit, NotSent, OutcomeUnknown, _Entry
from tests.waiting import wait_for


class Recorder:
    """A commit that records its batches and can be blocked."""

    def __init__(self):
        self.batches = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.started = threading.Semaphore(0)
        self.lock = threading.Lock()

    def __call__(self, items):
        with self.lock:
            self.batches.append(list(items))
        self.started.release()
        assert self.go_on.wait(30)
        return [item if isinstance(item, Exception) else None for item in items]


def make(commit, **changes):
    options = {
        "copy_error": lambda exc: type(exc)(*exc.args),
        "max_entries": 10,
        "max_size": 100,
        "max_wait_seconds": 30.0,
        "max_commit_seconds": 30.0,
    }
    return GroupCommit(commit, **(options | changes))


def start(group, *items, sizes=None):
    """Submit each item from its own thread; return the threads and their errors by item."""
    errors = {}

    def run(number, item):
        try:
            group.submit(item, (sizes or {}).get(item, 0))
        except Exception as exc:
            errors[number] = exc

    threads = []
    for number, item in enumerate(items):
        thread = threading.Thread(target=run, args=(number, item))
        thread.start()
        threads.append(thread)
    return threads, errors


def join(threads):
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_an_idle_caller_commits_at_once_and_alone():
    commit = Recorder()
    group = make(commit)
    group.submit("a")
    group.submit("b")
    assert commit.batches == [["a"], ["b"]]


def test_callers_that_arrive_meanwhile_share_the_next_batch():
    commit = Recorder()
    group = make(commit)
    commit.go_on.clear()
    first, _ = start(group, "first")
    assert commit.started.acquire(timeout=30)
    rest, _ = start(group, *"abcde")
    wait_for(lambda: len(group._waiting) == 5, "the other threads")
    commit.go_on.set()
    join(first + rest)
    assert [sorted(batch) for batch in commit.batches] == [["first"], list("abcde")]


def test_a_full_batch_does_not_wait_for_the_call_under_way():
    commit = Recorder()
    group = make(commit, max_entries=3)
    commit.go_on.clear()
    threads, _ = start(group, "first")
    assert commit.started.acquire(timeout=30)
    more, _ = start(group, *"abc")
    assert commit.started.acquire(timeout=30)  # while the first one hangs
    assert sorted(commit.batches[1]) == list("abc")
    commit.go_on.set()
    join(threads + more)


def test_the_size_of_a_batch_is_bounded():
    commit = Recorder()
    group = make(commit, max_size=100)
    commit.go_on.clear()
    threads, _ = start(group, "first")
    assert commit.started.acquire(timeout=30)
    sizes = {"a": 60, "b": 60, "c": 500, "d": 10, "e": 10}

    def seen():
        """Those that wait, and those in a batch: one that is full goes before anybody looks."""
        waiting = [entry.item for entry in list(group._waiting)]
        return {*waiting, *(item for batch in list(commit.batches) for item in batch)}

    for number, item in enumerate(sizes, 2):  # in this order
        more, _ = start(group, item, sizes=sizes)
        threads += more
        wait_for(lambda number=number: len(seen()) == number, f"{item} to wait or to be sent")
    commit.go_on.set()
    join(threads)
    # Those that were full went side by side, so their order is not told.
    assert sorted(commit.batches) == [["a"], ["b"], ["c"], ["d", "e"], ["first"]]


def test_a_batch_that_is_full_by_size_does_not_wait_for_the_call_under_way():
    commit = Recorder()
    group = make(commit, max_size=100)
    commit.go_on.clear()
    threads, _ = start(group, "first")
    assert commit.started.acquire(timeout=30)
    more, _ = start(group, "a", "b", sizes={"a": 60, "b": 60})
    assert commit.started.acquire(timeout=30)  # while the first one hangs
    assert commit.batches[1] in (["a"], ["b"])
    commit.go_on.set()
    join(threads + more)
    assert sorted(item for batch in commit.batches for item in batch) == ["a", "b", "first"]


def test_a_leader_whose_time_for_a_turn_is_over_gives_up_and_the_next_one_leads():
    commit = Recorder()
    group = make(commit)
    late = _Entry("late", 0, turn_until=time.monotonic() - 1.0, leads=True)
    group._waiting.append(late)
    following, _ = start(group, "next")
    wait_for(lambda: len(group._waiting) == 2, "the other thread")
    with pytest.raises(NotSent):
        group._take(late)
    join(following)
    assert commit.batches == [["next"]]


def test_a_call_that_does_not_end_does_not_hold_the_others_for_ever():
    commit = Recorder()
    group = make(commit, max_entries=2, max_commit_seconds=0.3, max_wait_seconds=0.3)
    commit.go_on.clear()
    threads, errors = start(group, "first", "a", "b")
    for _ in range(2):
        assert commit.started.acquire(timeout=30)
    wait_for(lambda: errors, "the other threads")
    assert [type(error) for error in errors.values()] == [OutcomeUnknown]
    commit.go_on.set()
    join(threads)


def test_each_item_has_its_own_outcome():
    commit = Recorder()
    group = make(commit)
    commit.go_on.clear()
    first, _ = start(group, "first")
    assert commit.started.acquire(timeout=30)
    rest, errors = start(group, "a", ValueError("b"), "c")
    wait_for(lambda: len(group._waiting) == 3, "the other threads")
    commit.go_on.set()
    join(first + rest)
    assert list(errors) == [1]
    assert errors[1].args == ("b",)


def test_a_failed_batch_fails_each_caller_with_an_exception_of_its_own():
    hold, started = threading.Event(), threading.Event()
    calls = []

    def commit(items):
        calls.append(items)
        if len(calls) == 1:
            started.set()
            hold.wait(30)
            return [None]
        raise ConnectionError("down")

    group = make(commit)
    first, _ = start(group, "first")
    assert started.wait(30)
    rest, errors = start(group, *"abc")
    wait_for(lambda: len(group._waiting) == 3, "the other threads")
    hold.set()
    join(first + rest)
    assert [str(errors[number]) for number in range(3)] == ["down"] * 3
    assert len({id(error) for error in errors.values()}) == 3
    with pytest.raises(ConnectionError):
        group.submit("next")


def test_a_caller_without_a_turn_gives_up_and_its_item_is_never_sent():
    commit = Recorder()
    group = make(commit, max_wait_seconds=0.2)
    commit.go_on.clear()
    first, _ = start(group, "first")
    assert commit.started.acquire(timeout=30)
    with pytest.raises(NotSent):
        group.submit("late")
    commit.go_on.set()
    join(first)
    group.submit("next")
    assert commit.batches == [["first"], ["next"]]


def test_a_caller_whose_item_is_under_way_waits_for_its_outcome():
    commit = Recorder()
    group = make(commit, max_entries=2, max_wait_seconds=0.2)
    commit.go_on.clear()
    threads, errors = start(group, "a", "b", "c")
    for _ in range(2):
        assert commit.started.acquire(timeout=30)
    time.sleep(0.5)  # longer than the wait for a turn
    commit.go_on.set()
    join(threads)
    assert not errors


def test_a_leader_that_is_ended_leaves_nobody_waiting():
    started, hold = threading.Event(), threading.Event()

    class End(BaseException):
        pass

    calls = []

    def commit(items):
        calls.append(list(items))
        if len(calls) == 1:
            started.set()
            hold.wait(30)
            raise End
        return [None] * len(items)

    group = make(commit)

    def ended():
        with pytest.raises(End):
            group.submit("first")

    leader = threading.Thread(target=ended)
    leader.start()
    assert started.wait(30)
    rest, errors = start(group, *"ab")
    wait_for(lambda: len(group._waiting) == 2, "the other threads")
    hold.set()
    join([leader, *rest])
    assert not errors
    group.submit("next")
    assert group._running == 0


@pytest.mark.parametrize("seed", range(5))
def test_under_stress_every_item_gets_exactly_its_own_verdict(seed):
    chance = random.Random(seed)
    committed, lock = [], threading.Lock()

    class Fails(Exception):
        pass

    def commit(items):
        if chance.random() < 0.3:
            time.sleep(chance.random() / 500)
        if chance.random() < 0.1:
            raise ConnectionError("whole call")
        outcomes = [Fails(item) if item % 7 == 0 else None for item in items]
        with lock:
            committed.extend(
                item for item, outcome in zip(items, outcomes, strict=True) if outcome is None
            )
        assert len(items) <= 10
        return outcomes

    group = make(commit)
    verdicts = {}

    def work(start_at):
        for item in range(start_at, start_at + 60):
            try:
                group.submit(item, size=item % 40)
                verdicts[item] = "ok"
            except Fails as exc:
                verdicts[item] = "failed" if exc.args == (item,) else "somebody else's"
            except ConnectionError:
                verdicts[item] = "down"

    threads = [threading.Thread(target=work, args=(number * 60,)) for number in range(32)]
    for thread in threads:
        thread.start()
    join(threads)
    assert len(verdicts) == 32 * 60
    assert set(verdicts.values()) <= {"ok", "failed", "down"}
    accepted = {item for item, verdict in verdicts.items() if verdict == "ok"}
    assert sorted(committed) == sorted(accepted)  # no loss, no false success, nothing twice
    assert {item for item, verdict in verdicts.items() if verdict == "failed"} <= {
        item for item in verdicts if item % 7 == 0
    }
    assert group._running == 0
    assert not group._waiting
