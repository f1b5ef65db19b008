"""What a run prints."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping

from tests.chaos.run import Result
from tests.chaos.verdict import Kind

#: Offences of one kind that are named.
_NAMED = 10


def print_result(result: Result) -> None:
    print()
    for line in _lines(result):
        print(line)
    sys.stdout.flush()


def _lines(result: Result) -> Iterator[str]:
    journal, verdict = result.evidence.journal, result.verdict
    stored = [row for row in result.evidence.audit if row.kind == "stored"]
    days = Counter(each.date for each in result.evidence.objects)
    yield f"seed {result.seed}, {result.product}, {result.seconds:.0f} s"
    yield ""
    yield from _table(
        {
            "messages sent": journal.messages,
            "attempts": journal.attempts,
            "accepted (202)": sum(len(sent.accepted) for sent in journal.sent),
            "of them repeats of a key": journal.repeated,
            "gave up": journal.gave_up,
        }
    )
    yield from _section("other answers", _without(journal.answers, "202"))
    for upstream, faults in result.faults.items():
        yield from _section(f"faults, {upstream}", faults)
    yield from _section("havoc", result.havoc)
    for note in result.notes:
        yield f"  {note}"
    yield from _section("warnings and errors logged", _log_events(result))
    yield ""
    yield from _table(
        {
            "redeliveries": sum(row.attempts > 1 for row in stored),
            "messages stored again": len(stored) - len({row.message_id for row in stored}),
            "objects": len(result.evidence.objects),
            "by day": ", ".join(f"{day} {number}" for day, number in sorted(days.items())),
            "unanswered, but stored": verdict.unanswered_but_stored,
            "dead letters": f"{len(result.evidence.dead_letters)} "
            f"of {len(result.evidence.poison)} poison",
            "audit: accounted": verdict.audit.accounted,
            "audit: lost and logged": verdict.audit.lost_and_logged,
            "audit: gone with a kill": verdict.audit.gone_with_a_kill,
            "audit: unaccounted": verdict.audit.unaccounted,
            "single events gone with a kill": verdict.audit.events_gone,
        }
    )
    yield ""
    yield from _table({kind.value: verdict.count(kind) for kind in _shown(result)})
    yield from _offences(result)


def _shown(result: Result) -> list[Kind]:
    always = (Kind.LOST, Kind.DUPLICATED, Kind.ALTERED)
    return [kind for kind in Kind if kind in always or result.verdict.count(kind)]


def _offences(result: Result) -> Iterator[str]:
    if not result.verdict.offences:
        return
    yield ""
    for kind in Kind:
        these = [each.what for each in result.verdict.offences if each.kind == kind]
        yield from (f"{kind}: {what}" for what in these[:_NAMED])
        if len(these) > _NAMED:
            yield f"{kind}: and {len(these) - _NAMED} more"
    yield ""
    yield f"seed {result.seed}"
    yield from result.schedule.lines()


def _log_events(result: Result) -> Counter[str]:
    found: Counter[str] = Counter()
    for log in result.evidence.logs:
        found += log.events
    return found


def _without(counts: Counter[str], name: str) -> dict[str, int]:
    return {key: number for key, number in counts.items() if key != name}


def _section(title: str, counts: Mapping[str, int]) -> Iterator[str]:
    if counts:
        yield ""
        yield f"{title} ({sum(counts.values())})"
        yield from _table(dict(sorted(counts.items())), indent="  ")


def _table(rows: Mapping[str, object], indent: str = "") -> Iterator[str]:
    width = max(map(len, rows), default=0)
    for name, value in rows.items():
        yield f"{indent}{name:<{width}}  {value}"
