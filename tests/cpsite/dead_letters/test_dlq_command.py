"""The command in this process, against a real SQS API."""

import io
import json
import logging
import os
import re
import signal
import sys
import uuid
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from cpsite.audit.models import AuditEvent, Kind
from cpsite.dead_letters import queue as dead_letter_queue
from cpsite.dead_letters.management.commands import dlq
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def _no_audit_log(monkeypatch):
    def fail(*_args):
        raise OperationalError("at 10.0.0.1 with password private")

    monkeypatch.setattr(dead_letter_queue, "last_failures", fail)
    monkeypatch.setattr(dead_letter_queue, "last_failures_of_foreign", fail)
    monkeypatch.setattr(dlq, "events_of", fail)
    monkeypatch.setattr(dlq, "is_known", fail)


@pytest.fixture
def dlq_run(capsys):
    """Return a function that runs the command and returns its standard output."""

    def run(*arguments):
        capsys.readouterr()
        call_command("dlq", *map(str, arguments))
        return capsys.readouterr().out

    return run


def bury(queue, body):
    sent = queue.client.send_message(QueueUrl=queue.dlq_url, MessageBody=body)
    return sent["MessageId"]


def bury_ours(queue, **changes):
    message = factories.message(**({"message_id": uuid.uuid4()} | changes))
    bury(queue, factories.kombu_envelope(message.encode()))
    return message


def failed(message, reason, **changes):
    AuditEvent.objects.create(
        kind=Kind.FAILED, message_id=message.message_id, reason=reason, **changes
    )


def exit_code(*arguments):
    with pytest.raises(SystemExit) as caught:
        call_command("dlq", *arguments)
    return caught.value.code


# --- list ------------------------------------------------------------------------------------


def test_list_is_a_table_with_a_count(queue, dlq_run):
    message = bury_ours(queue)
    failed(message, "aws_SlowDown", attempts=5)
    sqs_message_id = bury(queue, "private words")
    dlq_run("list")  # a look that is no attempt
    header, *rows, count = dlq_run("list").splitlines()
    rows.sort(key=lambda row: "undecodable" in row)
    # The age is a number and a unit.
    cells = sorted(re.sub(r" [0-9.]+ (s|min|h) ", " AGE ", row).split() for row in rows)
    size = len(factories.kombu_envelope(message.encode()))
    assert re.fullmatch(r"ID +CLIENT +ACCEPTED \(UTC\) +AGE +ATTEMPTS +REASON +BYTES", header)
    assert cells == sorted(
        [
            f"{message.message_id} alice 2026-11-23 23:59:59.123 AGE 5 aws_SlowDown {size}".split(),
            f"{sqs_message_id} - - AGE - undecodable 13".split(),
        ]
    )
    assert {row.index(cell) for row, cell in zip(rows, ["aws_S", "undec"], strict=True)} == {
        header.index("REASON")
    }
    assert count == "2 dead letters."
    assert queue.count(dead=True) == {"visible": 2, "in_flight": 0}


