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
        breaker.begin().failed()


def test_single_failures_do_not_open_it(breaker):
    for _ in range(10):
        _fail(breaker, FAILURES - 1)
        breaker.begin().succeeded()


def test_consecutive_failures_open_it(breaker):
    _fail(breaker)
    assert breaker.begin() is None


def test_after_a_pause_it_lets_one_trial_call_through(breaker, clock):
    _fail(breaker)
    clock[0] += PAUSE_SECONDS
    assert [breaker.begin() is not None for _ in range(3)] == [True, False, False]


def test_a_successful_trial_call_closes_it(breaker, clock):
    _fail(breaker)
    clock[0] += PAUSE_SECONDS
    breaker.begin().succeeded()
    assert all(breaker.begin() for _ in range(5))


def test_a_failed_trial_call_keeps_it_open(breaker, clock):
    _fail(breaker)
    clock[0] += PAUSE_SECONDS
    breaker.begin().failed()
    assert breaker.begin() is None
    clock[0] += PAUSE_SECONDS
    assert breaker.begin()


def test_a_trial_call_without_a_result_does_not_block_the_next_for_ever(breaker, clock):
    _fail(breaker)
    clock[0] += PAUSE_SECONDS
    assert breaker.begin()
    clock[0] += 6.0
    assert breaker.begin()


def test_a_late_failure_does_not_let_a_second_trial_call_through(breaker, clock):
    before = [breaker.begin() for _ in range(3)]
    _fail(breaker)
    clock[0] += PAUSE_SECONDS
    trial = breaker.begin()
    for call in before:
        call.failed()
        clock[0] += PAUSE_SECONDS
        assert breaker.begin() is None
    trial.failed()
    assert breaker.begin() is None
    clock[0] += PAUSE_SECONDS
    assert breaker.begin()


def test_late_failures_do_not_postpone_the_trial_call(breaker, clock):
    late = breaker.begin()
    _fail(breaker)
    clock[0] += PAUSE_SECONDS / 2
    late.failed()
    clock[0] += PAUSE_SECONDS / 2
    assert breaker.begin()


def test_a_trial_call_that_overran_its_time_does_not_end_the_next_one(breaker, clock):
    _fail(breaker)
    clock[0] += PAUSE_SECONDS
    old = breaker.begin()
    clock[0] += 6.0
    assert breaker.begin()
    old.failed()
    clock[0] += PAUSE_SECONDS
    assert breaker.begin() is None
