"""Attacks on the real services: each by itself, and all at once, beside a good client.

tests/end_to_end/attackers.py has what the attackers do. tests/end_to_end/test_logins.py has the
logins by themselves.
"""

import json
import os
import select
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests import factories
from tests.end_to_end import attackers
from tests.end_to_end.conftest import ROOT, Process, Services
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.slow(reason="hundreds of hostile clients at once"),
]

MEMORY_BYTES = 512 * 2**20
#: A validator for as little memory as `terraform/` gives it in dev.
CONFIGURATION = f"""
from cpsite.gunicorn import *
from cpsite.observability import resource_limits
resource_limits.find = lambda: resource_limits.Limits(cpu_cores=1.0, memory_bytes={MEMORY_BYTES})
"""
#: Requests of the good client while all attacks are under way.
GOOD_REQUESTS = 20
#: The attacks that go on together, beside bombs on the queue. The patient ones pause after an
#: answer.
PATIENT = ("endless", "unfinished", "long", "login")
ALL = (*PATIENT, "refused")
ATTACKERS = sum(len(attackers.ATTACKS[name](0)) for name in PATIENT)
#: Most seconds of work of the worker while a good request waits. A validator that has a core for
#: itself, as in production, answers within them.
WORK_SECONDS = 2.0
#: An expanded bomb would take so many bytes.
BOMB_BYTES = 64_000_000
COMPRESSIONS = ("gzip", "bzip2", "zlib", "lzma")


Statuses = dict[str, dict[int, int]]


class Attack:
    """A process of attackers, from its start to the end of the context."""

    def __init__(self, services: Services, *names: str) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "tests.end_to_end.attackers", str(services.port), *names],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _exc: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._popen.kill()
        self._popen.communicate()

    def wait_until_answered(self) -> None:
        """Return when each attacker has got an answer. The bound is for a hang, not for speed."""
        assert self._popen.stdout
        assert select.select([self._popen.stdout], [], [], 300)[0], "no answers"
        assert self._popen.stdout.readline(), "the attackers have ended"

    def count(self) -> Statuses:
        """Return how often each attack got which status so far."""
        assert self._popen.stdin
        assert self._popen.stdout
        self._popen.stdin.write("\n")
        self._popen.stdin.flush()
        return self._read(self._popen.stdout.readline())

    def end(self) -> Statuses:
        """Return how often each attack got which status."""
        return self._read(self._popen.communicate("")[0])

    def _read(self, line: str) -> Statuses:
        return {
            name: {int(status): number for status, number in statuses.items()}
            for name, statuses in json.loads(line).items()
        }


def _start(services: Services, **environment: str) -> Process:
    """Start a validator of one process, which all attacks have to share."""
    path = services.scratch / "config.py"
    path.write_text(CONFIGURATION)
    owners = {"alice": factories.ALICE, "bob": factories.BOB, "mallory": attackers.MALLORY}
    process = services._start(
        "validator",
        ["-m", "gunicorn", "--config", str(path)],
        WEB_CONCURRENCY="1",
        API_TOKENS=json.dumps({name: [token] for name, token in owners.items()}),
        TRUSTED_PROXIES="1",
        # The queue is an emulator, and this machine may be busy.
        SQS_PUBLISH_TIMEOUT_SECONDS="60",
        **environment,
    )
    wait_for(lambda: services.get("/health/ready")[0] == 200, "the validator")
    return process


def _worker(validator: Process) -> int:
    pid = validator.popen.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def _most_memory(pid: int) -> int:
    """Return the most memory in bytes that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _worked_seconds(pid: int) -> float:
    """Return for how long a process's main thread has had a processor; it serves all clients."""
    fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Waits:
    """What a worker does between requests of the good client and their answers.

    That is how fair it is. How long it takes says more about the machine, which others share.
    """

    def __init__(self, worker: int, attack: Attack) -> None:
        self._worker, self._attack = worker, attack
        #: For each request: seconds of work, and answers to others.
        self.work: list[float] = []
        self.answers: list[int] = []

    def __enter__(self) -> None:
        self._begun = _worked_seconds(self._worker), self._answered()

    def __exit__(self, *_exc: object) -> None:
        worked, answered = self._begun
        self.work.append(_worked_seconds(self._worker) - worked)
        self.answers.append(self._answered() - answered)

    def _answered(self) -> int:
        counted = self._attack.count()
        return sum(sum(counted[name].values()) for name in PATIENT)


