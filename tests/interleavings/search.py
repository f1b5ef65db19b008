"""Which orders of events are run, and what is reported of them."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.interleavings.scheduler import Deadlock, EndlessRun, Scheduler, Switch, Task

#: `make interleavings` sets it.
IS_LONG = bool(os.environ.get("INTERLEAVINGS"))
#: The seed of all random orders.
SEED = int(os.environ.get("SEED", "1"))


class BoundedSearch:
    """All orders with at most `bound` interruptions: CHESS's search (Musuvathi et al., OSDI 2008).

    An interruption takes the turn from a task that could go on, or lets time pass although somebody
    could run. The choice who runs after a task that waits or ends is free. Most faults need one or
    two interruptions.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        #: The answers to repeat, before the default answers begin.
        self._prefix: list[int] = []
        #: The answers of this run, each with the number of options that there were.
        self._given: list[tuple[int, int]] = []
        self._used = 0
        self._last: Task | None = None

    def begin(self) -> None:
        self._given, self._used, self._last = [], 0, None

    def pick(self, tasks: list[Task], *, can_wait: bool) -> Task | None:
        options: list[tuple[Task | None, int]]
        if self._last in tasks:
            options = [(self._last, 0)] + [(t, 1) for t in tasks if t is not self._last]
        else:
            options = [(task, 0) for task in tasks]
        if can_wait:
            options.append((None, 1 if tasks else 0))
        options = [option for option in options if self._used + option[1] <= self._bound]
        step = len(self._given)
        answer = self._prefix[step] if step < len(self._prefix) else 0
        self._given.append((answer, len(options)))
        task, cost = options[answer]  # an IndexError: the run was not the same as before
        self._used += cost
        self._last = task or self._last
        return task

    def is_complete(self) -> bool:
        """Prepare the next order. Return whether there is none."""
        answers = self._given
        while answers and answers[-1][0] + 1 >= answers[-1][1]:
            answers.pop()
        if not answers:
            return True
        self._prefix = [answer for answer, _ in answers[:-1]] + [answers[-1][0] + 1]
        return False


class RandomWalk:
    """A random order. Time passes early in few of its steps, or in none."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._time = chance.choice([0.0, 0.02, 0.1])
        self._interrupt = chance.choice([0.1, 0.3, 0.6])
        self._last: Task | None = None

    def pick(self, tasks: list[Task], *, can_wait: bool) -> Task | None:
        if not tasks or (can_wait and self._chance.random() < self._time):
            return None
        if self._last not in tasks or self._chance.random() < self._interrupt:
            self._last = self._chance.choice(tasks)
        return self._last


class Priorities:
    """A random order with few interruptions: PCT (Burckhardt et al., ASPLOS 2010).

    The task with the highest priority runs. At a few random steps it falls behind all others.
    """

    def __init__(self, chance: random.Random, *, steps: int = 300) -> None:
        self._chance = chance
        self._time = chance.choice([0.0, 0.01])
        self._falls = {chance.randrange(steps) for _ in range(3)}
        self._priorities: dict[Task, float] = {}
        self._step = 0

    def pick(self, tasks: list[Task], *, can_wait: bool) -> Task | None:
        self._step += 1
        if not tasks or (can_wait and self._chance.random() < self._time):
            return None
        first = max(tasks, key=self._priority)
        if self._step in self._falls:
            self._priorities[first] = -self._step
            first = max(tasks, key=self._priority)
        return first

    def _priority(self, task: Task) -> float:
        return self._priorities.setdefault(task, self._chance.random())


@dataclass
class Figures:
    """What one exploration has run."""

    name: str
    bound: str
    schedules: int = 0
    is_complete: bool = False

    def __str__(self) -> str:
        covered = "all" if self.is_complete else "some"
        return f"{self.schedules:>8,} schedules, {covered} of {self.bound}: {self.name}"


#: All figures so far, for the report of `make interleavings`.
reported: list[Figures] = []


def explore(
    name: str,
    scenario: Callable[[Scheduler], Callable[[], list[str]]],
    *,
    switch: Switch,
    bound: int,
    limit: int,
) -> Figures:
    """Run `scenario` in all orders with `bound` interruptions, at most `limit` of them.

    `scenario(scheduler)` spawns the tasks and returns a function that names what was broken. Fails
    with the first order in which something was.
    """
    search = BoundedSearch(bound)
    figures = Figures(name, f"{bound} interruptions at {switch.name.lower()}")
    reported.append(figures)
    while figures.schedules < limit and not figures.is_complete:
        search.begin()
        _run(name, scenario, Scheduler(search, switch), figures)
        figures.is_complete = search.is_complete()
    return figures


def explore_at_random(
    name: str,
    scenario: Callable[[Scheduler, random.Random], Callable[[], list[str]]],
    *,
    count: int,
) -> Figures:
    """Run `scenario` in `count` random orders: random walks and PCT, at all levels of `Switch`.

    `scenario` gets a source of chance, from which it takes its own parameters.
    """
    figures = Figures(name, f"random orders from seed {SEED}")
    reported.append(figures)
    for number in range(count):
        chance = random.Random(f"{SEED} {number}")
        search = chance.choice([RandomWalk, Priorities])(chance)
        scheduler = Scheduler(search, chance.choice(list(Switch)))
        _run(f"{name}, order {number}", lambda run, c=chance: scenario(run, c), scheduler, figures)
    return figures


def _run(
    name: str,
    scenario: Callable[[Scheduler], Callable[[], list[str]]],
    scheduler: Scheduler,
    figures: Figures,
) -> None:
    problems = scenario(scheduler)
    broken = []
    try:
        scheduler.run()
    except (Deadlock, EndlessRun) as error:
        broken.append(f"{type(error).__name__}: {error}")
    figures.schedules += 1
    broken += [f"{task.name} raised {task.error!r}" for task in scheduler.tasks if task.error]
    broken += problems()
    if broken:
        order = "\n  ".join(scheduler.trace)
        raise AssertionError(
            f"{name}\nBroken: {'; '.join(broken)}\nSchedule {figures.schedules}:\n  {order}"
        )


def effort(short: int, long: int) -> int:
    """Return how many orders to run: in `make test` few, in `make interleavings` many."""
    return long if IS_LONG else short
