"""What a scrape says of the real services."""

import math
import os
import re
import signal
import time

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import factories
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.slow(reason="asks processes again and again, as Prometheus does"),
]

PROCESS = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
}


def scrape(services, port_variable):
    """(name, labels) → value of each sample, as the next worker tells it."""
    _, text = services.get("/metrics", int(services.environment[port_variable]))
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def booted(validator):
    """Ids of the gunicorn workers, in the order of their starts."""
    lines = [line["event"] for line in validator.lines()]
    return [int(found[1]) for line in lines if (found := re.match(r"Booting.*pid: (\d+)", line))]


def test_all_workers_of_a_validator_are_one_process_to_prometheus(services):
    validator = services.validator(WEB_CONCURRENCY="2", CPSITE_REVISION="4a1c9e0")
    seen = []
    for number in range(60):
        services.post(factories.fields(field1=str(number)))
        seen.append(scrape(services, "VALIDATOR_METRICS_PORT"))
    cpu = [found[("process_cpu_seconds_total",)] for found in seen]
    assert cpu == sorted(cpu)
    assert 0.1 < cpu[0] < cpu[-1] < 60
    assert len({found[("process_start_time_seconds",)] for found in seen}) == 1
    assert seen[-1][("process_start_time_seconds",)] == pytest.approx(time.time(), abs=120)
    # Python and Django, once, and something for each worker.
    memory = [found[("process_resident_memory_bytes",)] for found in seen]
    assert 40 * 1024**2 < min(memory) < max(memory) < 300 * 1024**2
    for found in seen:
        assert 10 < found[("process_open_fds",)] < 200 < found[("process_max_fds",)]
        labels = (("revision", "4a1c9e0"), ("service", "validator"))
        assert found[("cpsite_build_info", *labels)] == 1
        assert 0 < found[("cpsite_cpu_limit_cores",)] <= (os.cpu_count() or 1)
        assert found[("cpsite_memory_limit_bytes",)] > 256 * 1024**2
    # Nothing of a service that this is not.
    assert not [name for name, *_ in seen[-1] if name.startswith("uploader_")]
    assert validator.stop() == 0


def test_kill_minus_nine_of_a_worker_takes_nothing_back(services):
    validator = services.validator(WEB_CONCURRENCY="2")
    for number in range(20):
        services.post(factories.fields(field1=str(number)))
    accepted = ("validator_messages_total", ("result", "accepted"))
    # There from the start: nobody would see the increase of a series that begins with 1.
    refused = ("validator_messages_total", ("result", "queue_unavailable"))
    exits = ("validator_worker_exits_total",)
    seen = [scrape(services, "VALIDATOR_METRICS_PORT")]
    assert (seen[0][accepted], seen[0][refused], seen[0][exits]) == (20, 0, 0)
    for killed in range(1, 4):
        os.kill(booted(validator)[-1], signal.SIGKILL)

        def is_replaced(expected=killed):
            found = scrape(services, "VALIDATOR_METRICS_PORT")
            if found:  # the port of the killed one may still have had our connection
                seen.append(found)
            return len(booted(validator)) == 2 + expected and found.get(exits) == expected

        wait_for(is_replaced, "a new worker")
    for name in (accepted, exits, ("process_cpu_seconds_total",)):
        values = [found[name] for found in seen]
        assert values == sorted(values)
    assert seen[-1][accepted] == 20
    assert len({found[("process_start_time_seconds",)] for found in seen}) == 1


def test_the_uploader_tells_the_same(services):
    services.validator()
    services.uploader(CPSITE_REVISION="4a1c9e0")
    services.post(factories.fields())
    stored = ("uploader_messages_total", ("result", "stored"))
    wait_for(lambda: scrape(services, "UPLOADER_METRICS_PORT").get(stored) == 1, "the object")
    found = scrape(services, "UPLOADER_METRICS_PORT")
    assert {name for name, *_ in found} >= PROCESS
    assert found[("cpsite_build_info", ("revision", "4a1c9e0"), ("service", "uploader"))] == 1
    assert found[("cpsite_cpu_limit_cores",)] > 0
    assert found[("cpsite_memory_limit_bytes",)] > found[("process_resident_memory_bytes",)]
    (key,) = services.bucket.keys()
    assert found[("uploader_stored_bytes_total",)] == len(services.bucket.read(key))
    for result in ("failed", "undecodable", "released"):
        assert found[("uploader_messages_total", ("result", result))] == 0
    assert not [name for name, *_ in found if name.startswith("validator_")]


