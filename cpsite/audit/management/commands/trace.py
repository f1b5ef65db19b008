"""`manage.py trace <message_id>`: what happened to a message, by the audit log and by S3."""

import gzip
import json
import zlib
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.files.storage import storages
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError

from cpsite.audit.access import Access, actor_of_shell, record_access
from cpsite.audit.history import MessageHistory, read_history
from cpsite.audit.models import AuditEvent
from cpsite.audit.scope import WHY, holds_all_messages
from cpsite.aws import describe
from cpsite.cli import table
from cpsite.dead_letters.whereabouts import Place, find_place
from cpsite.moments import readable, rfc3339

_COLUMNS: Final = ("TIME (UTC)", "KIND", "REASON", "ATTEMPTS", "DURATION")


class Command(BaseCommand):
    help = (
        "Print what happened to a message: when it was accepted, each attempt to store it, and "
        "where it is. Unless an event says that it is stored or discarded, it looks among the dead "
        "letters. The id is the one in the answer to the client. The audit log is up to a second "
        "behind. Exit status: 0 when the message is known, 1 when it is not, or when --verify "
        "finds its object missing or altered."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("message_id", type=UUID, help="such as 6b1f1d5e-46d5-4c7c-9e5e-…")
        parser.add_argument(
            "--verify",
            action="store_true",
            help="read the object and compare it with the SHA-256 in the audit log",
        )
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        history = _read(options["message_id"])
        verdict = _verify(history) if options["verify"] else None
        place = find_place(history)
        if options["json"]:
            self.stdout.write(json.dumps(_document(history, place, verdict), indent=2))
        else:
            self.stdout.write("\n".join(_lines(history, place, verdict)))
        if verdict not in {None, "intact"}:
            raise CommandError(f"The object is {verdict}.")


def _read(message_id: UUID) -> MessageHistory:
    try:
        history = read_history(message_id)
    except (DatabaseError, InterfaceError) as exc:
        raise CommandError(f"The audit log cannot be read: {type(exc).__name__}.") from exc
    if history is None:
        raise CommandError(
            f"The audit log knows no message {message_id}. Events come up to a second after the "
            f"message, and old ones are pruned.{'' if holds_all_messages() else f' {WHY}.'}"
        )
    return history


def _lines(history: MessageHistory, place: Place, verdict: str | None) -> list[str]:
    lines = [f"{history.message_id}  {place.status}{place.note}"]
    lines += [f"  {name:<9}{value}" for name, value in _summary(history, verdict) if value]
    lines += [] if holds_all_messages() else [f"  {WHY}."]
    return [*lines, "", *_timeline(history)]


def _timeline(history: MessageHistory) -> Iterator[str]:
    """Yield the table of the events; with who, where somebody has redriven or read it."""
    rows = [_row(event) for event in history.events]
    if not any(event.actor for event in history.events):
        return table(_COLUMNS, rows)
    who = [event.actor or "" for event in history.events]
    return table((*_COLUMNS, "ACTOR"), [(*row, each) for row, each in zip(rows, who, strict=True)])


def _summary(history: MessageHistory, verdict: str | None) -> list[tuple[str, str]]:
    accepted, stored = history.accepted_at, history.stored_at
    later = ""
    if accepted and stored:
        later = f", {max(0.0, (stored - accepted).total_seconds()):.1f} s after it was accepted"
    key = history.object_key
    return [
        ("client", history.client),
        ("contract", history.contract),
        ("request", history.request_id),
        ("accepted", _moment(accepted)),
        ("stored", f"{_moment(stored)}{later}" if stored else ""),
        ("object", f"s3://{settings.S3_BUCKET}/{key}" if key and settings.S3_BUCKET else key),
        ("sha256", history.payload_sha256),
        ("verified", verdict or ""),
    ]


def _row(event: AuditEvent) -> tuple[str, ...]:
    return (
        _moment(event.occurred_at),
        event.kind,
        event.reason,
        "" if event.attempts is None else str(event.attempts),
        "" if event.duration_ms is None else f"{event.duration_ms} ms",
    )


def _moment(moment: datetime | None) -> str:
    return readable(moment) if moment else ""


def _document(history: MessageHistory, place: Place, verdict: str | None) -> dict[str, Any]:
    document = {
        "message_id": str(history.message_id),
        "status": place.status,
        "note": place.note.lstrip(":; ") or None,
        "client": history.client,
        "contract": history.contract or None,
        "accepted_at": rfc3339(history.accepted_at),
        "stored_at": rfc3339(history.stored_at),
        "object_key": history.object_key or None,
        "payload_sha256": history.payload_sha256 or None,
        "events": [
            {
                "occurred_at": rfc3339(event.occurred_at),
                "kind": event.kind,
                "reason": event.reason or None,
                "attempts": event.attempts,
                "duration_ms": event.duration_ms,
                "actor": event.actor,
                "request_id": event.request_id,
                "fields_at_fault": event.fields_at_fault,
            }
            for event in history.events
        ],
    }
    return document if verdict is None else document | {"verified": verdict}


def _verify(history: MessageHistory) -> str:
    """Return `intact`, `missing` or `altered`. The message's content is not shown."""
    if not history.object_key:
        why = "" if holds_all_messages() else f" {WHY}."
        raise CommandError(f"The audit log knows of no object that could be verified.{why}")
    if not (settings.S3_BUCKET or settings.MESSAGES_DIRECTORY):
        raise CommandError(
            "S3_BUCKET is not set. Beside `make run`: make trace ID=… TRACE=--verify"
        )
    storage = storages["messages"]
    try:
        with storage.open(history.object_key) as file:
            content: bytes = file.read()
    except FileNotFoundError:
        return "missing"
    except (ClientError, BotoCoreError, OSError) as exc:
        raise CommandError(f"The object cannot be read: {describe(exc)}.") from exc
    record_access(
        Access.OBJECT_VERIFIED,
        actor=actor_of_shell(),
        message_id=history.message_id,
        client=history.client,
        object_key=history.object_key,
    )
    body = _of_message(content, history)
    return "intact" if sha256(body).hexdigest() == history.payload_sha256 else "altered"


def _of_message(content: bytes, history: MessageHistory) -> bytes:
    """Return the message's own bytes. In a batch each message is one line (uploader/layouts.py)."""
    if not history.object_key.endswith(".gz"):
        return content
    wanted = str(history.message_id).encode()
    try:
        lines = gzip.decompress(content).splitlines()
    except (OSError, EOFError, zlib.error):
        return content
    return next((line for line in lines if wanted in line), b"")
