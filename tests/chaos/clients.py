"""Clients of the API, each of which sends one message after the other and tries again."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.chaos import contents
from tests.chaos.records import Journal, Sent, WrongAnswer

#: Seconds that a client waits for an answer.
ANSWER_SECONDS = 15.0
#: Tries until a client gives up.
ATTEMPTS = 60
#: Longest wait between two tries in seconds, whatever Retry-After says.
WAIT_SECONDS = 1.0

#: Answers after which a client tries again.
_AGAIN = {409, 429, 503}


@dataclass(frozen=True)
class Shares:
    """What clients send besides good messages, and how often."""

    unknown_token: float = 0.03
    broken: float = 0.03
    #: Of the good ones.
    keyed: float = 0.5
    #: Of the keyed ones: sent once more after their 202, sent twice at the same moment, and
    #: followed by other data under the same key.
    repeated: float = 0.1
    twins: float = 0.05
    other_data: float = 0.02


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    document: dict[str, Any]

    @property
    def code(self) -> str:
        return str(self.document.get("code", ""))

    @property
    def is_final(self) -> bool:
        """Whether the same request would be answered alike the next time."""
        return self.status < 500 and self.status not in _AGAIN


class _Masters:
    """One client's connections: one to each master, kept open."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._connections = [
            http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS) for port in ports
        ]

    def __len__(self) -> int:
        return len(self._connections)

    def send(self, master: int, body: bytes, headers: dict[str, str]) -> bool:
        try:
            self._connections[master].request("POST", "/", body, headers)
        except (OSError, http.client.HTTPException):
            self._connections[master].close()
            return False
        return True

    def receive(self, master: int) -> Answer | None:
        """Return the answer to what was sent last, or None when there is none."""
        connection = self._connections[master]
        try:
            answer = connection.getresponse()
            text = answer.read()
            return Answer(answer.status, answer.headers, json.loads(text))
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()
            return None

    def close(self) -> None:
        for connection in self._connections:
            with suppress(OSError):
                connection.close()


class Client(threading.Thread):
    """Sends `quota` good messages, spread over `seconds`, and others in between.

    `rng` decides about all that it does. It ends when `stopped` is set.
    """

    def __init__(
        self,
        number: int,
        *,
        ports: Sequence[int],
        quota: int,
        seconds: float,
        rng: random.Random,
        shares: Shares,
        stopped: threading.Event,
    ) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self.journal = Journal()
        self._number = number
        self._masters = _Masters(ports)
        self._quota = quota
        self._seconds = seconds
        self._rng = rng
        self._shares = shares
        self._stopped = stopped
        self._owner = rng.choice(sorted(contents.TOKENS))
        self._token = contents.TOKENS[self._owner]
        self._markers = 0

    def run(self) -> None:
        started = time.monotonic()
        for number in range(self._quota):
            due = started + (number + self._rng.random()) * self._seconds / self._quota
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                break
            self._send_refused()
            self._send_good()
        self._masters.close()

    def _send_refused(self) -> None:
        """Send what must be refused, perhaps."""
        chance = self._rng.random()
        if chance < self._shares.unknown_token:
            sent = self._new(contents.fields, refused=True)
            token = f"{contents.SECRET}-nobody-{self._rng.randrange(10**9)}"
            self._until_answered(lambda: sent, 401, token=token)
        elif chance < self._shares.unknown_token + self._shares.broken:
            sent = self._new(contents.broken_fields, refused=True)
            self._until_answered(lambda: sent, 400)

    def _send_good(self) -> None:
        self.journal.messages += 1
        if self._rng.random() >= self._shares.keyed:
            # A new marker for each try, so that a try without an answer can be told from the next.
            self._until_answered(lambda: self._new(contents.fields), 202)
            return
        sent = self._new(contents.fields)
        sent.key = f"key-{sent.marker}"
        twins = len(self._masters) > 1 and self._rng.random() < self._shares.twins
        if not (twins and self._send_twins(sent)) and not self._until_answered(lambda: sent, 202):
            return
        if self._rng.random() < self._shares.repeated:
            self._repeat(sent)
        if self._rng.random() < self._shares.other_data:
            other = self._new(contents.fields, refused=True)
            other.key = sent.key
            self._until_answered(lambda: other, 422)

    def _new(
        self,
        make: Callable[[random.Random, str], dict[str, Any]],
        *,
        refused: bool = False,
    ) -> Sent:
        self._markers += 1
        marker = f"c{self._number:02}-{self._markers:06}"
        sent = Sent(marker, self._owner, make(self._rng, marker), refused=refused)
        self.journal.sent.append(sent)
        return sent

    def _repeat(self, sent: Sent) -> None:
        """Send it once more; the answer must say that it is a repeat."""
        self.journal.repeated += 1
        answer = self._until_answered(lambda: sent, 202)
        if answer is not None and answer.headers.get("Idempotent-Replayed") != "true":
            self.journal.unmarked.append(sent.accepted[-1])

    def _send_twins(self, sent: Sent) -> bool:
        """Send it to two masters at the same moment; return whether any accepted it."""
        two = self._rng.sample(range(len(self._masters)), 2)
        body, headers = self._request(sent, self._token)
        under_way = [each for each in two if self._masters.send(each, body, headers)]
        answers = [self._note(sent, self._masters.receive(each), 202) for each in under_way]
        return any(answer is not None and answer.status == 202 for answer in answers)

    def _until_answered(
        self, next_try: Callable[[], Sent], expected: int, *, token: str = ""
    ) -> Answer | None:
        """Try until there is an answer other than "try again"; return it when it is as expected."""
        for _ in range(ATTEMPTS):
            sent = next_try()
            master = self._rng.randrange(len(self._masters))
            body, headers = self._request(sent, token or self._token)
            is_sent = self._masters.send(master, body, headers)
            answer = self._note(sent, self._masters.receive(master) if is_sent else None, expected)
            if answer is not None and (answer.status == expected or answer.is_final):
                return answer if answer.status == expected else None
            if self._stopped.wait(self._pause(answer)):
                return None
        self.journal.gave_up += 1
        return None

    def _request(self, sent: Sent, token: str) -> tuple[bytes, dict[str, str]]:
        body, headers = contents.request(self._rng, token, sent.data)
        if sent.key is not None:
            headers["Idempotency-Key"] = sent.key
        return body, headers

    def _pause(self, answer: Answer | None) -> float:
        asked = float(answer.headers.get("Retry-After", WAIT_SECONDS)) if answer else WAIT_SECONDS
        return min(asked, WAIT_SECONDS) * self._rng.uniform(0.3, 1)

    def _note(self, sent: Sent, answer: Answer | None, expected: int) -> Answer | None:
        """Write down what came of one try."""
        sent.attempts += 1
        self.journal.attempts += 1
        if answer is None:
            self.journal.answers["no answer"] += 1
            return None
        self.journal.answers[f"{answer.status} {answer.code}".strip()] += 1
        if answer.status == 202:
            sent.accepted.append(str(answer.document.get("message_id")))
        may_come_again = answer.status in _AGAIN and (answer.status != 409 or sent.key is not None)
        if answer.status != expected and not may_come_again:
            self.journal.wrong.append(
                WrongAnswer(sent.marker, answer.status, answer.code, expected)
            )
        return answer