OLDEST = ("validator_oldest_message_age_seconds",)


def depth(queue, state="visible"):
    return ("cpsite_queue_messages", ("queue", queue), ("state", state))


def reports(services, **wanted):
    """Wait until a scrape of the validator has these numbers of visible messages; return it."""

    def found():
        seen = scrape(services, "VALIDATOR_METRICS_PORT")
        return all(seen.get(depth(name)) == number for name, number in wanted.items()) and seen

    return wait_for(found, f"{wanted}")


def oldest(services, fits):
    """Wait until the age of the oldest message fits; return it.

    A process tells the depth first: it asks for the age afterwards.
    """

    def found():
        age = scrape(services, "VALIDATOR_METRICS_PORT").get(OLDEST)
        return age is not None and fits(age) and [age]

    (age,) = wait_for(found, "an age of the oldest message")
    return age


def test_without_an_uploader_the_validator_says_what_waits_and_since_when(services):
    validator = services.validator(WEB_CONCURRENCY="2")
    reports(services, messages=0, dead_letters=0)
    assert oldest(services, lambda age: age == 0) == 0
    for number in range(3):
        assert services.post(factories.fields(field1=str(number)))[0] == 202
    services.queue.client.send_message(QueueUrl=services.queue.dlq_url, MessageBody="x")
    seen = reports(services, messages=3, dead_letters=1)
    assert (seen[depth("messages", "in_flight")], seen[depth("messages", "delayed")]) == (0, 0)
    first = oldest(services, lambda age: age > 0)
    assert oldest(services, lambda age: age > first)  # nothing is stored
    # Whichever of its processes it is that asks, another one goes on.
    for pid in booted(validator):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: services.post(factories.fields())[0] == 202, "new processes")
    assert reports(services, messages=4, dead_letters=1)
    assert oldest(services, lambda age: age > first)
    services.uploader()
    assert reports(services, messages=0, dead_letters=1)
    assert oldest(services, lambda age: age == 0) == 0
    of_both = {depth("messages"), depth("dead_letters")}
    wait_for(lambda: of_both <= scrape(services, "UPLOADER_METRICS_PORT").keys(), "the same of it")
    assert validator.stop() == 0


@pytest.mark.parametrize(
    ("serves", "known"),
    [("api", {depth("messages"), OLDEST}), ("admin", {depth("dead_letters")})],
)
def test_apart_each_reports_what_its_role_may_ask_for(services, serves, known):
    services.validator(VALIDATOR_SERVES=serves)
    seen = wait_for(
        lambda: known <= (found := scrape(services, "VALIDATOR_METRICS_PORT")).keys() and found,
        "a sample",
    )
    both = {depth("messages"), depth("dead_letters"), OLDEST}
    assert seen.keys() & both == known


def test_queues_that_cannot_be_asked_for_change_nothing_for_requests(services):
    validator = services.validator()
    reports(services, messages=0, dead_letters=0)
    services.queue.client.delete_queue(QueueUrl=services.queue.dlq_url)
    wait_for(
        lambda: math.isnan(
            scrape(services, "VALIDATOR_METRICS_PORT").get(depth("dead_letters"), 0)
        ),
        "no value in place of an old one",
    )
    assert services.post(factories.fields())[0] == 202
    assert services.get("/health/ready")[0] == 200
    assert reports(services, messages=1)
    assert oldest(services, lambda age: age >= 0) >= 0
    lines = [line for line in validator.lines() if line["event"] == "queue_depth_unknown"]
    assert {line["queue"] for line in lines} == {"dead_letters"}
    assert "queue_depth_failed_unexpectedly" not in {line["event"] for line in validator.lines()}


def test_a_database_that_hangs_leaves_the_depth_and_the_requests_alone(services):
    url = services.environment["DATABASE_URL"]
    if url.startswith("sqlite"):
        pytest.skip("readers of SQLite wait for no lock: PostgreSQL is not installed")
    services.validator(WEB_CONCURRENCY="1")
    reports(services, messages=0)
    with psycopg.connect(url) as database:
        database.execute("LOCK TABLE audit_auditevent IN ACCESS EXCLUSIVE MODE")
        assert services.post(factories.fields())[0] == 202
        assert math.isnan(oldest(services, math.isnan))
        assert services.post(factories.fields())[0] == 202
        reports(services, messages=2)
    assert oldest(services, lambda age: age > 0)
