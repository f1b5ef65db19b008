"""What may be in flight at a time, and who is woken when there is room."""

import threading
from concurrent.futures import Future

import pytest

from cpsite.queue.batch import BATCH_ENTRIES
from uploader import metrics
from uploader.in_flight import InFlight


class _Delivery:
    def __init__(self, size):
        self.body = b"x" * size


@pytest.fixture
def undeleted():
    return [0]


@pytest.fixture
def make(undeleted):
    def in_flight(max_messages=BATCH_ENTRIES + 2, **bounds):
        return InFlight(
            **{"max_messages": max_messages, "receivers": 1, "undeleted": lambda: undeleted[0]}
            | bounds
        )

    return in_flight


def test_there_is_room_for_as_many_as_a_receive_may_bring(make):
    in_flight = make(max_messages=BATCH_ENTRIES + 2)
    for _ in range(2):
        in_flight.add(_Delivery(1))
    assert in_flight.has_room(within=0)
    in_flight.add(_Delivery(1))
    assert not in_flight.has_room(within=0)


def test_each_receiver_may_bring_ten(make):
    in_flight = make(max_messages=2 * BATCH_ENTRIES + 1, receivers=2)
    in_flight.add(_Delivery(1))
    assert in_flight.has_room(within=0)
    in_flight.add(_Delivery(1))
    assert not in_flight.has_room(within=0)


def test_bytes_bound_it_as_well(make):
    in_flight = make(max_messages=100, max_bytes=10)
    first, second = _Delivery(10), _Delivery(1)
    in_flight.add(first)
    assert in_flight.has_room(within=0)
    in_flight.add(second)
    assert not in_flight.has_room(within=0)
    in_flight.remove([second])
    assert in_flight.has_room(within=0)


def test_stored_messages_that_nobody_deletes_bound_it_as_well(make, undeleted):
    in_flight = make(max_messages=12)
    undeleted[0] = 13
    assert not in_flight.has_room(within=0)
    undeleted[0] = 12
    assert in_flight.has_room(within=0)


@pytest.mark.parametrize("how", ["remove", "look_again"])
def test_a_waiting_receiver_is_woken(make, undeleted, how):
    in_flight = make()
    held = [_Delivery(1) for _ in range(3)]
    if how == "remove":
        for each in held:
            in_flight.add(each)
    else:
        undeleted[0] = 99
    found = []
    # Longer than the suite's own bound, so that only being woken ends the wait.
    waiting = threading.Thread(target=lambda: found.append(in_flight.has_room(within=3600)))
    waiting.start()
    undeleted[0] = 0
    while waiting.is_alive():
        if how == "remove":
            in_flight.remove(held)
        in_flight.look_again()
        waiting.join(0.05)
    assert found == [True]


def test_what_has_not_begun_is_cancelled_and_removed(make):
    in_flight = make()
    waiting, running, gathering = _Delivery(1), _Delivery(1), _Delivery(1)
    begun = Future()
    begun.set_running_or_notify_cancel()
    in_flight.add(waiting, Future)
    in_flight.add(running, lambda: begun)
    in_flight.add(gathering)
    assert in_flight.cancel() == [waiting]
    assert in_flight.deliveries() == [running, gathering]
    assert metrics.in_flight._value.get() == len(in_flight) == 2


def test_what_cannot_be_started_is_in_flight_all_the_same(make):
    def fail():
        raise RuntimeError("can't start new thread")

    in_flight = make()
    delivery = _Delivery(1)
    with pytest.raises(RuntimeError):
        in_flight.add(delivery, fail)
    assert in_flight.deliveries() == [delivery]
    in_flight.remove([delivery])
    assert in_flight.is_empty(within=0)


def test_it_is_empty_once_the_last_one_is_removed(make):
    in_flight = make()
    only = _Delivery(1)
    in_flight.add(only)
    assert not in_flight.is_empty(within=0)
    in_flight.remove([only])
    in_flight.remove([only])
    assert in_flight.is_empty(within=0)
