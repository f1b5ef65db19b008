"""The role that Terraform gives the pipelines may do what they do: all of it, and no more."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import boto3
import botocore.session
from botocore import xform_name

from cpsite.settings import BASE_DIR
from tests.pipelines.conftest import COMMIT, Job

_SCRIPTS = BASE_DIR / ".github" / "scripts" / "deploy"
_POLICY = BASE_DIR / "terraform" / "modules" / "delivery" / "permissions.tf"
#: What the rescan does with a role that only reads.
_OTHER_ROLE = {"running.py"}
_CLIENTS = ("ecr", "ecs", "logs", "ssm")

#: What `docker push` asks of ECR.
_DOCKER_PUSH = {
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
}
#: What AWS asks for besides, of who registers a revision with roles and tags.
_WITH_A_REVISION = {"iam:PassRole", "ecs:TagResource"}


def allowed() -> set[str]:
    text = re.sub(r"#.*", "", _POLICY.read_text())
    lists = re.findall(r"\bactions\s*=\s*\[(.*?)\]", text, re.DOTALL)
    return {action for one in lists for action in re.findall(r'"([^"]+)"', one)}


def _operations(client: str) -> dict[str, str]:
    """Return the operation behind each method of a client."""
    model = botocore.session.get_session().get_service_model(client)
    return {xform_name(name): name for name in model.operation_names}


def _calls(path: Path) -> Iterator[tuple[str, str]]:
    """Yield client and method of each call of the form `aws.ecs.run_task(…)`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Attribute) and owner.attr in _CLIENTS:
                yield owner.attr, node.func.attr


def called() -> set[str]:
    names = {client: _operations(client) for client in _CLIENTS}
    return {
        f"{client}:{names[client][method]}"
        for path in _SCRIPTS.glob("*.py")
        if path.name not in _OTHER_ROLE
        for client, method in _calls(path)
    }


def test_the_role_may_do_just_what_the_scripts_do() -> None:
    assert called() | _DOCKER_PUSH | _WITH_A_REVISION == allowed()


def test_a_deployment_calls_nothing_but_what_was_found(job: Job) -> None:
    """The reading of the sources is not blind: what is really called is in it."""
    seen: set[str] = set()

    def note(model: object, **_rest: object) -> None:
        seen.add(f"{model.service_model.service_name}:{model.name}")  # type: ignore[attr-defined]

    boto3.setup_default_session()
    boto3._get_default_session().events.register("before-call", note)
    try:
        assert job.run("push", "--commit", COMMIT, "--archive", "image.tar") == 0
        assert job.run("register", "--image", job.image()) == 0
        migrated = ("--image", job.image(), "--revision", job.output("revision"))
        assert job.run("migrate", *migrated) == 0
        assert job.release() == 0
    finally:
        boto3.setup_default_session()

    assert seen - called() == set()
    # Logs are read, images looked for, parameters written: none of it was left out.
    assert called() - seen == set()
