"""Each offence is found, in records that are made up."""

import json
import uuid
from dataclasses import replace

import pytest

from tests.chaos.evidence import AuditRow, Evidence, ProcessLog, read_log, read_object
from tests.chaos.records import WORD, Journal, Sent, WrongAnswer
from tests.chaos.sabotage import SABOTAGES, is_caught
from tests.chaos.verdict import Kind, Offence, judge

ONE, TWO, OTHER = (str(uuid.UUID(int=number)) for number in (1, 2, 3))


def sent(marker="c00-000001", **changes):
    data = {"field1": f"{marker} {WORD}", "field2": "two"}
    values = {"client": "alice", "data": data, "attempts": 1, "accepted": [ONE]}
    return Sent(marker, **(values | changes))


def stored(of, message_id=ONE, *, day="2026-11-24", key=None, **changes):
    document = {
        "message_id": message_id,
        "accepted_at": f"{day}T23:59:59.000000+00:00",
        "client": of.client,
        "data": of.data,
    }
    name = key or f"messages/{day.replace('-', '/')}/{message_id}.json"
    return read_object(name, json.dumps(document | changes).encode())


def audited(*ids):
    return [AuditRow(kind, each) for each in ids for kind in ("accepted", "stored")]


def evidence(*messages, **changes):
    values = {
        "journal": Journal(sent=list(messages)),
        "objects": [stored(each, each.accepted[0]) for each in messages if each.accepted],
        "audit": audited(ONE, TWO, OTHER),
    }
    return Evidence(**(values | changes))


def kinds(found):
    return [offence.kind for offence in judge(found).offences]


def test_what_is_stored_once_and_unchanged_is_right():
    verdict = judge(
        evidence(
            sent(),
            sent("c00-000002", accepted=[TWO, TWO], key="k", attempts=3),
            poison=["p", "p2"],
            dead_letters=["p2", "p"],
        )
    )
    assert verdict.offences == []
    assert verdict.audit.accounted == 2


def test_an_accepted_message_without_an_object_is_lost():
    verdict = judge(evidence(sent(), objects=[]))
    assert verdict.offences == [Offence(Kind.LOST, f"c00-000001: {ONE}")]


def test_an_object_under_another_id_does_not_count_for_it():
    message = sent()
    assert kinds(evidence(message, objects=[stored(message, TWO)])) == [Kind.LOST]


def test_two_objects_of_one_try_are_a_double():
    message = sent()
    found = evidence(message, objects=[stored(message), stored(message, TWO)])
    assert kinds(found) == [Kind.DUPLICATED]


def test_one_message_under_two_dates_is_a_double():
    message = sent()
    both = [stored(message), stored(message, day="2026-11-25")]
    assert kinds(evidence(message, objects=both)) == [Kind.DUPLICATED]


def test_two_tries_without_a_key_may_both_be_stored():
    first, second = sent(accepted=[]), sent("c00-000002", accepted=[TWO])
    verdict = judge(evidence(first, second, objects=[stored(first, OTHER), stored(second, TWO)]))
    assert verdict.offences == []
    assert verdict.unanswered_but_stored == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"field1": f"c00-000001 {WORD}", "field2": "other"}},
        {"data": {"field1": f"c00-000001 {WORD}"}},
        {"client": "bob"},
        {"key": f"messages/2026/11/23/{ONE}.json"},
        {"key": f"messages/2026/11/24/{TWO}.json"},
    ],
)
def test_other_content_or_another_key_is_a_change(changes):
    message = sent()
    assert kinds(evidence(message, objects=[stored(message, **changes)])) == [Kind.ALTERED]


def test_bytes_that_are_not_those_of_the_audit_log_are_a_change():
    found = evidence(sent())
    rows = [replace(row, digest="0" * 64) for row in audited(ONE)]
    assert kinds(replace(found, audit=rows)) == [Kind.ALTERED]


@pytest.mark.parametrize("body", [b"no json", b"{}", b"[]", b'{"data": {}}', b"\xff"])
def test_an_object_that_is_no_message_is_a_change(body):
    found = evidence(sent())
    objects = [*found.objects, read_object("messages/x.json", body)]
    assert kinds(replace(found, objects=objects)) == [Kind.ALTERED]


def test_what_nobody_sent_is_foreign():
    stranger = stored(sent("c99-000009"), TWO)
    found = evidence(sent())
    assert kinds(replace(found, objects=[*found.objects, stranger])) == [Kind.FOREIGN]


def test_what_was_refused_must_not_be_stored_or_accepted():
    refused = sent("c00-000002", refused=True, accepted=[])
    found = evidence(sent(), refused, objects=[stored(sent()), stored(refused, TWO)])
    assert kinds(found) == [Kind.REFUSED]
    accepted = sent("c00-000002", refused=True, accepted=[TWO])
    assert kinds(evidence(accepted, objects=[])) == [Kind.REFUSED]


def test_one_key_must_name_one_message():
    keyed = sent(key="k", accepted=[ONE, TWO])
    assert Kind.IDS_DIFFER in kinds(evidence(keyed))
    both = evidence(keyed, objects=[stored(keyed), stored(keyed, TWO)])
    assert set(kinds(both)) == {Kind.IDS_DIFFER, Kind.DUPLICATED}


