"""Carries a schedule out."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tests import postgresql
from tests.chaos.aws import Aws
from tests.chaos.clock import Clock
from tests.chaos.schedule import Event, Schedule
from tests.chaos.services import Service

#: Seconds between two looks at what should be running.
_LOOK_SECONDS = 0.5


class Havoc:
    """Each thing has a thread of its own: what takes long delays only what happens to the same."""

    def __init__(
        self,
        schedule: Schedule,
        services: Mapping[str, Service],
        *,
        database: postgresql.Server | None,
        clock: Clock | None,
        aws: Aws,
        poison: Sequence[str],
        stopped: threading.Event,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self._schedule = schedule
        self._services = services
        self._database = database
        self._clock = clock
        self._aws = aws
        self._poison = poison
        self._stopped = stopped
        self._finished = threading.Event()
        self._threads: list[threading.Thread] = []
        self._watch = threading.Thread(target=self._look_after, name="watch", daemon=True)

    def start(self) -> None:
        started = time.monotonic()
        for lane, events in self._schedule.lanes().items():
            self._spawn(lane, lambda events=events: self._carry_out(events, started))
        self._spawn("poison", lambda: self._send_poison(started))
        self._watch.start()

    def _spawn(self, name: str, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Exception as exc:
                self.errors.append(f"{name}: {exc!r}")

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        """Wait until all has happened and all is up again."""
        for thread in self._threads:
            thread.join()

    def finish(self) -> None:
        """Stop looking after the services."""
        self._finished.set()
        self._watch.join()

    def _carry_out(self, events: Sequence[Event], started: float) -> None:
        for event in events:
            if self._stopped.wait(max(0.0, started + event.at - time.monotonic())):
                return
            if event.lane == "database":
                self._stop_database(event)
            elif event.lane == "clock":
                self._set_clock(event)
            elif event.lane == "queue":
                self._aws.set_visibility_timeout(round(event.value))
                self.counts["visibility timeouts of the queue"] += 1
            else:
                self._harm(self._services[event.lane], event)

    def _harm(self, service: Service, event: Event) -> None:
        name = event.lane.partition(" ")[0]
        with service.lock:
            if not service.look_after():
                service.start()
                service.wait_until_ready()
            if event.action == "kill worker":
                if service.kill_worker(round(event.value * 1000)):
                    self.counts["kill -9 of a gunicorn worker"] += 1
                return
            if event.action == "kill":
                service.kill()
                self.counts[f"kill -9 of a{'n' if name == 'uploader' else ''} {name}"] += 1
            else:
                service.stop()
                self.counts[f"SIGTERM to a{'n' if name == 'uploader' else ''} {name}"] += 1
            self._stopped.wait(event.value)
            service.start()
            # Before that, SIGTERM would end any Python process the hard way.
            service.wait_until_ready()

    def _stop_database(self, event: Event) -> None:
        if self._database is None:
            return
        mode = event.action.removeprefix("stop ")
        self._database.stop(mode)
        self.counts[f"PostgreSQL stopped, {mode}"] += 1
        self._stopped.wait(event.value)
        self._database.start()

    def _set_clock(self, event: Event) -> None:
        if self._clock is not None:
            self._clock.set(event.value)
            self.counts["clock steps"] += 1

    def _send_poison(self, started: float) -> None:
        for at, body in zip(self._schedule.poison, self._poison, strict=True):
            if self._stopped.wait(max(0.0, started + at - time.monotonic())):
                return
            self._aws.send(body)

    def _look_after(self) -> None:
        """Start again what has ended by itself, which is noted as a death."""
        while not self._finished.wait(_LOOK_SECONDS):
            for service in self._services.values():
                if service.lock.acquire(blocking=False):
                    try:
                        if not service.look_after():
                            service.start()
                    finally:
                        service.lock.release()