def test_list_never_shows_content(queue, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    bury_ours(queue, data=factories.fields(field1="private"))
    bury(queue, "private words")
    call_command("dlq", "list")
    assert "private" not in "".join(capsys.readouterr())
    assert not any("private" in str(vars(record)) for record in caplog.records)


def test_an_empty_queue_is_said_to_be_empty(queue, dlq_run):
    assert dlq_run("list") == "The dead-letter queue is empty.\n"


def test_hidden_letters_are_not_passed_over_in_silence(queue, dlq_run):
    bury(queue, "hello")
    queue.client.receive_message(QueueUrl=queue.dlq_url)
    assert "about 1 are hidden" in dlq_run("list")


def test_list_by_reason(queue, dlq_run):
    message, other = bury_ours(queue), bury_ours(queue)
    failed(message, "aws_SlowDown")
    out = dlq_run("list", "--reason", "aws_SlowDown")
    assert str(message.message_id) in out
    assert str(other.message_id) not in out
    assert "1 dead letter with the reason aws_SlowDown." in out
    failed(factories.message(), "OSError")
    assert dlq_run("list", "--reason", "OSError") == "0 dead letters with the reason OSError.\n"
    assert str(other.message_id) in dlq_run("list", "--reason", "unknown")


def test_list_up_to_a_limit(queue, dlq_run):
    for number in range(15):
        bury(queue, f"letter {number}")
    out = dlq_run("list", "--limit", "12")
    assert out.count("undecodable") == 12
    assert "12 dead letters; stopped at --limit." in out
    assert queue.count(dead=True) == {"visible": 15, "in_flight": 0}


def test_a_forged_client_cannot_write_to_the_terminal(queue, dlq_run):
    forged = factories.message(client="\x1b[2J\n\ud800" + "x" * 1_000).encode()
    bury(queue, factories.kombu_envelope(json.dumps(json.loads(forged))))
    _header, row, _count = dlq_run("list").splitlines()
    assert "undecodable" in row
    assert row.isprintable()
    assert len(row) < 250


@pytest.mark.parametrize("action", [["list"], ["redrive"]])
def test_a_reason_that_no_message_has_failed_with_is_a_usage_error(queue, action):
    """It was mistyped: to find nothing would look like success."""
    failed(bury_ours(queue), "aws_SlowDown")
    AuditEvent.objects.create(kind=Kind.REFUSED, reason="token_unknown")
    for reason in ("nonsense", "token_unknown"):
        with pytest.raises(CommandError) as caught:
            call_command("dlq", *action, "--reason", reason)
        assert caught.value.returncode == 2
        assert str(caught.value) == (
            f"No message has failed with the reason {reason}. Known are: aws_SlowDown, "
            "undecodable, unknown."
        )
    assert queue.count(dead=True) == {"visible": 1, "in_flight": 0}


def test_a_known_reason_without_letters_is_none(queue, dlq_run):
    failed(factories.message(), "aws_SlowDown")
    assert "Redriven 0," in dlq_run("redrive", "--reason", "aws_SlowDown")


# --- show ------------------------------------------------------------------------------------


def test_show_tells_all_but_the_content(queue, dlq_run):
    message = bury_ours(queue, data=factories.fields(field1="private"))
    failed(message, "aws_SlowDown")
    for _ in range(12):
        bury(queue, "private words")
    out = dlq_run("show", str(message.message_id).upper())
    for shown in (message.message_id, "alice", "2026-11-23 23:59:59", "aws_SlowDown"):
        assert str(shown) in out
    assert "private" not in out
    assert queue.count(dead=True) == {"visible": 13, "in_flight": 0}


def test_show_tells_the_age_and_the_end(queue, dlq_run):
    message = bury_ours(queue)
    failed(message, "aws_SlowDown", attempts=5, occurred_at=datetime(2026, 11, 25, 1, tzinfo=UTC))
    dlq_run("show", message.message_id)  # a look that is no attempt
    out = dlq_run("show", message.message_id)
    assert re.search(
        r"^sent to queue \(UTC\): +[0-9: .-]+, [0-9.]+ (s|min) ago$", out, re.MULTILINE
    )
    assert re.search(r"^SQS deletes it \(UTC\): [0-9: .-]+, in 4\.0 days$", out, re.MULTILINE)
    assert re.search(r"^last failed \(UTC\): +2026-11-25 01:00:00\.000$", out, re.MULTILINE)
    assert re.search(r"^attempts: +5$", out, re.MULTILINE)


def test_a_letter_is_never_said_to_be_queued(queue, dlq_run):
    message = bury_ours(queue)
    AuditEvent.objects.create(kind=Kind.ACCEPTED, message_id=message.message_id, client="alice")
    assert "queued" not in dlq_run("list") + dlq_run("show", message.message_id)


def test_show_has_the_timeline_of_the_audit_log(queue, dlq_run):
    message = bury_ours(queue)
    for kind in (Kind.ACCEPTED, Kind.STORED):
        AuditEvent.objects.create(
            kind=kind, message_id=message.message_id, object_key="key", attempts=3
        )
    lines = dlq_run("show", message.message_id).partition("audit log (UTC):\n")[2].splitlines()
    assert [line.split()[2:] for line in lines] == [
        ["accepted", "key", "attempt", "3"],
        ["stored", "key", "attempt", "3"],
    ]


def test_show_says_that_the_audit_log_has_nothing(queue, dlq_run):
    assert "audit log (UTC):\n  nothing\n" in dlq_run("show", bury_ours(queue).message_id)


def test_a_foreign_letter_has_its_attempts_and_its_timeline(queue, dlq_run):
    foreign, other = bury(queue, "private words"), bury(queue, "other words")
    for attempt in (1, 2):
        AuditEvent.objects.create(
            kind=Kind.FAILED,
            reason="undecodable",
            attempts=attempt,
            sqs_message_id=foreign,
            occurred_at=datetime(2026, 11, 25, attempt, tzinfo=UTC),
        )
    out = dlq_run("show", foreign)
    assert re.search(r"^attempts: +2$", out, re.MULTILINE)
    assert re.search(r"^last failed \(UTC\): +2026-11-25 02:00:00\.000$", out, re.MULTILINE)
    assert out.partition("audit log (UTC):\n")[2].splitlines() == [
        f"  2026-11-25 0{attempt}:00:00.000  failed  undecodable  attempt {attempt}"
        for attempt in (1, 2)
    ]
    assert "audit log (UTC):\n  nothing\n" in dlq_run("show", other)
    (row,) = [line for line in dlq_run("list").splitlines() if line.startswith(foreign)]
    assert row.split()[-3:] == ["2", "undecodable", "13"]


def test_show_with_body_has_the_content(queue, dlq_run, caplog):
    caplog.set_level(logging.DEBUG)
    message = bury_ours(queue, data=factories.fields(field1="private"))
    out = dlq_run("show", message.message_id, "--body")
    assert out.endswith(f"\n\n{message.encode()}\n")
    assert not any("private" in str(vars(record)) for record in caplog.records)


def test_show_of_a_foreign_letter(queue, dlq_run):
    body = factories.kombu_envelope("private words")
    sqs_message_id = bury(queue, body)
    out = dlq_run("show", sqs_message_id)
    assert "undecodable JSONDecodeError" in out
    assert "private" not in out
    assert dlq_run("show", sqs_message_id, "--body").endswith(f"\n\n{body}\n")


def test_a_terminal_does_not_obey_a_foreign_body(queue, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    sqs_message_id = bury(queue, "\u202eabc\tdef\n\u0085\u2028")
    shown = Terminal()
    call_command("dlq", "show", sqs_message_id, "--body", stdout=shown)
    assert shown.getvalue().endswith("\n\n\\u202eabc\tdef\n\\x85\\u2028\n")


def test_show_of_an_unknown_id_fails(queue):
    bury(queue, "hello")
    with pytest.raises(CommandError, match=r"no-such-id \(1 looked at\)") as caught:
        call_command("dlq", "show", "no-such-id")
    assert caught.value.returncode == 1
    assert queue.count(dead=True) == {"visible": 1, "in_flight": 0}


# --- redrive ---------------------------------------------------------------------------------


def test_redrive_all(queue, dlq_run, audit):
    message = bury_ours(queue)
    bury(queue, "hello")
    assert (
        dlq_run("redrive", "--all", "--undecodable")
        == "Redriven 2, failed to send 0, left 0 of 2 looked at.\n"
    )
    assert sorted(queue.bodies()) == sorted(["hello", factories.kombu_envelope(message.encode())])
    assert [event.kind for event in audit()] == ["redriven", "redriven"]
    assert queue.count(dead=True) == {"visible": 0, "in_flight": 0}


def test_redrive_all_leaves_what_cannot_be_decoded(queue, dlq_run):
    message = bury_ours(queue)
    bury(queue, "hello")
    bury(queue, "world")
    told = "2 of those left cannot be decoded"
    out = dlq_run("redrive", "--all", "--dry-run")
    assert "would redrive 1 of 3" in out
    assert told in out
    out = dlq_run("redrive", "--all")
    assert out.startswith("Redriven 1, failed to send 0, left 2 of 3 looked at.\n")
    assert told in out
    assert queue.bodies() == [factories.kombu_envelope(message.encode())]
    assert queue.count(dead=True) == {"visible": 2, "in_flight": 0}
    assert dlq_run("redrive", "--reason", "undecodable", "--limit", "1").startswith("Redriven 1,")
    assert dlq_run("redrive", "--all", "--undecodable").startswith("Redriven 1,")


def test_redrive_by_ids(queue, dlq_run):
    message, _other = bury_ours(queue), bury_ours(queue)
    sqs_message_id = bury(queue, "hello")
    out = dlq_run("redrive", "--id", message.message_id, "--id", sqs_message_id)
    assert out == "Redriven 2, failed to send 0, left 1 of 3 looked at.\n"
    assert sorted(queue.bodies()) == sorted(["hello", factories.kombu_envelope(message.encode())])


def test_redrive_by_reason_up_to_a_limit(queue, dlq_run):
    messages = [bury_ours(queue) for _ in range(3)]
    for message in messages[:2]:
        failed(message, "aws_SlowDown")
    assert dlq_run("redrive", "--reason", "aws_SlowDown", "--limit", "1").startswith("Redriven 1,")
    assert dlq_run("redrive", "--reason", "aws_SlowDown").startswith("Redriven 1,")
    assert queue.count(dead=True) == {"visible": 1, "in_flight": 0}


def test_redrive_twice(queue, dlq_run):
    bury(queue, "hello")
    assert dlq_run("redrive", "--all", "--undecodable").startswith("Redriven 1,")
    out = dlq_run("redrive", "--all", "--undecodable")
    assert (
        out
        == "The dead-letter queue is empty.\nRedriven 0, failed to send 0, left 0 of 0 looked at.\n"
    )
    assert queue.bodies() == ["hello"]


def test_an_id_that_is_not_there_fails_after_the_others_are_done(queue, capsys):
    sqs_message_id = bury(queue, "hello")
    with pytest.raises(CommandError, match="no-such-id"):
        call_command("dlq", "redrive", "--id", "no-such-id", "--id", sqs_message_id)
    assert capsys.readouterr().out.startswith("Redriven 1,")
    assert queue.bodies() == ["hello"]


def test_a_dry_run_shows_what_would_go_and_changes_nothing(queue, dlq_run, audit):
    message, other = bury_ours(queue), bury_ours(queue)
    failed(message, "aws_SlowDown")
    before = audit()
    out = dlq_run("redrive", "--reason", "aws_SlowDown", "--dry-run")
    assert str(message.message_id) in out
    assert str(other.message_id) not in out
    assert out.endswith("Dry run, nothing was changed: would redrive 1 of 2 looked at.\n")
    assert queue.count() == {"visible": 0, "in_flight": 0}
    assert queue.count(dead=True) == {"visible": 2, "in_flight": 0}
    assert audit() == before


def _drop_one(call, Entries, **arguments):  # noqa: N803 - boto3's name
    """Send all but the first, which the answer does not mention."""
    return call(Entries=Entries[1:], **arguments)


def test_what_could_not_be_sent_is_reported_with_exit_code_1(queue, meddle, capsys):
    for number in range(3):
        bury(queue, f"letter {number}")
    meddle("send_message_batch", _drop_one)
    with pytest.raises(CommandError, match="1 dead letter could not be sent") as caught:
        call_command("dlq", "redrive", "--all", "--undecodable")
    assert caught.value.returncode == 1
    assert capsys.readouterr().out == "Redriven 2, failed to send 1, left 0 of 3 looked at.\n"
    assert queue.count(dead=True) == {"visible": 1, "in_flight": 0}


def test_what_could_not_be_deleted_is_reported_with_exit_code_1(queue, meddle):
    bury(queue, "hello")
    meddle("delete_message_batch", lambda call, **arguments: {"Successful": [], "Failed": []})
    with pytest.raises(CommandError, match="in both queues"):
        call_command("dlq", "redrive", "--all", "--undecodable")
    assert queue.count(dead=True) == {"visible": 1, "in_flight": 0}


def test_redriving_shows_no_content(queue, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    bury_ours(queue, data=factories.fields(field1="private"))
    bury(queue, "private words")
    call_command("dlq", "redrive", "--all", "--undecodable", "--dry-run")
    call_command("dlq", "redrive", "--all", "--undecodable")
    assert "private" not in "".join(capsys.readouterr())
    assert not any("private" in str(vars(record)) for record in caplog.records)


# --- Interrupts ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_the_current_batch(queue, meddle, capsys, audit, number):
    for letter in range(25):
        bury(queue, f"letter {letter}")

    def interrupt(call, **arguments):
        os.kill(os.getpid(), number)
        return call(**arguments)

    meddle("send_message_batch", interrupt)
    assert exit_code("redrive", "--all", "--undecodable") == 128 + number
    output = capsys.readouterr()
    assert output.out == "Redriven 10, failed to send 0, left 0 of 10 looked at.\n"
    assert "run again" in output.err
    assert queue.count()["visible"] == 10
    assert queue.count(dead=True) == {"visible": 15, "in_flight": 0}
    assert len(audit()) == 10


def test_the_second_signal_breaks_it_off_and_loses_nothing(queue, meddle, capsys):
    for letter in range(25):
        bury(queue, f"letter {letter}")

    def interrupt(call, **arguments):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return call(**arguments)

    meddle("send_message_batch", interrupt)
    assert exit_code("redrive", "--all", "--undecodable") == 130
    assert "Redriven 0" in capsys.readouterr().out
    assert queue.count(dead=True) == {"visible": 25, "in_flight": 0}


@pytest.mark.parametrize(
    "call",
    [
        "get_queue_attributes",
        "receive_message",
        "send_message_batch",
        "delete_message_batch",
        "change_message_visibility_batch",
    ],
)
def test_an_interrupt_anywhere_loses_nothing(queue, meddle, capsys, call):
    for number in range(3):
        bury(queue, f"letter {number}")

    def interrupt(real, **arguments):
        raise KeyboardInterrupt

    meddle(call, interrupt)
    meddle("send_message_batch", _drop_one)
    assert exit_code("redrive", "--all", "--undecodable") == 130
    assert "run again" in capsys.readouterr().err
    if call == "change_message_visibility_batch":  # two are gone, and one is to be put back
        assert queue.count()["visible"] == 2
        assert queue.count(dead=True) == {"visible": 0, "in_flight": 1}
    else:
        assert queue.count(dead=True) == {"visible": 3, "in_flight": 0}


@pytest.mark.parametrize("arguments", [["list"], ["show", "no-such-id"]])
def test_an_interrupted_look_puts_the_letters_back(queue, meddle, arguments):
    for number in range(25):
        bury(queue, f"letter {number}")

    def interrupt(call, **more):
        os.kill(os.getpid(), signal.SIGINT)
        return call(**more)

    meddle("receive_message", interrupt)
    assert exit_code(*arguments) == 130
    assert queue.count(dead=True) == {"visible": 25, "in_flight": 0}


def test_signal_handlers_are_restored(queue, dlq_run):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    dlq_run("list")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


# --- Trouble ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("_no_audit_log")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["list"], "2 dead letters."),
        (["show", str(factories.message().message_id)], "reason:               unknown"),
        (["redrive", "--all", "--undecodable"], "Redriven 2,"),
        (["redrive", "--all", "--undecodable", "--dry-run"], "would redrive 2"),
        (["redrive", "--reason", "undecodable", "--dry-run"], "would redrive 1"),
    ],
)
def test_without_the_database_reasons_are_unknown_and_all_else_works(
    queue, capsys, arguments, expected
):
    bury(queue, factories.kombu_envelope(factories.message().encode()))
    bury(queue, "hello")
    call_command("dlq", *arguments)
    out, err = capsys.readouterr()
    assert expected in out
    assert err.count("The audit log cannot be read (OperationalError)") == 1
    assert "private" not in out + err


def test_show_without_a_timeline_says_so(queue, capsys, monkeypatch):
    def fail(message_id):
        raise OperationalError

    monkeypatch.setattr(dlq, "events_of", fail)
    call_command("dlq", "show", str(bury_ours(queue).message_id))
    out, err = capsys.readouterr()
    assert "alice" in out
    assert "The audit log cannot be read (OperationalError)" in err


@pytest.mark.usefixtures("_no_audit_log")
def test_a_reason_that_cannot_be_looked_up_redrives_nothing_and_fails(queue):
    bury_ours(queue)
    with pytest.raises(CommandError, match="not known which letters have the reason aws_SlowDown"):
        call_command("dlq", "redrive", "--reason", "aws_SlowDown")
    assert queue.count(dead=True) == {"visible": 1, "in_flight": 0}


@pytest.mark.parametrize("action", [["list"], ["show", "x"], ["redrive", "--all"]])
def test_a_missing_dead_letter_queue_is_one_clear_line(queue, settings, action):
    settings.SQS_DLQ_URL = ""
    with pytest.raises(CommandError, match="SQS_DLQ_URL is not set"):
        call_command("dlq", *action)


def test_only_a_redrive_needs_the_queue(queue, settings, dlq_run):
    settings.SQS_QUEUE_URL = ""
    assert "empty" in dlq_run("list")
    with pytest.raises(CommandError, match="SQS_QUEUE_URL is not set"):
        call_command("dlq", "redrive", "--all", "--undecodable")


def test_a_queue_is_not_redriven_to_itself(queue, settings):
    settings.SQS_DLQ_URL = queue.url
    with pytest.raises(CommandError, match="are the same"):
        call_command("dlq", "redrive", "--all", "--undecodable")


def test_awss_refusal_is_named_with_the_operation(queue, settings):
    settings.SQS_DLQ_URL += "-gone"
    with pytest.raises(CommandError, match=r"GetQueueAttributes: aws_.*NonExistentQueue") as caught:
        call_command("dlq", "list")
    assert caught.value.returncode == 1


def test_a_queue_that_is_gone_keeps_the_letters_where_they_are(queue, settings, capsys):
    bury(queue, "hello")
    settings.SQS_QUEUE_URL += "-gone"
    with pytest.raises(CommandError, match=r"SendMessageBatch: aws_.*NonExistentQueue"):
        call_command("dlq", "redrive", "--all", "--undecodable")
    assert capsys.readouterr().out == "Redriven 0, failed to send 1, left 0 of 1 looked at.\n"
    assert queue.count(dead=True) == {"visible": 1, "in_flight": 0}


def test_aws_out_of_reach_is_one_clear_line(queue, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(CommandError, match="SQS failed: EndpointConnectionError"):
        call_command("dlq", "list")


def test_letters_that_stay_hidden_are_reported(queue, meddle, capsys):
    bury(queue, "hello")
    meddle(
        "change_message_visibility_batch",
        lambda call, **arguments: {
            "Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": True}]
        },
    )
    call_command("dlq", "list")
    assert "1 dead letter could not be made visible again" in capsys.readouterr().err


