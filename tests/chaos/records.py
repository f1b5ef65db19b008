"""What clients sent, and what they were told."""

from collections import Counter
from dataclasses import dataclass, field

#: Stands in each message and nowhere else, so that it must not stand in any log.
WORD = "quokka-verbatim"


@dataclass(slots=True)
class Sent:
    """One message as clients know it: its content is in no other.

    A try without a key whose answer was lost is a message of its own, and so is the next try.
    """

    marker: str
    client: str
    data: dict[str, object]
    key: str | None = None
    #: It must never be stored, because each answer to it says so.
    refused: bool = False
    attempts: int = 0
    #: The ids that its 202s named.
    accepted: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class WrongAnswer:
    """An answer that breaks the API's contract."""

    marker: str
    status: int
    code: str
    expected: int


@dataclass
class Journal:
    """What one client, or all of them, did and saw."""

    sent: list[Sent] = field(default_factory=list)
    #: Messages that a client wanted to send; each may have taken several attempts.
    messages: int = 0
    attempts: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[WrongAnswer] = field(default_factory=list)
    repeated: int = 0
    gave_up: int = 0
    #: Ids that were named a second time without the header that says so.
    unmarked: list[str] = field(default_factory=list)

    def add(self, other: "Journal") -> None:
        self.sent += other.sent
        self.messages += other.messages
        self.attempts += other.attempts
        self.answers += other.answers
        self.wrong += other.wrong
        self.repeated += other.repeated
        self.gave_up += other.gave_up
        self.unmarked += other.unmarked


def marker_of(data: dict[str, object]) -> str:
    """Return the marker that a message's first field begins with."""
    return str(data.get("field1", "")).partition(" ")[0]
