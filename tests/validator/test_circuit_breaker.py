import pytest

from validator.circuit_breaker import FAILURES, PAUSE_SECONDS, CircuitBreaker


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def breaker(clock):
    return CircuitBreaker(longest_try_seconds=6.0, clock=lambda: clock[0])


def _fail(breaker, times=FAILURES):
    for _ in range(times):
        assert breaker.may_try()
        breaker.failed()


def test_single_failures_do_not_open_it(breaker):
    for _ in range(10):
        _fail(breaker, FAILURES - 1)
        assert breaker.may_try()
        breaker.succeeded()


def test_consecutive_failures_open_it(breaker):
    _fail(breaker)
    assert not breaker.may_try()


def test_after_a_pause_it_lets_one_trial_call_through(breaker, clock):
    _fail(breaker)
    clock[0] += PAUSE_SECONDS
    assert [breaker.may_try() for _ in range(3)] == [True, False, False]


def test_a_successful_trial_call_closes_it(breaker, clock):
    _fail(breaker)
    clock[0] += PAUSE_SECONDS
    assert breaker.may_try()
    breaker.succeeded()
    assert all(breaker.may_try() for _ in range(5))


def test_a_failed_trial_call_keeps_it_open(breaker, clock):
    _fail(breaker)
    clock[0] += PAUSE_SECONDS
    assert breaker.may_try()
    breaker.failed()
    assert not breaker.may_try()
    clock[0] += PAUSE_SECONDS
    assert breaker.may_try()


def test_a_trial_call_without_a_result_does_not_block_the_next_for_ever(breaker, clock):
    _fail(breaker)
    clock[0] += PAUSE_SECONDS
    assert breaker.may_try()
    clock[0] += 6.0
    assert breaker.may_try()
