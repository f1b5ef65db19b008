"""A release ends in one of three ways: done, rolled back, or a cry for help."""

import time
from dataclasses import replace
from typing import Any

import pytest
from deploy.errors import DeployError
from deploy.names import Task
from deploy.pace import Pace

from tests.pipelines import api
from tests.pipelines.conftest import Job


def test_a_release_is_rolled_out_tested_and_noted(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job.release() == 0

    revision = job.output("revision")
    assert job.ecs.running("cpsite-dev-validator") == revision
    assert job.noted("validator") == job.image("validator")
    assert job.noted("uploader").endswith(":initial")
    assert "reached a steady state" in capsys.readouterr().out
    for part in (
        "cpsite-dev-validator is deployed",
        job.image("validator"),
        revision,
        "task-definition/cpsite-dev-validator:1`",
        "| running tasks | 2 |",
        "no token is refused: POST / is 401 token_missing",
        "clusters/cpsite-dev/services/cpsite-dev-validator/health?region=us-east-1",
        "log-group/$252Fcpsite-dev$252Fvalidator",
    ):
        assert part in job.summary


def test_ecs_giving_up_is_a_failure(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    """The service is stable then, and a wait for stability alone would call it a success."""
    job.ecs.fates = ["is_given_up"]

    assert job.release() == 1

    said = capsys.readouterr().out
    assert "ECS deployment circuit breaker: tasks failed to start." in said
    assert "Rolled back by ECS: " in job.summary
    assert "task-definition/cpsite-dev-validator:1 runs" in job.summary
    assert job.noted("validator").endswith(":initial")
    assert len(job.ecs.asked("UpdateService")) == 1  # and none for the admin


def test_a_deployment_that_fails_without_a_way_back_is_rolled_back(job: Job) -> None:
    job.ecs.fates = ["fails", "completes"]

    assert job.release() == 1

    assert job.ecs.running("cpsite-dev-validator").endswith(":1")
    assert "the deployment failed: tasks failed to start.. Rolled back" in job.summary
    assert job.noted("validator").endswith(":initial")


def test_a_deployment_that_hangs_is_rolled_back(job: Job) -> None:
    job.ecs.fates = ["hangs", "completes_at_once"]

    assert job.release("validator", "--limit-minutes", "0") == 1

    assert job.ecs.running("cpsite-dev-validator").endswith(":1")
    assert "is to become stable: not within 0 minutes. Rolled back" in job.summary


def test_a_release_whose_smoke_test_fails_is_rolled_back(job: Job) -> None:
    job.answers = lambda *request: (500, {"code": "internal_error"})

    assert job.release() == 1

    assert job.ecs.running("cpsite-dev-validator").endswith(":1")
    assert "GET /health/live is 500 internal_error, not 200" in job.summary
    assert "Rolled back: " in job.summary
    assert job.noted("validator").endswith(":initial")
    assert [asked["taskDefinition"][-2:] for asked in job.ecs.asked("UpdateService")] == [
        ":2",
        ":1",
    ]


def test_a_rollback_that_fails_cries_for_help(job: Job) -> None:
    job.ecs.fates = ["fails"]

    assert job.release() == 1

    assert "ROLLING BACK FAILED TOO (the deployment failed" in job.summary
    assert "look at cpsite-dev-validator now" in job.summary


def test_a_first_release_has_nothing_to_go_back_to(job: Job) -> None:
    """What Terraform has made looks for an image that nobody has pushed."""
    service = job.ecs.services["cpsite-dev-validator"]
    service["deployments"][0]["rolloutState"] = "FAILED"
    service["runningCount"] = 0
    job.ecs.fates = ["fails"]

    assert job.release() == 1

    assert "No version has run before: none to go back to" in job.summary
    assert len(job.ecs.asked("UpdateService")) == 1


def test_a_first_release_is_one_like_any_other(job: Job) -> None:
    service = job.ecs.services["cpsite-dev-validator"]
    service["deployments"][0]["rolloutState"] = "IN_PROGRESS"
    service["runningCount"] = 0

    assert job.release() == 0

    assert job.noted("validator") == job.image("validator")


def test_a_stable_service_is_not_enough(job: Job) -> None:
    job.ecs.fates = ["is_changed"]

    assert job.release() == 1

    assert "the service runs" in job.summary
    assert "task-definition/somebody-elses:1 runs" in job.summary
    assert job.noted("validator").endswith(":initial")


def test_another_deployment_in_between_is_no_success(job: Job) -> None:
    job.ecs.fates = ["is_replaced"]

    assert job.release() == 1

    assert "task-definition/somebody-elses:1: the deployment is gone" in job.summary
    assert job.noted("validator").endswith(":initial")


def test_a_sleeping_service_is_said_to_be_asleep(job: Job) -> None:
    job.ecs.services["cpsite-dev-uploader"]["desiredCount"] = 0

    assert job.release("uploader") == 0

    assert "| running tasks | 0 (asleep:" in job.summary
    assert job.noted("uploader") == job.image("uploader")


def test_a_revision_before_the_last_one_can_be_released_again(job: Job) -> None:
    assert job.release() == 0
    first = job.ecs.running("cpsite-dev-validator")
    assert job.release() == 0

    assert job.ecs.running("cpsite-dev-validator") != first


@pytest.mark.parametrize("status", [None, "INACTIVE"])
def test_a_service_that_is_not_there_is_named(job: Job, status: str | None) -> None:
    service = job.ecs.services.pop("cpsite-dev-validator")
    if status:
        job.ecs.services["cpsite-dev-validator"] = service | {"status": status}

    assert job.release() == 1

    assert "no active service cpsite-dev-validator: apply Terraform first" in job.summary


def test_missing_credentials_are_an_error_in_words(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)

    assert job.run("register", "--image", job.image()) == 1

    said = capsys.readouterr().out
    assert said.startswith("::error title=cpsite-dev-validator::Unable to locate credentials")


@pytest.mark.parametrize("command", ["push", "register", "migrate", "release", "smoke"])
def test_each_command_has_help(job: Job, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        job.run(command, "--help")

    assert ended.value.code == 0
    assert "--environment" in capsys.readouterr().out


def test_a_wrong_option_is_a_usage_error(job: Job) -> None:
    with pytest.raises(SystemExit) as ended:
        job.run("release", service="prometheus")

    assert ended.value.code == 2


def test_names_are_those_of_terraform() -> None:
    task = Task("cpsite-prod", "uploader")

    assert (task.cluster, task.family) == ("cpsite-prod", "cpsite-prod-uploader")
    assert task.log_group == "/cpsite-prod/uploader"
    assert task.image_parameter == "/cpsite-prod/uploader-image"
    assert task.log_stream("arn:aws:ecs:us-east-1:1:task/cpsite-prod/ab12") == "ecs/uploader/ab12"


def test_the_admin_gets_the_validators_image_after_its_test(job: Job) -> None:
    asked: list[str] = []

    def answer(*request: Any) -> tuple[int, dict[str, Any]]:
        asked.append(job.ecs.running("cpsite-dev-admin"))
        return api.healthy(*request)

    job.answers = answer
    before = job.ecs.running("cpsite-dev-admin")

    assert job.release() == 0

    after = job.ecs.running("cpsite-dev-admin")
    assert after != before
    assert set(asked) == {before}
    described = job.ecs.families["cpsite-dev-admin"][-1]["taskDefinition"]
    assert after == described["taskDefinitionArn"]
    images = {one["name"]: one["image"] for one in described["containerDefinitions"]}
    assert images["admin"] == job.image("validator")
    assert f"| admin as well | `{after}` |" in job.summary


@pytest.mark.parametrize("fate", ["is_given_up", "fails"])
def test_an_admin_that_does_not_run_takes_the_api_back_too(job: Job, fate: str) -> None:
    """Both run the image that is noted, or a later apply would bring one of them another one."""
    job.ecs.fates = ["completes", fate, "completes"]

    assert job.release() == 1

    for service in ("admin", "validator"):
        assert job.ecs.running(f"cpsite-dev-{service}").endswith(f"cpsite-dev-{service}:1")
        assert f"cpsite-dev-{service}:1 runs" in job.summary
    assert job.noted("validator").endswith(":initial")


def test_an_admin_that_is_missing_is_named_before_anything_is_rolled_out(job: Job) -> None:
    del job.ecs.services["cpsite-dev-admin"]

    assert job.release() == 1

    assert "no active service cpsite-dev-admin: apply Terraform first" in job.summary
    assert job.ecs.asked("UpdateService") == []


def test_the_uploader_is_deployed_by_itself(job: Job) -> None:
    assert job.release("uploader") == 0

    assert [one["service"] for one in job.ecs.asked("UpdateService")] == ["cpsite-dev-uploader"]


def test_waits_of_one_release_share_their_time() -> None:
    """Three waits of a quarter of an hour would outlast the credentials."""
    over = replace(Pace(0, 60), until=time.monotonic())

    for _wait in range(2):
        with pytest.raises(DeployError, match="is to be: not within 1 minutes"):
            over.wait(lambda: None, "it is to be")
    assert Pace(0, 60).wait(iter([None, "done"]).__next__, "it is to be") == "done"
    assert Pace(0, 60).begun().until is not None
