import pytest

from validator.circuit_breaker import FAILURES, PAUSE_SECONDS, CircuitBreaker


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def outage(clock):
    return CircuitBreaker(longest_try_seconds=6.0, clock=lambda: clock[0])


def _fail(outage, times=FAILURES):
    for _ in range(times):
        assert outage.may_try()
        outage.failed()


def test_single_failures_are_no_outage(outage):
    for _ in range(10):
        _fail(outage, FAILURES - 1)
        assert outage.may_try()
        outage.succeeded()


def test_failures_in_a_row_refuse_at_once(outage):
    _fail(outage)
    assert not outage.may_try()


def test_after_a_pause_one_caller_tries_and_the_others_do_not_wait(outage, clock):
    _fail(outage)
    clock[0] += PAUSE_SECONDS
    assert [outage.may_try() for _ in range(3)] == [True, False, False]


def test_a_try_that_succeeds_ends_the_outage(outage, clock):
    _fail(outage)
    clock[0] += PAUSE_SECONDS
    assert outage.may_try()
    outage.succeeded()
    assert all(outage.may_try() for _ in range(5))


def test_a_try_that_fails_goes_on_with_it(outage, clock):
    _fail(outage)
    clock[0] += PAUSE_SECONDS
    assert outage.may_try()
    outage.failed()
    assert not outage.may_try()
    clock[0] += PAUSE_SECONDS
    assert outage.may_try()


def test_a_try_that_never_tells_does_not_close_the_door_for_ever(outage, clock):
    _fail(outage)
    clock[0] += PAUSE_SECONDS
    assert outage.may_try()
    clock[0] += 6.0
    assert outage.may_try()
