"""What happens is drawn from the seed alone, and fits into the time."""

from itertools import pairwise

import pytest

from tests.chaos import schedule


def test_a_seed_draws_the_same_each_time_and_another_one_something_else():
    assert schedule.draw(1, schedule.FULL) == schedule.draw(1, schedule.FULL)
    assert schedule.draw(1, schedule.FULL) != schedule.draw(2, schedule.FULL)


@pytest.mark.parametrize("shape", [schedule.FULL, schedule.SHORT])
@pytest.mark.parametrize("seed", range(20))
def test_all_of_it_happens_while_clients_send(shape, seed):
    plan = schedule.draw(seed, shape)
    assert all(0 <= event.at <= shape.seconds for event in plan.events)
    for outages, lengths in (
        (plan.sqs_outages, shape.sqs_outages),
        (plan.s3_outages, shape.s3_outages),
    ):
        assert len(outages) == len(lengths)
        assert all(earlier.end <= later.start for earlier, later in pairwise(outages))
        assert all(0 < each.start < each.end <= shape.seconds for each in outages)
    kinds = [event.action for event in plan.events]
    assert kinds.count("kill worker") == shape.worker_kills
    assert kinds.count("set") == shape.clock_steps
    assert sum(kind.startswith("stop ") for kind in kinds) == len(shape.database_stops)


def test_a_full_run_holds_an_outage_of_s3_longer_than_its_retries():
    for seed in range(20):
        plan = schedule.draw(seed, schedule.FULL)
        longest = max(plan.s3_outages, key=lambda each: each.length)
        assert longest.length >= 20
        for action in ("kill", "stop"):
            assert any(
                longest.start < event.at < longest.end and event.action == action
                for event in plan.events
                if event.lane.startswith("uploader")
            )


def test_each_thing_has_its_events_in_order():
    lanes = schedule.draw(1, schedule.FULL).lanes()
    assert {"database", "clock", "master 0"} <= lanes.keys()
    for events in lanes.values():
        assert events == sorted(events)


def test_it_is_told_in_a_few_lines():
    lines = list(schedule.draw(1, schedule.FULL).lines())
    assert len(lines) == 4
    assert "database stop" in lines[0]
