"""Images: named after commits, pushed once, never replaced."""

from pathlib import Path

import pytest

from tests.pipelines.conftest import COMMIT, REGISTRY, Job, push_manifest


def test_the_image_of_a_commit_is_pushed(job: Job, tmp_path: Path) -> None:
    archive = str(tmp_path / "image.tar")

    assert job.run("push", "--commit", COMMIT, "--archive", archive) == 0

    image = f"{REGISTRY}/cpsite-dev/validator:{COMMIT}"
    assert job.output("image") == image
    assert [call for call, _given in job.docker] == [
        ["load", "--input", archive],
        ["login", "--username", "AWS", "--password-stdin", REGISTRY],
        ["tag", "cpsite-validator:built", image],
        ["push", "--quiet", image],
        ["logout", REGISTRY],
    ]


def test_the_password_is_in_no_argument(job: Job, capfd: pytest.CaptureFixture[str]) -> None:
    assert job.run("push", "--commit", COMMIT, "--archive", "image.tar") == 0

    password = job.docker[1][1]
    assert password
    assert not [call for call, _given in job.docker if password in call]
    assert password not in "".join(capfd.readouterr())


def test_an_image_that_is_there_is_not_pushed_again(job: Job) -> None:
    push_manifest(job, "validator", COMMIT)

    assert job.run("push", "--commit", COMMIT, "--archive", "image.tar") == 0

    assert job.output("image").endswith(f"/validator:{COMMIT}")
    assert job.docker == []


def test_an_earlier_commit_needs_no_archive(job: Job) -> None:
    push_manifest(job, "uploader", COMMIT)

    assert job.run("push", "--commit", COMMIT, service="uploader") == 0

    assert job.output("image") == job.image("uploader")


def test_a_commit_that_was_never_pushed_is_refused(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job.run("push", "--commit", COMMIT) == 1

    assert "only what was pushed can be deployed again" in capsys.readouterr().out
    assert "is not deployed" in job.summary


@pytest.mark.parametrize("commit", ["main", "v1.2.3", COMMIT[:7], COMMIT.upper(), f"{COMMIT}\n"])
def test_what_is_no_hash_is_refused(
    job: Job, commit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job.run("push", "--commit", commit) == 1

    assert "is not the 40 characters of a commit's hash" in capsys.readouterr().out


@pytest.mark.parametrize("step", ["load", "login", "tag", "push"])
def test_a_failure_of_docker_is_one(
    job: Job, step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_FAILS_AT", step)

    assert job.run("push", "--commit", COMMIT, "--archive", "image.tar") == 1

    assert f"docker {step} failed: denied: by the test" in capsys.readouterr().out
    # A password that was taken does not stay on the machine.
    assert ("logout" in [call[0] for call, _given in job.docker]) == (step in {"tag", "push"})


def test_an_archive_without_a_name_is_refused(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_LOADS", "Loaded image ID: sha256:0123")

    assert job.run("push", "--commit", COMMIT, "--archive", "image.tar") == 1

    assert "holds no image with a name" in capsys.readouterr().out


def test_an_environment_that_terraform_has_not_made_is_named(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.ssm.delete_parameter(Name="/cpsite-dev/validator-image")

    assert job.run("push", "--commit", COMMIT, "--archive", "image.tar") == 1

    said = capsys.readouterr().out
    assert "/cpsite-dev/validator-image: apply Terraform first" in said


def test_a_repository_that_is_gone_is_named(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.ecr.delete_repository(repositoryName="cpsite-dev/validator", force=True)

    assert job.run("push", "--commit", COMMIT, "--archive", "image.tar") == 1

    assert "RepositoryNotFoundException" in capsys.readouterr().out
