"""The circuit breaker (validator/circuit_breaker.py).

What must hold:

1. While it is open, at most one trial call runs at a time, if each call ends within the bound that
   the breaker was given. Calls that began before it opened may still run and fail meanwhile.
2. It never stays closed to everyone: some time after the backend works again, a call goes through.
"""

from tests.interleavings.primitives import load
from tests.interleavings.scheduler import note, now, sleep
from tests.interleavings.search import effort, explore_at_random

module = load("validator.circuit_breaker")

LONGEST = 6.0


class Backend:
    """Calls through the breaker, each to a backend that fails until a given time."""

    def __init__(self, scheduler, *, works_from):
        self.scheduler = scheduler
        self.works_from = works_from
        self.breaker = module.CircuitBreaker(longest_try_seconds=LONGEST, clock=now)
        self.trials = 0
        self.found = []

    def call(self, seconds):
        call = self.breaker.begin()
        if call is None:
            return False
        is_trial = self.breaker._failures >= module.FAILURES
        note(f"{'trial' if is_trial else 'call'} of {seconds} s")
        self.trials += is_trial
        if self.trials > 1 and self.scheduler.is_punctual:
            self.found.append("two trial calls run")
        sleep(seconds)
        self.trials -= is_trial
        works = now() >= self.works_from
        note("succeeds" if works else "fails")
        (call.succeeded if works else call.failed)()
        return works


def test_one_trial_call_at_a_time():
    def scenario(scheduler, chance):
        backend = Backend(scheduler, works_from=1e9)

        def caller():
            for _ in range(6):
                backend.call(chance.choice([0.0, 0.1, 1.0, 5.9]))
                sleep(chance.choice([0.0, 0.5, 1.5]))

        for number in range(chance.randint(4, 7)):
            scheduler.spawn(f"c{number}", caller)
        return lambda: backend.found

    explore_at_random("trial calls", scenario, count=effort(200, 30_000))


def test_it_closes_when_the_backend_is_back():
    def scenario(scheduler, chance):
        backend = Backend(scheduler, works_from=scheduler.now + 10.0)
        answered = []

        def caller():
            while now() < backend.works_from + 20.0:
                if backend.call(chance.choice([0.0, 0.1, 5.9])):
                    answered.append(now())
                sleep(0.7)

        for number in range(3):
            scheduler.spawn(f"c{number}", caller)
        return lambda: [] if answered or not scheduler.is_punctual else ["it stays open"]

    explore_at_random("the backend comes back", scenario, count=effort(50, 5_000))
