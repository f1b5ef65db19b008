"""Sends that share batches (cpsite/queue/group_commit.py), in all orders within a bound.

What must hold, whatever the calls to SQS do and whoever is killed:

1. Each caller that is not killed gets an outcome. Nothing is left behind: no entry, no batch.
2. An item is committed at most once.
3. A success, and an item's own error, mean that this very item was in a commit. NotSent means that
   it was in none.
4. A call begins for an item within the time for a turn, and its caller has the outcome when that
   call ends. So if calls keep to their bound, a send keeps to its own. (Where no thread is held up
   by the machine: no code can promise a time otherwise.)
5. Nobody waits for a turn while nothing is sent: after any run a new caller has its turn at once.
"""

import pytest
from botocore.exceptions import ClientError

from tests.interleavings.primitives import load
from tests.interleavings.scheduler import Switch, note, sleep, switch
from tests.interleavings.search import effort, explore, explore_at_random

module = load("cpsite.queue.group_commit")

#: As with SQS_PUBLISH_TIMEOUT_SECONDS = 8: for a turn, for a call, and for both.
TURN, CALL, SEND = 2.0, 6.0, 8.0
#: What the next calls do; later ones succeed at once.
CALLS = {
    "all succeed": [],
    "the first is slow": ["slow"],
    "all are slow": ["slow"] * 9,
    "the first raises": ["raises"],
    "items fail": ["items fail"] * 9,
    "slow, then raising": ["slow", "raises"],
    "the second ends its thread": ["slow", "killed after"],
    "the first ends its thread": ["killed before"],
}


class Killed(BaseException):
    pass


class ItemFailed(Exception):
    pass


class CallFailed(Exception):
    pass


class Calls:
    """Callers with their commits, and what came of them."""

    def __init__(self, scheduler, kinds, *, max_entries, max_size=10**6):
        self.scheduler = scheduler
        self.kinds = list(kinds)
        self.committed = []
        self.offered = []
        self.begun, self.called, self.returned, self.ended = {}, {}, {}, {}
        self.outcomes = {}
        self.group = module.GroupCommit(
            self.commit,
            copy_error=lambda error: CallFailed(*error.args),
            max_entries=max_entries,
            max_size=max_size,
            max_wait_seconds=TURN,
            max_commit_seconds=SEND,
        )

    def commit(self, items):
        kind = self.kinds.pop(0) if self.kinds else "succeeds"
        note(f"commits {', '.join(items)}: {kind}")
        self.offered += items
        self.called |= dict.fromkeys(items, self.scheduler.now)
        try:
            return self._answer(kind, items)
        finally:
            self.returned |= dict.fromkeys(items, self.scheduler.now)

    def _answer(self, kind, items):
        switch()
        if kind == "slow":
            sleep(CALL)
        if kind == "killed before":
            raise Killed
        self.committed += items
        if kind == "killed after":
            raise Killed
        if kind == "raises":
            raise CallFailed
        switch()
        return [ItemFailed(item) if kind == "items fail" else None for item in items]

    def submit(self, item, *, after=0.0, size=0):
        if after:
            sleep(after)
        self.begun[item] = self.scheduler.now
        try:
            self.group.submit(item, size)
            self.outcomes[item] = "succeeded"
        except ItemFailed as error:
            self.outcomes[item] = f"failed as {error.args[0]}"
        except (module.NotSent, module.OutcomeUnknown, CallFailed, Killed) as error:
            self.outcomes[item] = type(error).__name__
        self.ended[item] = self.scheduler.now
        note(self.outcomes[item])

    def problems(self):
        found = []
        if len(set(self.offered)) < len(self.offered):
            found.append("an item was committed twice")
        if self.group._waiting:
            found.append("something is left behind")
        for item, outcome in self.outcomes.items():
            was_called = item in self.called
            if outcome == "NotSent" and was_called:
                found.append(f"{item} was sent, and is reported as not sent")
            if outcome == "succeeded" and item not in self.committed:
                found.append(f"{item} succeeded without a commit")
            if outcome.startswith("failed as") and outcome != f"failed as {item}":
                found.append(f"{item} got another item's outcome")
        return found + (self.late() if self.scheduler.is_punctual else [])

    def late(self):
        found = []
        for item in self.outcomes:
            if self.called.get(item, 0) - self.begun[item] > TURN:
                found.append(f"{item} waited too long for its turn")
            if item in self.called and self.ended[item] > self.returned[item]:
                found.append(f"{item} got its outcome too late")
            if self.ended[item] - self.begun[item] > SEND:
                found.append(f"{item} took longer than a send may")
        return found


@pytest.mark.parametrize("switches", list(Switch), ids=lambda level: level.name.lower())
@pytest.mark.parametrize("kinds", CALLS.values(), ids=CALLS)
def test_callers_that_arrive_together(kinds, switches):
    """All of 1 to 4, for three callers and batches of two."""

    def scenario(scheduler):
        calls = Calls(scheduler, kinds, max_entries=2)
        for item in "abc":
            scheduler.spawn(item, lambda item=item: calls.submit(item))
        return lambda: calls.problems() + _missing(calls, "abc")

    bound = {Switch.WAITS: 2, Switch.CALLS: 1, Switch.STATEMENTS: 1}[switches]
    bound += effort(0, 1) if switches is not Switch.STATEMENTS else 0
    explore(
        "three callers, batches of two",
        scenario,
        switch=switches,
        bound=bound,
        limit=effort(100, 20_000),
    )


def _missing(calls, items):
    return [f"{item} got no outcome" for item in items if item not in calls.outcomes]


