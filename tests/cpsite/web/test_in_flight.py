import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpsite.web.in_flight import SMALL_BYTES, InFlight, Service

MIB = 2**20
LONGEST = 327_680

services = st.builds(
    Service,
    processes=st.integers(1, 16),
    connections=st.integers(1, 4096),
    header_bytes=st.integers(1024, 65_536),
)


def memory_of(bytes_in_flight, service):
    """What docs/scaling.md says that so many bytes in flight in each process take."""
    connection = 32 * 1024 + 8 * service.header_bytes
    each = 64 * MIB + connection * service.connections + 24 * bytes_in_flight
    return (64 * MIB + service.processes * each) / 0.9


@given(st.floats(1, 2**50), services)
def test_what_may_be_in_flight_fits_into_the_memory_and_no_more_would(memory, service):
    limit = service.limit(memory)
    assert limit == 0 or memory_of(limit, service) <= memory * 1.000001
    assert memory_of(limit + 1, service) > memory * 0.999999


@given(st.integers(1, MIB), services)
def test_the_memory_that_is_demanded_has_room_for_four_of_the_longest_bodies(longest, service):
    needed = service.memory_needed(longest)
    assert service.limit(needed) >= 4 * longest
    assert service.limit(needed - 48 * service.processes) < 4 * longest


def test_the_smallest_task_takes_thirty_of_the_longest_bodies():
    """0.25 vCPU and 512 MiB, as `terraform/` makes in dev."""
    service = Service(processes=1, connections=512, header_bytes=16_384)
    assert 30 <= service.limit(512 * MIB) // LONGEST <= 35


@given(st.lists(st.integers(0, 4 * LONGEST)), st.integers(0, 10 * LONGEST))
def test_no_more_is_counted_than_the_limit_and_all_of_it_ends(lengths, limit):
    counter = InFlight(limit)
    taken = [length for length in lengths if counter.add(length)]
    assert sum(length for length in taken if length > SMALL_BYTES) <= limit
    assert all(length in taken for length in lengths if length <= SMALL_BYTES)
    for length in taken:
        counter.remove(length)
    assert counter.add(limit)


@pytest.mark.parametrize("length", [0, 1, SMALL_BYTES])
def test_long_bodies_keep_out_no_small_one(length):
    counter = InFlight(LONGEST)
    assert counter.add(LONGEST)
    assert not counter.add(SMALL_BYTES + 1)
    assert counter.add(length)


#: Seconds that a body waits in tests in which it gets room or is ended, and where it does neither.
LONG_WAIT, SHORT_WAIT = 60.0, 0.01


def _wait_for_room(counter, *lengths, seconds=LONG_WAIT):
    """Let bodies wait for room, each after the one before it."""
    waiting = [gevent.spawn(counter.add, length, seconds) for length in lengths]
    gevent.sleep(0)
    return waiting


def test_bodies_wait_for_room_in_turn():
    counter = InFlight(LONGEST, places=9)
    assert counter.add(LONGEST)
    first, second = _wait_for_room(counter, LONGEST, SMALL_BYTES + 1)
    assert counter.is_waited_for
    # Not even one that would fit passes those that wait.
    counter.remove(SMALL_BYTES + 1)
    assert not counter.add(SMALL_BYTES + 1, SHORT_WAIT)
    counter.remove(LONGEST - SMALL_BYTES - 1)
    assert first.get(timeout=30) is True
    assert not second.ready()
    counter.remove(LONGEST)
    assert second.get(timeout=30) is True
    assert not counter.is_waited_for


def test_a_body_that_finds_no_room_in_time_is_not_counted():
    counter = InFlight(LONGEST, places=9)
    assert counter.add(LONGEST - SMALL_BYTES - 1)
    (first,) = _wait_for_room(counter, LONGEST, seconds=SHORT_WAIT)
    (second,) = _wait_for_room(counter, SMALL_BYTES + 1)
    assert first.get(timeout=30) is False
    # What would have fitted waited for its turn only.
    assert second.get(timeout=30) is True
    counter.remove(LONGEST)
    assert counter.add(LONGEST)


def test_only_so_many_bodies_wait_and_none_that_can_never_fit():
    counter = InFlight(LONGEST, places=2)
    assert counter.add(LONGEST)
    waiting = _wait_for_room(counter, LONGEST, LONGEST)
    assert not counter.add(LONGEST, LONG_WAIT)
    gevent.killall(waiting)
    assert not counter.add(LONGEST + 1, LONG_WAIT)


@pytest.mark.parametrize("has_room", [False, True])
def test_a_connection_that_ends_while_it_waits_leaves_nothing_behind(has_room):
    counter = InFlight(LONGEST, places=9)
    assert counter.add(LONGEST)
    first, second = _wait_for_room(counter, LONGEST, LONGEST)
    if has_room:  # and has not run since
        gevent.get_hub().loop.run_callback(first.throw, gevent.GreenletExit)
    else:
        first.kill()
    counter.remove(LONGEST)
    assert second.get(timeout=30) is True
    counter.remove(LONGEST)
    assert counter.add(LONGEST)