def _health(services: Services) -> int:
    url = f"http://127.0.0.1:{services.port}/health/live"
    with urllib.request.urlopen(url, timeout=60) as answer:
        return int(answer.status)


def _send_well(services: Services, number: int) -> str:
    """Send a message as a good client; return its id."""
    status, answer = services.post(factories.fields(field1=str(number)), factories.BOB)
    assert status == 202, answer
    return str(answer["message_id"])


def test_uploads_without_a_token_are_not_read(services: Services) -> None:
    validator = _start(services)
    with Attack(services, "endless", "unfinished") as attack:
        attack.wait_until_answered()
        for number in range(5):
            _send_well(services, number)
        statuses = attack.end()
    # Of a form at `/` the type is refused first. 429: an address that has caused too many refusals.
    assert set(statuses["endless"]) <= {413, 415, 429}
    assert set(statuses["unfinished"]) <= {400, 403}
    assert "WORKER TIMEOUT" not in validator.log.read_text()
    assert _most_memory(_worker(validator)) < MEMORY_BYTES / 2


def test_many_long_messages_at_once_stay_within_the_memory(services: Services) -> None:
    validator = _start(services)
    with Attack(services, "growing") as attack:
        attack.wait_until_answered()
        for number in range(5):
            _send_well(services, number)
        statuses = attack.end()["growing"]
    assert statuses.get(202)
    both = _most_memory(validator.popen.pid) + _most_memory(_worker(validator))
    assert both < MEMORY_BYTES  # what they share is counted twice


def test_refused_requests_of_a_tokens_owner_count(services: Services) -> None:
    _start(services, THROTTLE_CLIENT_RATE="30/hour")
    with Attack(services, "refused") as attack:
        attack.wait_until_answered()
        wait_for(
            lambda: services.post(factories.fields(), attackers.MALLORY)[0] == 429,
            "the end of what this client may send",
        )
        for number in range(5):
            _send_well(services, number)
        statuses = attack.end()["refused"]
    assert statuses.get(400, 0) + statuses.get(401, 0) <= 30


def test_all_attacks_at_once_take_nothing_from_a_good_client(services: Services) -> None:
    validator = _start(services, THROTTLE_CLIENT_RATE="120/min")
    uploader = services.uploader()
    worker = _worker(validator)
    for name in COMPRESSIONS:
        services.queue.send(factories.compressed_envelope("0" * BOMB_BYTES, name))
    accepted = []
    with Attack(services, *ALL) as attack:
        attack.wait_until_answered()
        requests, health = Waits(worker, attack), Waits(worker, attack)
        for number in range(GOOD_REQUESTS):
            with requests:
                accepted.append(_send_well(services, number))
            with health:
                assert _health(services) == 200
        statuses = attack.end()

    for waits in (requests, health):
        assert max(waits.work) < WORK_SECONDS
        assert max(waits.answers) <= 2 * ATTACKERS  # two turns of each
    _require_that_all_attacked(statuses)
    assert "WORKER TIMEOUT" not in validator.log.read_text()
    assert _most_memory(validator.popen.pid) + _most_memory(worker) < MEMORY_BYTES
    assert services.get("/health/ready")[0] == 200
    wait_for(
        lambda: services.queue.count(dead=True)["visible"] == len(COMPRESSIONS),
        "the bombs among the dead letters",
        120,
    )
    wait_for(lambda: set(accepted) <= _stored(services), "the good client's messages", 120)
    assert _most_memory(uploader.popen.pid) < MEMORY_BYTES / 2


def _require_that_all_attacked(statuses: dict[str, dict[int, int]]) -> None:
    assert set(statuses["endless"]) <= {413, 415, 429}
    assert set(statuses["login"]) <= {200, 503}
    assert statuses["login"].get(200), "no password was hashed"
    assert set(statuses["refused"]) <= {400, 401, 429}
    assert statuses["long"].get(202), "no long message was accepted"


def _stored(services: Services) -> set[str]:
    return {
        key.rpartition("/")[2].removesuffix(".json")
        for key in services.bucket.keys()  # noqa: SIM118
    }
