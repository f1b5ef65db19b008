"""`manage.py dlq list`, `dlq show` and `dlq redrive`: dead letters on the command line."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db import Error as DatabaseFailure
from tqdm import tqdm  # type: ignore[import-untyped]
from tqdm.contrib.logging import logging_redirect_tqdm  # type: ignore[import-untyped]

from cpsite.audit.access import Access, actor_of_shell, record_access
from cpsite.audit.history import read_history
from cpsite.audit.models import AuditEvent
from cpsite.audit.recorder import recorder
from cpsite.aws import describe
from cpsite.cli import positive, stopped_by_signals, table
from cpsite.dead_letters.letter import UNDECODABLE, UNKNOWN, DeadLetter, Selection
from cpsite.dead_letters.queue import VISIBILITY_SECONDS, DeadLetterQueue
from cpsite.dead_letters.redrive import Counts, Redrive
from cpsite.moments import readable
from cpsite.queue.delivery import QUEUE_FAILURES

#: Letters between two lines of progress, if standard error is not a terminal.
PROGRESS_EVERY: Final = 1_000

_COLUMNS: Final = ("ID", "CLIENT", "ACCEPTED (UTC)", "RECEIVES", "REASON", "BYTES")
_NUMBERS: Final = {"RECEIVES", "BYTES"}
_EXAMPLE: Final = "https://sqs.us-east-1.amazonaws.com/123456789012/cpsite-messages"


@dataclass
class Stop:
    """The signal that has asked the command to stop, if any."""

    number: int = 0

    def is_requested(self) -> bool:
        return self.number != 0

    def request(self, number: int) -> None:
        self.number = number

    def abort(self, _number: int) -> None:
        raise KeyboardInterrupt


class Command(BaseCommand):
    help = (
        "Look at dead letters and send them back to the queue. A letter is deleted from the "
        "dead-letter queue only after the queue has accepted it. While it is looked at, others "
        "cannot receive it. Safe to interrupt and to run again: Ctrl-C finishes the current batch "
        "and makes the rest visible again; a second Ctrl-C aborts. Exit status: 0 when done; 1 "
        "when SQS or the configuration failed, there is no such letter, or some could not be sent "
        "or deleted; 2 for a wrong option; 130 or 143 when interrupted."
    )
    # Neither a database nor a working admin is needed.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|redrive")
        _add_list(actions.add_parser("list", help="list them, without content"))
        _add_show(actions.add_parser("show", help="show one in detail"))
        _add_redrive(actions.add_parser("redrive", help="send them back to the queue"))

    def handle(self, *args: Any, **options: Any) -> None:
        _require_queues(sends=options["action"] == "redrive")
        act = {"list": self._list, "show": self._show, "redrive": self._redrive}[options["action"]]
        stop = Stop()
        try:
            with stopped_by_signals(
                stop.request,
                again=stop.abort,
                notice="dlq: finishing the current batch; a second signal aborts",
            ):
                act(stop, options)
        except QUEUE_FAILURES as exc:
            raise CommandError(f"SQS failed: {_named(exc)}.") from exc
        except KeyboardInterrupt:
            stop.number = stop.number or signal.SIGINT
        finally:
            recorder.close()
        if stop.is_requested():
            self.stderr.write("Interrupted; run again to go on.")
            raise SystemExit(128 + stop.number)

    def _list(self, stop: Stop, options: dict[str, Any]) -> None:
        queue = DeadLetterQueue(is_stopping=stop.is_requested)
        selection = Selection(reason=options["reason"], limit=options["limit"])
        rows: list[list[str]] = []
        with self._reading(queue) as progress:
            for letters in queue.read(until=selection.is_complete):
                rows += [_row(letter) for letter in letters if selection.takes(letter)]
                progress()
        self._write_table(rows)
        if queue.looked_at:
            of_reason = f" with the reason {selection.reason}" if selection.reason else ""
            more = "; stopped at --limit" if selection.taken == selection.limit else ""
            self.stdout.write(f"{_count(len(rows))}{of_reason}{more}.")

    def _show(self, stop: Stop, options: dict[str, Any]) -> None:
        queue = DeadLetterQueue(is_stopping=stop.is_requested)
        selection = Selection(ids=[options["id"]])
        found: list[DeadLetter] = []
        with self._reading(queue) as progress:
            for letters in queue.read(until=selection.is_complete):
                found += filter(selection.takes, letters)
                progress()
        for letter in found:
            self._write_letter(letter, queue)
            if options["body"]:
                record_access(
                    Access.BODY_SHOWN,
                    actor=actor_of_shell(),
                    message_id=letter.message_id,
                    client=letter.client,
                )
                self.stdout.write("\n" + letter.payload.decode(errors="replace"))
        if not stop.is_requested():
            _demand_all_found(selection, queue)

    def _redrive(self, stop: Stop, options: dict[str, Any]) -> None:
        queue = DeadLetterQueue(is_stopping=stop.is_requested)
        selection = Selection(ids=options["ids"], reason=options["reason"], limit=options["limit"])
        redrive = Redrive(queue, selection, actor=actor_of_shell())
        if options["dry_run"]:
            self._rehearse(redrive, queue)
        else:
            self._send_back(redrive, queue)
        if not stop.is_requested():
            _demand_success(redrive.counts)
            _demand_all_found(selection, queue)
            _demand_reasons(selection, queue)

    def _rehearse(self, redrive: Redrive, queue: DeadLetterQueue) -> None:
        rows: list[list[str]] = []
        with self._reading(queue) as progress:
            for letters in redrive.choose():
                rows += map(_row, letters)
                progress()
        self._write_table(rows)
        self.stdout.write(
            f"Dry run, nothing was changed: would redrive {len(rows)} of {queue.looked_at} "
            "looked at."
        )

    def _send_back(self, redrive: Redrive, queue: DeadLetterQueue) -> None:
        try:
            with self._reading(queue) as progress:
                for _counts in redrive.run():
                    progress()
        finally:
            counts = redrive.counts
            left = queue.looked_at - counts.redriven - counts.failed
            self.stdout.write(
                f"Redriven {counts.redriven}, failed to send {counts.failed}, left {left} of "
                f"{queue.looked_at} looked at."
            )

    @contextmanager
    def _reading(self, queue: DeadLetterQueue) -> Iterator[Callable[[], None]]:
        """Open the queue for a run; yield a function to be called after each receive."""
        try:
            with queue:
                depth = queue.depth()
                with progress_shown(queue, total=depth.visible, stderr=self.stderr) as progress:
                    yield progress
        finally:
            if queue.audit_failure is not None:
                self._warn_of_audit(queue.audit_failure)
            if queue.held:
                self.stderr.write(
                    f"{_count(queue.held)} could not be made visible again at once; SQS does it "
                    f"within {VISIBILITY_SECONDS // 60} minutes."
                )
        if not queue.looked_at and not queue.is_stopping():
            self.stdout.write("The dead-letter queue is empty.")
            if depth.hidden:
                self.stdout.write(
                    f"But about {depth.hidden} are hidden: somebody is looking at them, or was "
                    f"interrupted. They are visible again within {VISIBILITY_SECONDS // 60} "
                    "minutes."
                )

    def _warn_of_audit(self, failure: str) -> None:
        self.stderr.write(f"The audit log cannot be read ({failure}): reasons are unknown.")

    def _write_table(self, rows: Sequence[Sequence[str]]) -> None:
        if rows:
            for line in table(_COLUMNS, rows, numbers=_NUMBERS):
                self.stdout.write(line)

    def _write_letter(self, letter: DeadLetter, queue: DeadLetterQueue) -> None:
        for name, value in _description(letter).items():
            self.stdout.write(f"{name + ':':<16}{value}")
        if letter.message_id is None or queue.audit_failure is not None:
            return
        try:
            history = read_history(letter.message_id)
        except DatabaseFailure as exc:
            self._warn_of_audit(type(exc).__name__)
            return
        self.stdout.write("audit log (UTC):")
        for event in history.events if history else ():
            self.stdout.write(f"  {_event(event)}")
        if history is None:
            self.stdout.write("  nothing")


def _add_list(parser: CommandParser) -> None:
    parser.add_argument("--reason", metavar="R", help="only those with this reason")
    parser.add_argument("--limit", type=positive, metavar="N", help="stop after N (default: all)")


def _add_show(parser: CommandParser) -> None:
    parser.add_argument("id", metavar="ID", help="our message id, or SQS's")
    parser.add_argument(
        "--body", action="store_true", help="print the content, too, to standard output"
    )


def _add_redrive(parser: CommandParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--id",
        action="append",
        default=[],
        dest="ids",
        metavar="ID",
        help="the one with this message id, ours or SQS's; can be repeated",
    )
    which.add_argument("--all", action="store_true", help="all of them")
    which.add_argument("--reason", metavar="R", help="those with this reason, as `list` shows it")
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="redrive N at most (default: no limit)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be sent, send nothing"
    )


def _require_queues(*, sends: bool) -> None:
    """Raise CommandError when a URL is missing."""
    wanted = {"SQS_DLQ_URL": f"{_EXAMPLE}-dlq"} | ({"SQS_QUEUE_URL": _EXAMPLE} if sends else {})
    for name, example in wanted.items():
        if not getattr(settings, name):
            raise CommandError(
                f"{name} is not set. Set it to the URL of the queue, for example {example}."
            )
    if sends and settings.SQS_DLQ_URL == settings.SQS_QUEUE_URL:
        raise CommandError(
            "SQS_DLQ_URL and SQS_QUEUE_URL are the same. Set SQS_DLQ_URL to the URL of the queue "
            "that the other's redrive policy names."
        )


def _demand_success(counts: Counts) -> None:
    """Raise CommandError (exit code 1) if a letter was not sent or not deleted."""
    if counts.failed:
        errors = ", ".join(sorted(counts.errors))
        raise CommandError(
            f"{_count(counts.failed)} could not be sent ({errors}) and stay dead letters. "
            "Run again to try again."
        )
    if counts.not_deleted:
        raise CommandError(
            f"{_count(counts.not_deleted)} were sent but could not be deleted, and are in both "
            "queues. That is harmless: they will be delivered twice, as any message may be."
        )


def _demand_all_found(selection: Selection, queue: DeadLetterQueue) -> None:
    """Raise CommandError if an id that was asked for has no letter."""
    if selection.missing:
        raise CommandError(
            f"No dead letter has the id {', '.join(sorted(selection.missing))} "
            f"({queue.looked_at} looked at)."
        )


def _demand_reasons(selection: Selection, queue: DeadLetterQueue) -> None:
    """Raise CommandError if letters may have been skipped because their reasons are unknown."""
    if selection.reason not in {None, UNDECODABLE} and queue.audit_failure is not None:
        raise CommandError(
            f"Without the audit log, it is not known which letters have the reason "
            f"{selection.reason}."
        )


def _named(exc: Exception) -> str:
    """Return an error's name with the AWS operation, which is what a missing permission names."""
    operation = f"{exc.operation_name}: " if isinstance(exc, ClientError) else ""
    return operation + describe(exc)


