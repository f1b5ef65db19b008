"""threading, time, queue and concurrent.futures for tasks of the scheduler; and modules on them."""

import ast
import importlib
import queue as real_queue
import sys
import types
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import Any
from unittest import mock
from weakref import WeakKeyDictionary

from tests.interleavings.scheduler import Scheduler, Switch, Task, now, sleep, switch, wait


class Lock:
    def __init__(self) -> None:
        self._owner: object = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        switch(Switch.CALLS)
        if self._owner is not None:
            if not blocking:
                return False
            if not wait(lambda: self._owner is None, None if timeout < 0 else timeout):
                return False
        self._owner = _me() or self
        return True

    def release(self) -> None:
        self._owner = None
        switch(Switch.CALLS)

    def locked(self) -> bool:
        return self._owner is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_error: object) -> None:
        self.release()


class RLock(Lock):
    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        is_mine = self._owner is not None and self._owner is _me()
        if not is_mine and not super().acquire(blocking, timeout):
            return False
        self._count += 1
        return True

    def release(self) -> None:
        self._count -= 1
        if not self._count:
            super().release()


class Condition:
    def __init__(self, lock: Any = None) -> None:
        self._lock = RLock() if lock is None else lock
        self._waiters: list[list[bool]] = []
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        notified = [False]
        self._waiters.append(notified)
        # Nobody waits for a condition with a lock that it holds twice.
        self._lock.release()
        try:
            in_time = wait(lambda: notified[0], timeout)
        finally:
            if notified in self._waiters:
                self._waiters.remove(notified)
            if Scheduler.current is not None:
                self._lock.acquire()
        return in_time

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        until = None if timeout is None else now() + timeout
        while not (result := predicate()):
            left = None if until is None else until - now()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result

    def notify(self, n: int = 1) -> None:
        for notified in self._waiters[:n]:
            notified[0] = True
        del self._waiters[:n]

    def notify_all(self) -> None:
        self.notify(len(self._waiters))


class Event:
    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        switch(Switch.CALLS)

    def clear(self) -> None:
        self._is_set = False
        switch(Switch.CALLS)

    def is_set(self) -> bool:
        switch(Switch.CALLS)
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        switch(Switch.CALLS)
        return wait(lambda: self._is_set, timeout)


class Semaphore:
    def __init__(self, value: int = 1) -> None:
        self._value = value

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        switch(Switch.CALLS)
        if not self._value:
            if not blocking or timeout == 0:
                return False
            if not wait(lambda: self._value > 0, timeout):
                return False
        self._value -= 1
        return True

    def release(self) -> None:
        self._value += 1
        switch(Switch.CALLS)


class Thread:
    #: Number of the starts that fail, from the first one of a run; set by scenarios.
    failing_starts: set[int] = set()
    starts = 0

    def __init__(
        self,
        target: Callable[..., Any],
        name: str = "thread",
        args: Any = (),
        daemon: bool = False,
    ) -> None:
        self.name, self.daemon = name, daemon
        self._work = lambda: target(*args)
        self._task: Task | None = None

    def __hash__(self) -> int:
        # The same in each run, because a set of threads is joined in the order of their hashes.
        return sum(map(ord, self.name))

    def start(self) -> None:
        Thread.starts += 1
        if Thread.starts in Thread.failing_starts:
            raise RuntimeError("can't start new thread")
        run = Scheduler.current
        assert run is not None
        self._task = run.spawn(self.name, self._work, background=True)
        switch()  # a start waits until the thread has begun

    def join(self, timeout: float | None = None) -> None:
        if self._task is None:
            raise RuntimeError("cannot join thread before it is started")
        task = self._task
        wait(lambda: task.is_done, timeout)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.is_done


def _me() -> Task | None:
    run = Scheduler.current
    return run.running if run is not None else None


threading = types.ModuleType("threading")
vars(threading).update(
    Lock=Lock,
    RLock=RLock,
    Condition=Condition,
    Event=Event,
    Semaphore=Semaphore,
    Thread=Thread,
    _register_atexit=lambda *_: None,
)

time = types.ModuleType("time")
vars(time).update(monotonic=now, perf_counter=now, time=now, sleep=sleep)


class _SwitchBeforeEachStatement(ast.NodeTransformer):
    """Puts `__switch__()` before each statement of each function."""

    def __init__(self) -> None:
        self._depth = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            is_inside = self._depth and not isinstance(node, ast.ClassDef)
            if is_inside and isinstance(block, list) and block:
                setattr(node, name, [part for line in block for part in self._before(line)])
        return node

    @staticmethod
    def _before(line: ast.stmt) -> list[ast.stmt]:
        call = ast.Expr(ast.Call(ast.Name("__switch__", ast.Load()), [], []))
        return [ast.copy_location(call, line), line]


class _Loader(SourceFileLoader):
    def source_to_code(self, data: Any, path: Any, **_options: Any) -> types.CodeType:
        tree = _SwitchBeforeEachStatement().visit(ast.parse(data, path))
        return compile(ast.fix_missing_locations(tree), path, "exec")

    def get_code(self, fullname: str) -> types.CodeType:
        # Not from the cache of compiled modules.
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def load(name: str, **instead: Any) -> Any:
    """Return a copy of a real module that runs on the scheduler.

    It imports our primitives instead of threading, time and queue, and the modules of `instead`
    (dots as two underscores) instead of those of that name.
    """
    path = importlib.import_module(name).__file__
    assert path is not None
    spec = spec_from_loader(name, _Loader(name, path))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    vars(module)["__switch__"] = lambda: switch(Switch.STATEMENTS)
    others = {other.replace("__", "."): made for other, made in instead.items()}
    with mock.patch.dict(sys.modules, {"threading": threading, "time": time, **others}):
        spec.loader.exec_module(module)
    return module


#: Python's own queue, on our primitives. Its exceptions are the real ones.
queue = load("queue")
queue.Full = real_queue.Full
queue.SimpleQueue = queue._PySimpleQueue


def no_hooks(name: str, *functions: str) -> types.ModuleType:
    """Return a module whose `functions` do nothing: each run would register its hooks again."""
    module = types.ModuleType(name)
    for function in functions:
        setattr(module, function, lambda *_, **__: None)
    return module


def _futures() -> types.ModuleType:
    """Return Python's own concurrent.futures, on our primitives."""
    made = types.ModuleType("concurrent.futures")
    made._base = load("concurrent.futures._base")  # type: ignore[attr-defined]
    # A pool that is garbage would wake its threads in the middle of another run.
    references = types.ModuleType("weakref")
    references.ref = lambda pool, _garbage: lambda: pool  # type: ignore[attr-defined]
    references.WeakKeyDictionary = WeakKeyDictionary  # type: ignore[attr-defined]
    modules = {
        "concurrent__futures": made,
        "queue": queue,
        "os": no_hooks("os"),
        "weakref": references,
    }
    pool = load("concurrent.futures.thread", **modules)
    made.ThreadPoolExecutor = pool.ThreadPoolExecutor  # type: ignore[attr-defined]
    made.Future = made._base.Future  # type: ignore[attr-defined]
    return made


futures = _futures()