# --- Usage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["purge"],
        ["show"],
        ["redrive"],
        ["redrive", "--all", "--reason", "x"],
        ["redrive", "--all", "--id", "x"],
        ["redrive", "--id", "x", "--reason", "x"],
        ["redrive", "--all", "--limit", "0"],
        ["redrive", "--id", "x", "--undecodable"],
        ["redrive", "--reason", "unknown", "--undecodable"],
        ["redrive", "--reason", "nonsense"],
        ["list", "--reason", "nonsense"],
        ["discard"],
        ["discard", "--undecodable", "--yes"],
        ["discard", "--because", "test", "--yes"],
        ["discard", "--id", "x", "--undecodable", "--because", "test", "--yes"],
        ["discard", "--undecodable", "--because", "nonsense", "--yes"],
        ["discard", "--undecodable", "--because", "test"],
        ["list", "--limit", "-1"],
        ["list", "--all"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2_and_changes_nothing(queue, arguments):
    bury(queue, "hello")
    with pytest.raises(SystemExit) as caught:
        dlq.Command().run_from_argv(["manage.py", "dlq", *arguments])
    assert caught.value.code == 2
    assert queue.count(dead=True) == {"visible": 1, "in_flight": 0}


# --- Progress --------------------------------------------------------------------------------


def test_progress_is_a_line_now_and_then(queue, capsys, monkeypatch):
    monkeypatch.setattr(dlq, "PROGRESS_EVERY", 20)
    for number in range(45):
        bury(queue, f"letter {number}")
    call_command("dlq", "redrive", "--all", "--undecodable")
    output = [line for line in capsys.readouterr().err.splitlines() if "looked at" in line]
    assert output == ["20 of about 45 looked at", "40 of about 45 looked at"]


def test_progress_is_a_bar_on_a_terminal(queue, monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for number in range(12):
        bury(queue, f"letter {number}")
    monkeypatch.setattr(sys, "stderr", Terminal())
    call_command("dlq", "list")
    assert "| 0/12 [" in sys.stderr.getvalue()
    assert "12 dead letters." in capsys.readouterr().out


def test_audit_events_are_written_before_the_end(queue, dlq_run, monkeypatch):
    closed = []
    monkeypatch.setattr(dlq.recorder, "close", lambda: closed.append(queue.count()["visible"]))
    bury(queue, "hello")
    dlq_run("redrive", "--all", "--undecodable")
    assert closed == [1]