def test_a_wrong_answer_is_an_offence():
    journal = Journal(wrong=[WrongAnswer("c00-000001", 500, "internal_error", 202)])
    assert kinds(Evidence(journal)) == [Kind.WRONG_ANSWER]


def test_a_repeat_must_say_so_unless_its_note_failed():
    journal = Journal(unmarked=[ONE])
    assert kinds(Evidence(journal)) == [Kind.UNMARKED]
    noted = Evidence(journal, logs=[ProcessLog("master", not_noted={ONE})])
    assert kinds(noted) == []


@pytest.mark.parametrize("dead", [[], ["p", "p"], ["p", "good"], ["P"]])
def test_dead_letters_must_be_the_poison_and_nothing_else(dead):
    assert set(kinds(evidence(poison=["p"], dead_letters=dead))) == {Kind.DEAD_LETTERS}


def test_the_queue_must_be_empty():
    assert kinds(evidence(left=(0, 1, 0))) == [Kind.LEFT]


def test_one_event_of_a_message_is_enough():
    message = sent()
    for kind in ("accepted", "stored"):
        assert kinds(evidence(message, audit=[AuditRow(kind, ONE)])) == []


def test_a_message_without_events_must_be_explained():
    message = sent()
    claims = {("accepted", ONE), ("stored", ONE)}
    nothing = evidence(message, audit=[])
    assert kinds(nothing) == [Kind.AUDIT]
    # Each of the events that a living process has told of is missed, and so is the message.
    alive = replace(nothing, logs=[ProcessLog("uploader", claims=claims)])
    assert kinds(alive) == [Kind.AUDIT] * 3


def test_losses_that_are_logged_are_explained():
    claims = {("accepted", ONE), ("stored", ONE)}
    log = ProcessLog("uploader", claims=claims, lost=claims)
    verdict = judge(evidence(sent(), audit=[], logs=[log]))
    assert verdict.offences == []
    assert verdict.audit.lost_and_logged == 1


def test_a_killed_process_explains_what_it_had_in_memory_and_no_more():
    killed = ProcessLog("uploader", was_killed=True, claims={("stored", ONE)})
    verdict = judge(evidence(sent(), audit=[], logs=[killed]))
    assert verdict.offences == []
    assert (verdict.audit.gone_with_a_kill, verdict.audit.events_gone) == (1, 1)
    alive = ProcessLog("master", claims={("accepted", ONE)})
    assert kinds(evidence(sent(), audit=[], logs=[killed, alive])) == [Kind.AUDIT]


def test_a_kill_between_the_deed_and_the_telling_is_an_explanation():
    verdict = judge(evidence(sent(), audit=[], logs=[ProcessLog("master", was_killed=True)]))
    assert verdict.offences == []
    assert verdict.audit.gone_with_a_kill == 1


def test_bad_ends_of_processes_are_offences():
    found = Evidence(Journal(), bad_stops=["a"], deaths=["b"], errors=["c"])
    assert kinds(found) == [Kind.STOP, Kind.DEATH, Kind.SUITE]


def test_a_log_is_read_for_claims_losses_leaks_and_the_unforeseen(tmp_path):
    lines = [
        {"event": "message_accepted", "level": "INFO", "message_id": ONE},
        {"event": "message_stored", "level": "INFO", "message_id": TWO},
        {"event": "audit_event_lost", "level": "ERROR", "kind": "stored", "message_id": TWO},
        {"event": "idempotency_not_noted", "level": "WARNING", "message_id": ONE},
        {"event": "message_failed_unexpectedly", "level": "ERROR"},
        {"event": "WORKER TIMEOUT (pid:7)", "level": "CRITICAL"},
        {"event": f"oh {WORD}", "level": "INFO"},
    ]
    text = [*map(json.dumps, lines), "Traceback (most recent call last):", "KeyError: 'x'"]
    text += ["token sesame-open-alice-0123456789", "[1]", "{}"]
    path = tmp_path / "master-0.1.log"
    path.write_text("\n".join(text))
    log = read_log(path, name="master 0", was_killed=False)
    assert log.claims == {("accepted", ONE), ("stored", TWO)}
    assert log.lost == {("stored", TWO)}
    assert log.not_noted == {ONE}
    assert log.leaks == ["master-0.1.log:7", "master-0.1.log:10"]
    assert [what.partition(" ")[0] for what in log.unforeseen] == [
        "master-0.1.log:5",
        "master-0.1.log:6",
        "master-0.1.log:8",
    ]
    assert log.events["audit_event_lost"] == 1
    expected = {Kind.AUDIT, Kind.LEAK, Kind.UNFORESEEN}
    assert set(kinds(Evidence(Journal(), logs=[log]))) == expected


def test_each_sabotage_has_offences_that_must_come_of_it():
    for name, (_, expected) in SABOTAGES.items():
        assert expected
        assert not is_caught(name, judge(evidence(sent())))
    assert is_caught("delete-before-storing", judge(evidence(sent(), objects=[])))
