"""`manage.py dlq discard`, against a real SQS API."""

import getpass
import io
import os
import pty
import signal
import socket
import subprocess
import sys
import uuid

import pytest
from django.core.management import CommandError, call_command

from cpsite.audit.models import AuditEvent, Kind
from cpsite.dead_letters.discard import Because
from cpsite.dead_letters.queue import DeadLetterQueue
from tests import factories
from tests.end_to_end.conftest import ROOT, database_url, services  # noqa: F401 - fixtures
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db
SHELL = f"shell:{getpass.getuser()}@{socket.gethostname()}"


class Keyboard(io.StringIO):
    """Standard input that is a terminal on which these lines are typed."""

    def isatty(self):
        return True


def bury(queue, body):
    sent = queue.client.send_message(QueueUrl=queue.dlq_url, MessageBody=body)
    return sent["MessageId"]


def bury_ours(queue, **changes):
    message = factories.message(**({"message_id": uuid.uuid4()} | changes))
    sqs_message_id = bury(queue, factories.kombu_envelope(message.encode()))
    return message, sqs_message_id


def left(queue):
    """The ids of SQS's that are still in the dead-letter queue."""
    with DeadLetterQueue() as dead:
        return {letter.sqs_message_id for letters in dead.read() for letter in letters}


@pytest.fixture
def discard(capsys):
    """Return a function that runs the command and returns its standard output."""

    def run(*arguments):
        capsys.readouterr()
        call_command("dlq", "discard", *map(str, arguments))
        return capsys.readouterr().out

    return run


def test_a_letter_is_deleted_and_audited(queue, discard, audit, caplog):
    caplog.set_level("INFO")
    message, _ = bury_ours(queue, data=factories.fields(field1="private"))
    other = bury(queue, "private words")
    AuditEvent.objects.create(
        kind=Kind.FAILED, message_id=message.message_id, reason="aws_X", attempts=5
    )
    out = discard("--id", message.message_id, "--because", "sent_again", "--yes")
    assert str(message.message_id) in out
    assert out.endswith("Discarded 1, failed to delete 0, not found again 0.\n")
    assert left(queue) == {other}
    event = audit()[-1]
    assert (event.kind, event.reason, event.actor) == (Kind.DISCARDED, "sent_again", SHELL)
    assert (event.message_id, event.client, event.attempts) == (message.message_id, "alice", 5)
    (line,) = [each for each in caplog.records if each.getMessage() == "message_discarded"]
    assert (line.because, line.reason, line.user) == ("sent_again", "aws_X", SHELL)
    assert "private" not in out
    assert not any("private" in str(vars(record)) for record in caplog.records)


def test_all_that_cannot_be_decoded(queue, discard, audit):
    _, ours = bury_ours(queue)
    for number in range(12):
        bury(queue, f"poison {number}")
    out = discard("--undecodable", "--because", "foreign", "--yes", "--limit", "11")
    assert "Discarded 11," in out
    assert "Discarded 1," in discard("--undecodable", "--because", "foreign", "--yes")
    assert left(queue) == {ours}
    assert [event.message_id for event in audit()] == [None] * 12


def test_a_dry_run_deletes_nothing(queue, discard, audit):
    _, ours = bury_ours(queue)
    foreign = bury(queue, "hello")
    out = discard("--undecodable", "--because", "foreign", "--dry-run")
    assert foreign in out
    assert ours not in out
    assert out.endswith("Dry run, nothing was changed: would discard 1 of 2 looked at.\n")
    assert left(queue) == {ours, foreign}
    assert audit() == []


def test_it_asks_and_names_the_letters(queue, discard, monkeypatch):
    foreign = bury(queue, "hello")
    monkeypatch.setattr(sys, "stdin", Keyboard("yes\n"))
    out = discard("--undecodable", "--because", "foreign")
    assert out.index(foreign) < out.index("Discard this 1 dead letter for good")
    assert "something else has sent it to the queue? Type yes: " in out
    assert left(queue) == set()


@pytest.mark.parametrize("typed", ["no\n", "\n", "", "y\n"])
def test_anything_but_yes_deletes_nothing(queue, discard, monkeypatch, typed):
    foreign = bury(queue, "hello")
    monkeypatch.setattr(sys, "stdin", Keyboard(typed))
    with pytest.raises(CommandError, match=r"Nothing was discarded\.") as caught:
        discard("--undecodable", "--because", "foreign")
    assert caught.value.returncode == 1
    assert left(queue) == {foreign}


