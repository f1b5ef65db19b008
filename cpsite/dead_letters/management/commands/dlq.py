"""`manage.py dlq list`, `show`, `redrive` and `discard`: dead letters on the command line."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db import Error as DatabaseFailure
from tqdm import tqdm  # type: ignore[import-untyped]
from tqdm.contrib.logging import logging_redirect_tqdm  # type: ignore[import-untyped]

from cpsite.audit.access import Access, actor_of_shell, record_access
from cpsite.audit.recorder import recorder
from cpsite.aws import describe
from cpsite.cli import positive, stopped_by_signals
from cpsite.dead_letters.accounting import Person
from cpsite.dead_letters.discard import MEANINGS, Because, Discard, Discarded
from cpsite.dead_letters.events import events_of
from cpsite.dead_letters.letter import UNDECODABLE, DeadLetter, Selection, printable
from cpsite.dead_letters.queue import VISIBILITY_SECONDS, DeadLetterQueue, Depth
from cpsite.dead_letters.reasons import is_known, known_reasons
from cpsite.dead_letters.redrive import Counts, Redrive
from cpsite.dead_letters.text import count, description, event_line, table_of
from cpsite.queue.delivery import QUEUE_FAILURES

#: Letters between two lines of progress, if standard error is not a terminal.
PROGRESS_EVERY: Final = 1_000

_EXAMPLE: Final = "https://sqs.us-east-1.amazonaws.com/123456789012/cpsite-messages"


@dataclass
class Stop:
    """The signal that has asked the command to stop, if any."""

    number: int = 0
    #: A question is on the screen: a signal answers it at once.
    is_asking: bool = False

    def is_requested(self) -> bool:
        return self.number != 0

    def request(self, number: int) -> None:
        self.number = number
        if self.is_asking:
            raise KeyboardInterrupt

    def abort(self, _number: int) -> None:
        raise KeyboardInterrupt


class Command(BaseCommand):
    help = (
        "Look at dead letters, send them back to the queue, or discard them. A letter that is sent "
        "back is deleted from the dead-letter queue only after the queue has accepted it. While it "
        "is looked at, others cannot receive it. Safe to interrupt and to run again: Ctrl-C "
        "finishes the current batch "
        "and makes the rest visible again; a second Ctrl-C aborts. Exit status: 0 when done; 1 "
        "when SQS or the configuration failed, there is no such letter, some could not be sent or "
        "deleted, or a discard was not confirmed; 2 for a wrong option; 130 or 143 when "
        "interrupted."
    )
    # Neither a database nor a working admin is needed.
    requires_system_checks: list[str] = []

    #: Of the last look.
    _depth: Depth

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(
            dest="action", required=True, metavar="list|show|redrive|discard"
        )
        _add_list(actions.add_parser("list", help="list them, without content"))
        _add_show(actions.add_parser("show", help="show one in detail"))
        _add_redrive(actions.add_parser("redrive", help="send them back to the queue"))
        _add_discard(actions.add_parser("discard", help="delete them for good"))

    def handle(self, *args: Any, **options: Any) -> None:
        _require_queues(sends=options["action"] == "redrive")
        _check(options)
        act = {
            "list": self._list,
            "show": self._show,
            "redrive": self._redrive,
            "discard": self._discard,
        }[options["action"]]
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
        found = self._find(queue, selection)
        self._write_table(found)
        if queue.looked_at:
            of_reason = f" with the reason {selection.reason}" if selection.reason else ""
            more = "; stopped at --limit" if selection.taken == selection.limit else ""
            self.stdout.write(f"{count(len(found))}{of_reason}{more}.")

    def _show(self, stop: Stop, options: dict[str, Any]) -> None:
        queue = DeadLetterQueue(is_stopping=stop.is_requested)
        selection = Selection(ids=[options["id"]])
        for letter in self._find(queue, selection):
            self._write_letter(letter, queue)
            if options["body"]:
                record_access(
                    Access.BODY_SHOWN,
                    actor=actor_of_shell(),
                    message_id=letter.message_id,
                    client=letter.client,
                    sqs_message_id=letter.sqs_id_of_foreign,
                )
                body = letter.payload.decode(errors="replace")
                # Byte for byte for a file or a program; a terminal would obey it.
                self.stdout.write("\n" + (printable(body) if self.stdout.isatty() else body))
        if not stop.is_requested():
            _demand_all_found(selection, queue)

    def _redrive(self, stop: Stop, options: dict[str, Any]) -> None:
        queue = DeadLetterQueue(is_stopping=stop.is_requested)
        selection = Selection(
            ids=options["ids"],
            reason=options["reason"],
            limit=options["limit"],
            undecodable=options["undecodable"] or not options["all"],
        )
        redrive = Redrive(queue, selection, person=Person(actor_of_shell()))
        if options["dry_run"]:
            self._rehearse(redrive, queue)
        else:
            self._send_back(redrive, queue)
        if selection.left_undecodable:
            self.stdout.write(
                f"{selection.left_undecodable} of those left cannot be decoded and would fail "
                "again. --undecodable sends them, too; `dlq discard` deletes them."
            )
        if not stop.is_requested():
            _demand_success(redrive.counts)
            _demand_all_found(selection, queue)
            _demand_reasons(selection, queue)

    def _rehearse(self, redrive: Redrive, queue: DeadLetterQueue) -> None:
        found: list[DeadLetter] = []
        with self._reading(queue) as progress:
            for letters in redrive.choose():
                found += letters
                progress()
        self._write_table(found)
        self.stdout.write(
            f"Dry run, nothing was changed: would redrive {len(found)} of {queue.looked_at} "
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

    def _discard(self, stop: Stop, options: dict[str, Any]) -> None:
        """Look, ask, and look again: nothing stays hidden while somebody thinks about it."""
        queue = DeadLetterQueue(is_stopping=stop.is_requested)
        reason = UNDECODABLE if options["undecodable"] else None
        selection = Selection(ids=options["ids"], reason=reason, limit=options["limit"])
        found = self._find(queue, selection)
        self._write_table(found)
        if stop.is_requested():
            return
        if options["dry_run"]:
            self.stdout.write(
                f"Dry run, nothing was changed: would discard {len(found)} of {queue.looked_at} "
                "looked at."
            )
        elif found:
            self._confirm(stop, found, options)
            self._delete(stop, [letter.sqs_message_id for letter in found], options)
        if not stop.is_requested():
            _demand_all_found(selection, queue)

    def _confirm(self, stop: Stop, letters: Sequence[DeadLetter], options: dict[str, Any]) -> None:
        """Ask whether to go on. Raises CommandError if not, and KeyboardInterrupt on a signal."""
        if options["yes"]:
            return
        # First, or a signal that comes with the question would wait for its answer.
        stop.is_asking = True
        if stop.is_requested():
            raise KeyboardInterrupt
        these = "this" if len(letters) == 1 else "these"
        self.stdout.write(
            f"Discard {these} {count(len(letters))} for good, because "
            f"{MEANINGS[Because(options['because'])]}? Type yes: ",
            ending="",
        )
        self.stdout.flush()
        answer = sys.stdin.readline()
        stop.is_asking = False
        if answer.strip().lower() != "yes":
            raise CommandError("Nothing was discarded.")

    def _delete(self, stop: Stop, sqs_message_ids: Sequence[str], options: dict[str, Any]) -> None:
        queue = DeadLetterQueue(is_stopping=stop.is_requested)
        discard = Discard(
            queue,
            sqs_message_ids,
            because=Because(options["because"]),
            person=Person(actor_of_shell()),
        )
        try:
            with self._reading(queue) as progress:
                for _counts in discard.run():
                    progress()
        finally:
            counts = discard.counts
            gone = len(sqs_message_ids) - counts.discarded - counts.failed
            self.stdout.write(
                f"Discarded {counts.discarded}, failed to delete {counts.failed}, "
                f"not found again {gone}."
            )
        if not stop.is_requested():
            _demand_deleted(counts, gone)

    def _find(self, queue: DeadLetterQueue, selection: Selection) -> list[DeadLetter]:
        """Return the selected letters, which are visible again."""
        found: list[DeadLetter] = []
        with self._reading(queue) as progress:
            for letters in queue.read(until=selection.is_complete):
                found += filter(selection.takes, letters)
                progress()
        return found

    @contextmanager
    def _reading(self, queue: DeadLetterQueue) -> Iterator[Callable[[], None]]:
        """Open the queue for a run; yield a function to be called after each receive."""
        try:
            with queue:
                self._depth = depth = queue.depth()
                with progress_shown(queue, total=depth.visible, stderr=self.stderr) as progress:
                    yield progress
        finally:
            if queue.audit_failure is not None:
                self._warn_of_audit(queue.audit_failure)
            if queue.held:
                self.stderr.write(
                    f"{count(queue.held)} could not be made visible again at once; SQS does it "
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

    def _write_table(self, letters: Sequence[DeadLetter]) -> None:
        for line in table_of(letters, now=datetime.now(UTC)) if letters else ():
            self.stdout.write(line)

    def _write_letter(self, letter: DeadLetter, queue: DeadLetterQueue) -> None:
        shown = description(letter, now=datetime.now(UTC), retention=self._depth.retention)
        for name, value in shown.items():
            self.stdout.write(f"{name + ':':<22}{value}")
        if queue.audit_failure is not None:
            return
        try:
            events = events_of(letter)
        except DatabaseFailure as exc:
            self._warn_of_audit(type(exc).__name__)
            return
        self.stdout.write("audit log (UTC):")
        for event in events:
            self.stdout.write(f"  {event_line(event)}")
        if not events:
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
    which.add_argument("--all", action="store_true", help="all that can be decoded")
    which.add_argument("--reason", metavar="R", help="those with this reason, as `list` shows it")
    parser.add_argument(
        "--undecodable", action="store_true", help="with --all: also those that cannot be decoded"
    )
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="redrive N at most (default: no limit)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be sent, send nothing"
    )


def _add_discard(parser: CommandParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--id",
        action="append",
        default=[],
        dest="ids",
        metavar="ID",
        help="the one with this message id, ours or SQS's; can be repeated",
    )
    which.add_argument(
        "--undecodable", action="store_true", help="all that are none of our messages"
    )
    parser.add_argument(
        "--because",
        # Values, not a type: argparse names the choices, but of a type that raises only its name.
        choices=[why.value for why in Because],
        required=True,
        help="for the audit log: " + "; ".join(f"{why}, {text}" for why, text in MEANINGS.items()),
    )
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="discard N at most (default: no limit)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be deleted, delete nothing"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _check(options: dict[str, Any]) -> None:
    """Raise CommandError (exit code 2) for options that cannot be meant."""
    action = options["action"]
    if action == "redrive" and options["undecodable"] and not options["all"]:
        raise CommandError("--undecodable goes with --all.", returncode=2)
    if action == "discard" and not (options["yes"] or options["dry_run"] or sys.stdin.isatty()):
        raise CommandError("There is no terminal to ask: confirm with --yes.", returncode=2)
    if reason := options.get("reason"):
        _demand_known_reason(reason)


def _demand_known_reason(reason: str) -> None:
    try:
        if is_known(reason):
            return
        known = known_reasons()
    except DatabaseFailure:
        return  # reading the letters reports it
    raise CommandError(
        f"No message has failed with the reason {reason}. Known are: {', '.join(known)}.",
        returncode=2,
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
            f"{count(counts.failed)} could not be sent ({errors}) and stay dead letters. "
            "Run again to try again."
        )
    if counts.not_deleted:
        raise CommandError(
            f"{count(counts.not_deleted)} were sent but could not be deleted, and are in both "
            "queues. That is harmless: they will be delivered twice, as any message may be."
        )


def _demand_deleted(counts: Discarded, gone: int) -> None:
    """Raise CommandError (exit code 1) if a letter was not deleted."""
    if counts.failed:
        errors = ", ".join(sorted(counts.errors))
        raise CommandError(f"{count(counts.failed)} could not be deleted ({errors}). Run again.")
    if gone:
        raise CommandError(
            f"{count(gone)} could not be found again: somebody else looks at them, or has sent "
            "them back or deleted them."
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