def _count(number: int) -> str:
    return f"{number} dead letter" + ("" if number == 1 else "s")


def _row(letter: DeadLetter) -> list[str]:
    return [
        str(letter.message_id or letter.sqs_message_id),
        letter.client or "-",
        readable(letter.accepted_at) if letter.accepted_at else "-",
        str(letter.receives),
        letter.reason or UNKNOWN,
        str(letter.size),
    ]


def _description(letter: DeadLetter) -> dict[str, str]:
    return {
        "message id": str(letter.message_id or "-"),
        "SQS message id": letter.sqs_message_id,
        "client": letter.client or "-",
        "accepted (UTC)": readable(letter.accepted_at) if letter.accepted_at else "-",
        "sent (UTC)": readable(letter.sent_at),
        "receives": str(letter.receives),
        "bytes": str(letter.size),
        "reason": f"{letter.reason or UNKNOWN} {letter.error}".rstrip(),
    }


def _event(event: AuditEvent) -> str:
    attempt = f"attempt {event.attempts}" if event.attempts else ""
    actor = f"by {event.actor}" if event.actor else ""
    details = (event.reason, event.object_key, attempt, actor)
    return "  ".join([readable(event.occurred_at), event.kind, *filter(None, details)])


@contextmanager
def progress_shown(
    queue: DeadLetterQueue, *, total: int, stderr: OutputWrapper
) -> Iterator[Callable[[], None]]:
    """Yield a function that shows how many letters were looked at, of about `total`."""
    if stderr.isatty():
        with (
            logging_redirect_tqdm(),
            tqdm(total=total, unit=" letters", leave=False, file=sys.stderr) as bar,
        ):
            yield lambda: bar.update(queue.looked_at - bar.n)
    else:
        reported = 0

        def report() -> None:
            nonlocal reported
            if queue.looked_at - reported >= PROGRESS_EVERY:
                reported = queue.looked_at
                stderr.write(f"{reported} of about {total} looked at")

        yield report
