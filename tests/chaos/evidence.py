"""What a run left behind: objects, dead letters, audit events and logs."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from tests import databases
from tests.chaos import contents
from tests.chaos.records import WORD, Journal

#: Log lines that claim an event for the audit log, and the kind of event.
_CLAIMS = {"message_accepted": "accepted", "message_stored": "stored"}

_MESSAGE_KEYS = {"message_id", "accepted_at", "client", "data"}


@dataclass(frozen=True, slots=True)
class Stored:
    """One object. `data` is None when it is not one of our messages."""

    key: str
    digest: str
    message_id: str = ""
    client: str = ""
    date: str = ""
    data: dict[str, Any] | None = None


def read_object(key: str, body: bytes) -> Stored:
    digest = sha256(body).hexdigest()
    try:
        document = json.loads(body)
        if document.keys() != _MESSAGE_KEYS or not isinstance(document["data"], dict):
            return Stored(key, digest)
    except (ValueError, AttributeError):
        return Stored(key, digest)
    return Stored(
        key,
        digest,
        message_id=str(document["message_id"]),
        client=str(document["client"]),
        date=str(document["accepted_at"])[:10],
        data=document["data"],
    )


@dataclass(frozen=True, slots=True)
class AuditRow:
    kind: str
    message_id: str
    digest: str = ""
    attempts: int = 0


@dataclass
class ProcessLog:
    """What one process wrote. Pairs are those of an audit event's kind and message id."""

    name: str
    was_killed: bool = False
    claims: set[tuple[str, str]] = field(default_factory=set)
    lost: set[tuple[str, str]] = field(default_factory=set)
    #: Ids of messages whose key was not marked as queued.
    not_noted: set[str] = field(default_factory=set)
    leaks: list[str] = field(default_factory=list)
    unforeseen: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)


def read_log(path: Path, *, name: str, was_killed: bool) -> ProcessLog:
    found = ProcessLog(name, was_killed)
    with path.open(errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if WORD in line or contents.SECRET in line:
                found.leaks.append(f"{path.name}:{number}")
            _note(found, line, f"{path.name}:{number}")
    return found


def _note(found: ProcessLog, line: str, place: str) -> None:
    try:
        entry = json.loads(line)
        event, level = str(entry["event"]), str(entry["level"])
    except (ValueError, KeyError, TypeError):
        if line.startswith("Traceback"):
            found.unforeseen.append(f"{place} a traceback")
        return
    message_id = str(entry.get("message_id"))
    if kind := _CLAIMS.get(event):
        found.claims.add((kind, message_id))
    elif event == "audit_event_lost":
        found.lost.add((str(entry.get("kind")), message_id))
    elif event == "idempotency_not_noted":
        found.not_noted.add(message_id)
    if event.endswith("_unexpectedly") or event == "request_failed" or level == "CRITICAL":
        found.unforeseen.append(f"{place} {event[:80]}")
    if level != "INFO":
        found.events[event if event.isidentifier() else "gunicorn's own"] += 1


@dataclass
class Evidence:
    """All that a verdict is made of."""

    journal: Journal
    objects: Sequence[Stored] = ()
    dead_letters: Sequence[str] = ()
    poison: Sequence[str] = ()
    audit: Sequence[AuditRow] = ()
    logs: Sequence[ProcessLog] = ()
    #: Messages left: visible, in flight, delayed.
    left: tuple[int, int, int] = (0, 0, 0)
    #: Bad ends of processes, each told in a line.
    bad_stops: Sequence[str] = ()
    deaths: Sequence[str] = ()
    #: Trouble of the suite itself.
    errors: Sequence[str] = ()


def read_objects(items: Iterable[tuple[str, bytes]]) -> list[Stored]:
    return [read_object(key, body) for key, body in items]


def read_audit(url: str) -> list[AuditRow]:
    """Return the audit events that name a message."""
    query = (
        "SELECT kind, message_id, payload_sha256, attempts FROM audit_auditevent "
        "WHERE message_id IS NOT NULL"
    )
    return [
        AuditRow(kind, str(UUID(str(message_id))), digest, attempts or 0)
        for kind, message_id, digest, attempts in databases.rows(url, query)
    ]
