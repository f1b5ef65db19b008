"""A deterministic scheduler: tasks are greenlets, and a search decides which of them runs next.

A task runs until it calls `switch`, `wait` or `sleep`. Then the scheduler asks the search which of
the tasks that can run goes on, or whether time passes instead. So an order of events is a list of
answers, and the same answers give the same run.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Protocol

from greenlet import getcurrent, greenlet


class Switch(IntEnum):
    """Where a task may be interrupted, from few to many places."""

    #: Only where it waits or talks to the outside, as with gevent.
    WAITS = 0
    #: Also wherever it calls a lock, a queue, an event or a thread.
    CALLS = 1
    #: Also before each statement of the modules under test, as with threads.
    STATEMENTS = 2


class Deadlock(Exception):
    """Nobody can run, and no wait has an end."""


class EndlessRun(Exception):
    """A run took more steps than any right one."""


class _Abandoned(BaseException):
    """Ends the tasks that are left when a run is over."""


class Task:
    def __init__(self, name: str, run: Callable[[], Any], *, background: bool) -> None:
        self.name = name
        self.greenlet = greenlet(run)
        #: The run does not wait for its end.
        self.background = background
        self.is_done = False
        #: What ended it, when that was an exception, and nobody killed it.
        self.error: BaseException | None = None
        #: What it waits for, and until when; the time is over when `is_late`.
        self.condition: Callable[[], bool] | None = None
        self.until: float | None = None
        self.is_late = False
        self._to_raise: BaseException | None = None
        self.was_killed = False

    def kill(self, error: BaseException) -> None:
        """Raise `error` where the task waits now, as gevent's kill does."""
        self._to_raise = error
        self.was_killed = True
        self.condition, self.until, self.is_late = None, None, False

    def can_run(self) -> bool:
        if self.is_done:
            return False
        if self.is_late or (self.condition is None and self.until is None):
            return True
        return self.condition is not None and self.condition()

    def resume(self) -> None:
        self.condition = self.until = None
        error, self._to_raise = self._to_raise, None
        if error is None:
            self.greenlet.switch()
        elif self.greenlet:
            self.greenlet.throw(error)
        else:  # killed before it has begun
            self.is_done = True


class Search(Protocol):
    """Decides a run. It is asked at each step."""

    def pick(self, tasks: list[Task], *, can_wait: bool) -> Task | None:
        """Return which of `tasks` runs next, or None when time passes first.

        Without tasks `can_wait` is true.
        """


class Scheduler:
    """One run. `spawn` its tasks, then `run`."""

    #: The run that is under way: the primitives belong to it.
    current: "Scheduler | None" = None

    def __init__(self, search: Search, level: Switch, *, max_steps: int = 20_000) -> None:
        self.now = 1000.0
        self.tasks: list[Task] = []
        #: What happened, for people.
        self.trace: list[str] = []
        #: Whether time has passed only while nobody could run. Else no bound of time can hold.
        self.is_punctual = True
        self._search = search
        self.level = level
        self._max_steps = max_steps
        self._running: Task | None = None
        self._hub = getcurrent()
        Scheduler.current = self

    def spawn(self, name: str, work: Callable[[], Any], *, background: bool = False) -> Task:
        def run() -> None:
            try:
                work()
            except _Abandoned:
                pass
            except BaseException as error:
                task.error = None if task.was_killed else error
            task.is_done = True

        task = Task(name, run, background=background)
        task.greenlet.parent = self._hub
        self.tasks.append(task)
        return task

    def run(self) -> None:
        """Run until all tasks but the background ones are done. Raises Deadlock or EndlessRun."""
        try:
            for _ in range(self._max_steps):
                if all(task.is_done or task.background for task in self.tasks):
                    return
                self._step()
            raise EndlessRun
        finally:
            self._abandon()

    def _step(self) -> None:
        ready = [task for task in self.tasks if task.can_run()]
        ends = [t.until for t in self.tasks if not (t.is_done or t.is_late) and t.until is not None]
        if not ready and not ends:
            raise Deadlock(", ".join(task.name for task in self.tasks if not task.is_done))
        chosen = self._search.pick(ready, can_wait=bool(ends))
        if chosen is None:
            self.is_punctual = self.is_punctual and not ready
            self._pass_time(min(ends))
            return
        self._running = chosen
        chosen.resume()
        self._running = None

    def _pass_time(self, until: float) -> None:
        self.now = max(self.now, until)
        self.trace.append(f"-- {self.now - 1000:.2f} s")
        for task in self.tasks:
            # A timer that has run out stays so, even if the condition comes true a moment later.
            if task.until is not None and task.until <= self.now:
                is_met = task.condition is not None and task.condition()
                task.is_late = task.is_late or not is_met

    def _abandon(self) -> None:
        Scheduler.current = None
        for task in self.tasks:
            if not task.is_done and task.greenlet:
                task.greenlet.throw(_Abandoned)

    @property
    def running(self) -> Task | None:
        """The task that calls this, or None outside of tasks."""
        task = self._running
        return task if task is not None and task.greenlet is getcurrent() else None

    def switches_at(self, level: Switch) -> bool:
        return self.level >= level and self.running is not None


def switch(level: Switch = Switch.WAITS) -> None:
    """Let others run here, if this run has switches of that `level`. In doubt, do nothing."""
    run = Scheduler.current
    if run is not None and run.switches_at(level):
        run._hub.switch()


def wait(condition: Callable[[], bool], seconds: float | None = None) -> bool:
    """Wait until `condition()`; return False when `seconds` have passed before."""
    run = Scheduler.current
    if run is None:
        raise _Abandoned  # the run is over, and this is somebody's `finally`
    task = run.running
    assert task is not None, "only a task can wait"
    if condition():
        return True
    task.condition, task.is_late = condition, False
    task.until = None if seconds is None else run.now + max(0.0, seconds)
    run._hub.switch()
    is_late, task.is_late = task.is_late, False
    return not is_late


def sleep(seconds: float) -> None:
    wait(lambda: False, seconds)


def now() -> float:
    run = Scheduler.current
    return 0.0 if run is None else run.now


def note(what: object) -> None:
    """Add a line to the trace."""
    run = Scheduler.current
    if run is not None:
        task = run.running
        run.trace.append(f"{task.name if task else '-'}: {what}")