@pytest.mark.parametrize("kinds", [["slow"], ["slow", "slow"], []], ids=["slow", "slower", "quick"])
def test_a_caller_that_is_killed(kinds):
    """1 to 4 for the others, when one is killed at any moment at which it waits.

    gevent kills so: gunicorn's at the end of a stop, and any time limit.
    """

    def scenario(scheduler):
        calls = Calls(scheduler, kinds, max_entries=2)
        tasks = [scheduler.spawn(item, lambda item=item: calls.submit(item)) for item in "abcd"]

        def kill():
            victim = tasks[1]
            if not victim.is_done:
                note("kills b")
                victim.kill(Killed())

        scheduler.spawn("killer", kill)
        return lambda: calls.problems() + _missing(calls, "acd")

    explore(
        "one of four callers is killed where it waits",
        scenario,
        switch=Switch.WAITS,
        bound=effort(1, 2),
        limit=effort(300, 50_000),
    )


def test_no_turn_is_lost_after_a_caller_was_killed():
    """5: whoever comes later has its turn at once."""

    def scenario(scheduler):
        calls = Calls(scheduler, ["slow"], max_entries=10)
        tasks = [scheduler.spawn(item, lambda item=item: calls.submit(item)) for item in "abc"]

        def kill():
            if not tasks[1].is_done:
                tasks[1].kill(Killed())

        scheduler.spawn("killer", kill)
        scheduler.spawn("late", lambda: calls.submit("late", after=30.0))

        def problems():
            # A thread that the system stops for half a minute in the middle of a call has the turn
            # meanwhile: then NotSent is right.
            has_turn = calls.outcomes.get("late") == "succeeded" or not scheduler.is_punctual
            return calls.problems() + ([] if has_turn else ["the late one got no turn"])

        return problems

    explore(
        "a later caller, after one was killed",
        scenario,
        switch=Switch.WAITS,
        bound=effort(1, 2),
        limit=effort(300, 50_000),
    )


def test_large_messages_and_slow_calls():
    """4, where it was broken: a batch holds three messages of 320 KB, and each call takes 5.9 s."""

    def scenario(scheduler, chance):
        kinds = [chance.choice(["slow", "slow", "slow", "succeeds", "raises"]) for _ in range(9)]
        calls = Calls(scheduler, kinds, max_entries=10, max_size=1_048_576)
        for number in range(chance.randint(3, 9)):
            after, size = chance.choice([0.0, 0.1, 0.5, 1.9]), chance.choice([320_000, 900_000, 5])
            scheduler.spawn(
                f"c{number}",
                lambda item=f"c{number}", a=after, s=size: calls.submit(item, after=a, size=s),
            )
        return calls.problems

    explore_at_random("large messages, slow calls", scenario, count=effort(100, 20_000))


def test_anything_at_random():
    """1 to 4, with everything above together, and callers that come again."""

    def scenario(scheduler, chance):
        kinds = [
            chance.choice([*{k for c in CALLS.values() for k in c}, "succeeds"]) for _ in range(9)
        ]
        calls = Calls(scheduler, kinds, max_entries=chance.randint(1, 4), max_size=100)
        names = [f"c{number}" for number in range(chance.randint(2, 8))]

        def caller(name, rounds):
            for number in range(rounds):
                calls.submit(
                    f"{name}.{number}",
                    after=chance.choice([0.0, 0.3, 1.0, 3.0]),
                    size=chance.choice([0, 40, 60, 200]),
                )

        tasks = [
            scheduler.spawn(name, lambda n=name, r=rounds: caller(n, r))
            for name, rounds in [(name, chance.randint(1, 3)) for name in names]
        ]

        def kill():
            sleep(chance.choice([0.0, 0.1, 2.0, 5.0]))
            victim = chance.choice(tasks)
            if not victim.is_done:
                victim.kill(Killed())

        if scheduler.level is Switch.WAITS and chance.random() < 0.5:
            scheduler.spawn("killer", kill)
        return calls.problems

    explore_at_random("anything at random", scenario, count=effort(200, 30_000))


def test_a_batch_that_sqs_refuses_because_of_one_message():
    """4, for the messages that are then sent alone, one after the other."""
    client = load("cpsite.queue.client", cpsite__queue__group_commit=module)

    def scenario(scheduler, chance):
        took = {}

        def answer(seconds, error=None):
            sleep(seconds)
            if error:
                raise error
            return {}

        class Sqs:
            def send_message(self, **_message):
                return answer(chance.choice([0.1, 5.9]))

            def send_message_batch(self, **_messages):
                code = {"Error": {"Code": "InvalidMessageContents"}}
                return answer(chance.choice([0.1, 1.0]), ClientError(code, "SendMessageBatch"))

        sends = client.Client(Sqs(), client.SendOptions(send_seconds=SEND, call_seconds=CALL))

        def caller(name, after):
            sleep(after)
            begun = scheduler.now
            try:
                sends.send_message(QueueUrl="q", MessageBody=name)
            except (
                client.SendUnconfirmed,
                module.NotSent,
                module.OutcomeUnknown,
                ClientError,
            ) as error:
                note(type(error).__name__)
            took[name] = scheduler.now - begun

        for number in range(5):
            after = chance.choice([0.0, 4.0, 5.5, 5.8])
            scheduler.spawn(f"c{number}", lambda n=f"c{number}", a=after: caller(n, a))
        return lambda: [
            f"{name} took {seconds:.1f} s"
            for name, seconds in took.items()
            if scheduler.is_punctual and seconds > SEND
        ]

    explore_at_random("a batch is refused", scenario, count=effort(100, 10_000))