def test_while_it_asks_the_letters_are_visible_to_others(queue, discard, monkeypatch):
    bury(queue, "hello")
    seen = []

    class Looks(Keyboard):
        def readline(self):
            seen.append(queue.count(dead=True))
            return "yes\n"

    monkeypatch.setattr(sys, "stdin", Looks())
    discard("--undecodable", "--because", "foreign")
    assert seen == [{"visible": 1, "in_flight": 0}]


def test_a_signal_at_the_question_ends_it_at_once(services):  # noqa: F811
    """On a real terminal, in a real process: a handler that only notes it would wait for Enter."""
    services.queue.client.send_message(QueueUrl=services.queue.dlq_url, MessageBody="hello")
    ours, theirs = pty.openpty()
    command = [sys.executable, "manage.py", "dlq", "discard", "--undecodable", "--because", "test"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=services.environment,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        read = b""
        while b"Type yes: " not in read:
            some = process.stdout.read1()
            assert some, process.stderr.read()
            read += some
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(60) == 130
        finally:
            process.kill()
        assert b"Interrupted" in process.stderr.read()
    os.close(ours)
    os.close(theirs)
    assert services.queue.count(dead=True) == {"visible": 1, "in_flight": 0}


def test_it_is_this_letter_and_no_other(queue, discard, monkeypatch):
    """A forged message may carry SQS's id of another one as its own, and come first."""
    target = bury(queue, "hello")
    _, forged = bury_ours(queue, message_id=uuid.UUID(target))
    monkeypatch.setattr(sys, "stdin", Keyboard("yes\n"))
    out = discard("--undecodable", "--because", "foreign")
    assert "Discarded 1," in out
    assert left(queue) == {forged}


def test_a_copy_that_comes_after_the_question_stays(queue, discard, monkeypatch):
    message, _ = bury_ours(queue)
    later = []

    class Sends(Keyboard):
        def readline(self):
            later.append(bury(queue, factories.kombu_envelope(message.encode())))
            return "yes\n"

    monkeypatch.setattr(sys, "stdin", Sends())
    assert "Discarded 1," in discard("--id", message.message_id, "--because", "test")
    assert left(queue) == set(later)


def test_what_is_gone_meanwhile_is_reported(queue, discard, monkeypatch, capsys):
    bury(queue, "hello")

    class Purges(Keyboard):
        def readline(self):
            queue.client.purge_queue(QueueUrl=queue.dlq_url)
            return "yes\n"

    monkeypatch.setattr(sys, "stdin", Purges())
    with pytest.raises(CommandError, match="1 dead letter could not be found again") as caught:
        discard("--undecodable", "--because", "foreign")
    assert caught.value.returncode == 1
    assert "Discarded 0, failed to delete 0, not found again 1." in capsys.readouterr().out


def test_what_cannot_be_deleted_is_reported_and_not_audited(queue, discard, meddle, audit):
    foreign = bury(queue, "hello")
    meddle("delete_message_batch", lambda call, **arguments: {"Successful": [], "Failed": []})
    with pytest.raises(CommandError, match="1 dead letter could not be deleted"):
        discard("--undecodable", "--because", "foreign", "--yes")
    assert left(queue) == {foreign}
    assert audit() == []


def test_a_wrong_reason_is_answered_with_the_right_ones():
    command = [sys.executable, "manage.py", "dlq", "discard", "--undecodable"]
    done = subprocess.run(
        [*command, "--because", "nonsense"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    usage, _, error = done.stderr.partition("error: ")
    assert "{foreign,test,sent_again,unstorable,unwanted}" in usage
    for why in Because:
        assert f"'{why}'" in error


def test_an_id_that_is_not_there_fails_after_the_others_are_done(queue, discard):
    foreign = bury(queue, "hello")
    with pytest.raises(CommandError, match="No dead letter has the id no-such-id"):
        discard("--id", foreign, "--id", "no-such-id", "--because", "test", "--yes")
    assert left(queue) == set()


def test_a_signal_finishes_the_current_batch(queue, discard, meddle, audit):
    for number in range(25):
        bury(queue, f"letter {number}")

    def interrupt(call, **arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return call(**arguments)

    meddle("delete_message_batch", interrupt)
    with pytest.raises(SystemExit) as caught:
        discard("--undecodable", "--because", "foreign", "--yes")
    assert caught.value.code == 130
    wait_for(lambda: queue.count(dead=True) == {"visible": 15, "in_flight": 0}, "the rest")
    assert len(audit()) == 10


def test_nothing_to_discard_is_no_failure(queue, discard):
    _, ours = bury_ours(queue)
    assert discard("--undecodable", "--because", "foreign", "--yes") == ""
    assert left(queue) == {ours}
