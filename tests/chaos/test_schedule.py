"""What happens is drawn from the seed alone, and fits into the time."""

from itertools import pairwise

import pytest

from tests.chaos import schedule
from tests.chaos.faults import Fault, Upstream
from uploader.handler import POISON_RETRY_SECONDS
from uploader.storage import longest_write_seconds


def test_a_seed_draws_the_same_each_time_and_another_one_something_else():
    assert schedule.draw(1, schedule.FULL) == schedule.draw(1, schedule.FULL)
    assert schedule.draw(1, schedule.FULL) != schedule.draw(2, schedule.FULL)


@pytest.mark.parametrize("shape", [schedule.FULL, schedule.SHORT])
@pytest.mark.parametrize("seed", range(20))
def test_all_of_it_happens_while_clients_send(shape, seed):
    plan = schedule.draw(seed, shape)
    assert all(0 <= event.at <= shape.seconds for event in plan.events)
    for outages, lengths in (
        (plan.outages[Upstream.SQS], shape.sqs_outages),
        (plan.outages[Upstream.S3], [*shape.s3_outages, *shape.s3_refusals]),
        (plan.outages[Upstream.CONTAINER], shape.credential_outages),
        (plan.outages[Upstream.STS], shape.credential_outages),
    ):
        assert len(outages) == len(lengths)
        assert all(earlier.end <= later.start for earlier, later in pairwise(outages))
        assert all(0 < each.start < each.end <= shape.seconds for each in outages)
    kinds = [event.action for event in plan.events]
    assert kinds.count("kill worker") == shape.worker_kills
    assert kinds.count("set") == shape.clock_steps
    assert kinds.count("set visibility timeout") == len(shape.visibility_changes)
    assert sum(kind.startswith("stop ") for kind in kinds) == len(shape.database_stops)


def test_a_full_run_holds_an_outage_of_s3_longer_than_its_retries():
    for seed in range(20):
        plan = schedule.draw(seed, schedule.FULL)
        of_all = [
            each for each in plan.outages[Upstream.S3] if each.fault is not Fault.KEY_DISABLED
        ]
        longest = max(of_all, key=lambda each: each.length)
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
    assert len(lines) == 6
    assert "database stop" in lines[0]


def test_a_full_run_refuses_some_objects_for_longer_than_a_refusal_takes_to_be_a_dead_letter():
    """Five deliveries, each five seconds after the one before (uploader/handler.py)."""
    for seed in range(20):
        outages = schedule.draw(seed, schedule.FULL).outages[Upstream.S3]
        (disabled,) = (each for each in outages if each.fault is Fault.KEY_DISABLED)
        assert disabled.length > schedule.FULL.max_receive_count * POISON_RETRY_SECONDS


def test_a_full_run_holds_an_outage_that_outlives_the_credentials():
    for seed in range(20):
        plan = schedule.draw(seed, schedule.FULL)
        for issuer in (Upstream.CONTAINER, Upstream.STS):
            longest = max(each.length for each in plan.outages[issuer])
            assert longest > schedule.FULL.credential_seconds


@pytest.mark.parametrize("shape", [schedule.FULL, schedule.SHORT])
def test_the_queue_always_hides_messages_for_longer_than_a_write_may_take(shape, settings):
    """With less, an uploader that is started again would not start (uploader/queue_check.py)."""
    settings.S3_TIMEOUT_SECONDS = shape.s3_timeout
    for seconds in (shape.visibility_timeout, *shape.visibility_changes):
        assert seconds > longest_write_seconds()
