"""The final accounting: was anything lost, doubled or changed?"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.evidence import Evidence, Stored
from tests.chaos.records import Sent, marker_of


class Kind(StrEnum):
    LOST = "lost"
    DUPLICATED = "duplicated"
    ALTERED = "altered"
    FOREIGN = "stored, but never sent"
    REFUSED = "refused, and yet stored or accepted"
    IDS_DIFFER = "one key, several message ids"
    UNMARKED = "repeat not marked as one"
    WRONG_ANSWER = "wrong answer"
    DEAD_LETTERS = "dead letters"
    LEFT = "left on the queue"
    AUDIT = "audit events unaccounted for"
    LEAK = "token or content in a log"
    UNFORESEEN = "unforeseen error"
    STOP = "bad stop"
    DEATH = "died by itself"
    SUITE = "trouble of the suite itself"


@dataclass(frozen=True)
class Offence:
    kind: Kind
    what: str


@dataclass(frozen=True)
class AuditAccount:
    """What became of the audit events, by messages that are stored."""

    accounted: int = 0
    lost_and_logged: int = 0
    gone_with_a_kill: int = 0
    unaccounted: int = 0
    #: Single events (of messages that have another one, mostly) that went with a kill.
    events_gone: int = 0


@dataclass(frozen=True)
class Verdict:
    offences: list[Offence]
    audit: AuditAccount
    unanswered_but_stored: int

    def count(self, kind: Kind) -> int:
        return sum(offence.kind == kind for offence in self.offences)


def judge(evidence: Evidence) -> Verdict:
    """Weigh all evidence; each offence is named."""
    objects = _Objects(evidence)
    audit, audit_offences = _judge_audit(evidence, objects)
    offences = [
        *objects.offences(),
        *_judge_sent(evidence, objects),
        *_judge_answers(evidence),
        *_judge_dead_letters(evidence),
        *audit_offences,
        *_judge_processes(evidence),
    ]
    unanswered = sum(
        not sent.accepted and sent.marker in objects.by_marker
        for sent in evidence.journal.sent
        if not sent.refused
    )
    return Verdict(offences, audit, unanswered)


class _Objects:
    """The objects, and what each of them is by itself."""

    def __init__(self, evidence: Evidence) -> None:
        self._sent = {sent.marker: sent for sent in evidence.journal.sent}
        self._digests: dict[str, set[str]] = defaultdict(set)
        for row in evidence.audit:
            if row.digest:
                self._digests[row.message_id].add(row.digest)
        self._all = evidence.objects
        self.by_id: dict[str, Stored] = {}
        self.by_marker: dict[str, list[Stored]] = defaultdict(list)
        for stored in evidence.objects:
            if stored.data is not None:
                self.by_id[stored.message_id] = stored
                self.by_marker[marker_of(stored.data)].append(stored)

    def offences(self) -> Iterator[Offence]:
        for stored in self._all:
            yield from self._judge(stored)
        for marker, several in self.by_marker.items():
            if len(several) > 1:
                keys = " ".join(stored.key for stored in several)
                yield Offence(Kind.DUPLICATED, f"{marker}: {keys}")

    def _judge(self, stored: Stored) -> Iterator[Offence]:
        if stored.data is None:
            yield Offence(Kind.ALTERED, f"{stored.key} is no message")
            return
        sent = self._sent.get(marker_of(stored.data))
        if sent is None:
            yield Offence(Kind.FOREIGN, stored.key)
        elif sent.refused:
            yield Offence(Kind.REFUSED, f"{sent.marker}: {stored.key}")
        elif what := self._difference(stored, sent):
            yield Offence(Kind.ALTERED, f"{sent.marker}: {stored.key} differs in {what}")

    def _difference(self, stored: Stored, sent: Sent) -> str:
        if stored.data != sent.data:
            return "its data"
        if stored.client != sent.client:
            return "its client"
        if not stored.key.endswith(f"{stored.date.replace('-', '/')}/{stored.message_id}.json"):
            return "its key"
        if self._digests[stored.message_id] - {stored.digest}:
            return "the digest in the audit log"
        return ""


def _judge_sent(evidence: Evidence, objects: _Objects) -> Iterator[Offence]:
    for sent in evidence.journal.sent:
        ids = set(sent.accepted)
        if sent.refused:
            if ids:
                yield Offence(Kind.REFUSED, f"{sent.marker} was accepted as {' '.join(ids)}")
            continue
        if len(ids) > 1:
            yield Offence(Kind.IDS_DIFFER, f"{sent.marker}: {' '.join(sorted(ids))}")
        for message_id in ids:
            stored = objects.by_id.get(message_id)
            if stored is None:
                yield Offence(Kind.LOST, f"{sent.marker}: {message_id}")
            elif stored.data is not None and marker_of(stored.data) != sent.marker:
                yield Offence(Kind.ALTERED, f"{sent.marker}: {message_id} is another message")


def _judge_answers(evidence: Evidence) -> Iterator[Offence]:
    for wrong in evidence.journal.wrong:
        yield Offence(
            Kind.WRONG_ANSWER,
            f"{wrong.marker}: {wrong.status} {wrong.code} instead of {wrong.expected}",
        )
    # Where the note of a key's success failed, a repeat is published once more, unmarked.
    not_noted = set().union(*(log.not_noted for log in evidence.logs))
    for message_id in evidence.journal.unmarked:
        if message_id not in not_noted:
            yield Offence(Kind.UNMARKED, message_id)


def _judge_dead_letters(evidence: Evidence) -> Iterator[Offence]:
    expected, found = Counter(evidence.poison), Counter(evidence.dead_letters)
    for body in (expected - found).elements():
        yield Offence(Kind.DEAD_LETTERS, f"missing: {body[:60]!r}")
    for body in (found - expected).elements():
        yield Offence(Kind.DEAD_LETTERS, f"not poison: {body[:120]!r}")
    if any(evidence.left):
        yield Offence(Kind.LEFT, "visible {}, in flight {}, delayed {}".format(*evidence.left))


def _judge_audit(evidence: Evidence, objects: _Objects) -> tuple[AuditAccount, list[Offence]]:
    """Look for each event that a process has told of, and for one of each stored message.

    A process writes its log line at once and the event a moment later. Where it, or a worker of
    it, was killed, any event of its may have been in memory; one that lived owes them all.
    """
    rows = {(row.kind, row.message_id) for row in evidence.audit}
    lost = set().union(*(log.lost for log in evidence.logs))
    offences = []
    gone = set()
    claimed = set()
    for log in evidence.logs:
        claimed |= log.claims
        missing = log.claims - rows - lost
        if log.was_killed:
            gone |= missing
        else:
            offences += [
                Offence(Kind.AUDIT, f"{log.name} wrote no {kind} of {message_id}")
                for kind, message_id in sorted(missing)
            ]
    counts: Counter[str] = Counter()
    was_any_killed = any(log.was_killed for log in evidence.logs)
    for message_id in objects.by_id:
        events = {(kind, message_id) for kind in ("accepted", "stored")}
        if events & rows:
            counts["accounted"] += 1
        elif events & lost:
            counts["logged"] += 1
        elif events & gone or (was_any_killed and not events & claimed):
            # Without so much as a log line it was killed between the deed and the telling.
            counts["killed"] += 1
        else:
            counts["unaccounted"] += 1
            offences.append(Offence(Kind.AUDIT, f"nothing tells of {message_id}"))
    account = AuditAccount(
        accounted=counts["accounted"],
        lost_and_logged=counts["logged"],
        gone_with_a_kill=counts["killed"],
        unaccounted=counts["unaccounted"],
        events_gone=len(gone),
    )
    return account, offences


def _judge_processes(evidence: Evidence) -> Iterator[Offence]:
    for log in evidence.logs:
        yield from (Offence(Kind.LEAK, place) for place in log.leaks)
        yield from (Offence(Kind.UNFORESEEN, what) for what in log.unforeseen)
    yield from (Offence(Kind.STOP, what) for what in evidence.bad_stops)
    yield from (Offence(Kind.DEATH, what) for what in evidence.deaths)
    yield from (Offence(Kind.SUITE, what) for what in evidence.errors)
