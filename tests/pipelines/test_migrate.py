"""The validator's pipeline migrates, the uploader's looks and waits."""

import dataclasses

import pytest
from deploy import one_off

from tests.pipelines.conftest import Job
from tests.pipelines.ecs import TaskEnd

LACKS = TaskEnd(1, lines=("Planned operations:", "validator.0002_more", "    Add field x"))


def migrate(job: Job, service: str, *options: str) -> int:
    assert job.run("register", "--image", job.image(service), service=service) == 0
    return job.run(
        *("migrate", "--image", job.image(service), "--revision", job.output("revision")),
        *options,
        service=service,
    )


def test_the_validators_image_migrates(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.ecs.ends = [TaskEnd(0, lines=("Running migrations:", "  Applying validator.0002… OK"))]

    assert migrate(job, "validator") == 0

    (asked,) = job.ecs.asked("RunTask")
    assert asked["taskDefinition"].endswith("task-definition/cpsite-dev-migrate:2")
    assert asked["cluster"] == "cpsite-dev"
    assert asked["launchType"] == "FARGATE"
    # The family's own command, in the validator's network.
    assert asked["overrides"] == {"containerOverrides": [{"name": "migrate"}]}
    assert asked["networkConfiguration"]["awsvpcConfiguration"]["subnets"] == [
        "subnet-cpsite-dev-validator"
    ]
    registered = job.ecs.families["cpsite-dev-migrate"][-1]["taskDefinition"]
    assert registered["containerDefinitions"][0]["image"] == job.image("validator")
    assert "  | Running migrations:\n  |   Applying validator.0002… OK\n" in capsys.readouterr().out


def test_a_failing_migration_shows_its_log_and_code(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.ecs.ends = [TaskEnd(3, lines=("django.db.utils.ProgrammingError: no",))]

    assert migrate(job, "validator") == 1

    said = capsys.readouterr().out
    assert "  | django.db.utils.ProgrammingError: no" in said
    assert "ended with exit code 3: EssentialContainerExited" in said
    assert "Nothing has been deployed" in job.summary
    assert job.ecs.asked("UpdateService") == []


def test_a_container_that_never_started_says_why(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.ecs.ends = [TaskEnd(None, "CannotPullContainerError: not found")]

    assert migrate(job, "validator") == 1

    said = capsys.readouterr().out
    assert "did not start: TaskFailedToStart; CannotPullContainerError: not found" in said


def test_a_task_that_ecs_does_not_take_says_why(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.ecs.ends = [TaskEnd(None, "RESOURCE:FARGATE")]

    assert migrate(job, "validator") == 1

    assert "RESOURCE:FARGATE" in capsys.readouterr().out


def test_a_migration_that_takes_too_long_is_left_alone(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    assert migrate(job, "validator", "--limit-minutes", "0") == 1

    assert "is to end; it goes on: not within 0 minutes" in capsys.readouterr().out


def test_a_silent_failure_says_where_it_looked(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job.ecs.ends = [TaskEnd(1)]
    monkeypatch.setattr(one_off, "LOG_SECONDS", 0)

    assert migrate(job, "validator") == 1

    assert "(nothing in /cpsite-dev/migrate ecs/migrate/" in capsys.readouterr().out


def test_the_uploader_looks_with_its_own_revision(job: Job) -> None:
    job.ecs.ends = [TaskEnd(0, lines=("Planned operations:", "  No planned migration operations."))]

    assert migrate(job, "uploader") == 0

    (asked,) = job.ecs.asked("RunTask")
    assert asked["taskDefinition"] == job.output("revision")
    assert asked["overrides"] == {
        "containerOverrides": [
            {
                "name": "uploader",
                "command": ["python", "manage.py", "migrate", "--plan", "--check"],
            }
        ]
    }
    assert len(job.ecs.families["cpsite-dev-migrate"]) == 1


def test_the_uploader_waits_for_the_validators_pipeline(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.ecs.ends = [LACKS, LACKS, TaskEnd(0, lines=("done",))]

    assert migrate(job, "uploader") == 0

    assert len(job.ecs.asked("RunTask")) == 3
    assert "  | validator.0002_more" in capsys.readouterr().out


def test_the_uploader_does_not_wait_forever(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.ecs.ends = [dataclasses.replace(LACKS, at_once=True)]

    assert migrate(job, "uploader", "--limit-minutes", "0") == 1

    assert "deploy it from this commit" in capsys.readouterr().out
    assert job.ecs.asked("UpdateService") == []


def test_a_crash_is_not_waited_for(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.ecs.ends = [TaskEnd(1, lines=("OperationalError: connection refused",))]

    assert migrate(job, "uploader") == 1

    assert len(job.ecs.asked("RunTask")) == 1
    assert "looking for migrations ended with exit code 1" in capsys.readouterr().out


@pytest.mark.parametrize("service", ["validator", "uploader"])
def test_a_service_that_is_not_there_is_named(
    job: Job, service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    del job.ecs.services[f"cpsite-dev-{service}"]

    assert migrate(job, service) == 1

    assert f"no service cpsite-dev-{service}: apply Terraform first" in capsys.readouterr().out
