"""Images in ECR: what they are called, whether they are there, and pushing them."""

import base64
import re
import subprocess
from pathlib import Path

from botocore.exceptions import ClientError

from deploy.aws import Aws
from deploy.errors import DeployError
from deploy.names import Task


def deployed_image(aws: Aws, task: Task) -> str:
    """Return the name of the image that is deployed, as the last deployment noted it."""
    try:
        found = aws.ssm.get_parameter(Name=task.image_parameter)
    except aws.ssm.exceptions.ParameterNotFound:
        raise DeployError(
            f"SSM has no parameter {task.image_parameter}: apply Terraform first, "
            "and check the region and the name of the environment"
        ) from None
    return found["Parameter"]["Value"]


def image_of(aws: Aws, task: Task, commit: str) -> str:
    """Return the whole name of a commit's image, whether it is there or not."""
    if not re.fullmatch("[0-9a-f]{40}", commit):
        raise DeployError(f"{commit!r} is not the 40 characters of a commit's hash")
    return f"{deployed_image(aws, task).rpartition(':')[0]}:{commit}"


def is_pushed(aws: Aws, image: str) -> bool:
    """Tell whether ECR has the image."""
    repository, tag = _parts(image)
    try:
        aws.ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
    except aws.ecr.exceptions.ImageNotFoundException:
        return False
    except ClientError as error:
        raise DeployError(f"ECR cannot be asked for {image}: {error}") from None
    return True


def digest_of(aws: Aws, image: str) -> str:
    """Return the digest that ECR has for an image's tag. Raises DeployError where it has none."""
    repository, tag = _parts(image)
    try:
        found = aws.ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
    except aws.ecr.exceptions.ImageNotFoundException:
        raise DeployError(f"ECR does not have {image}") from None
    return found["imageDetails"][0]["imageDigest"]


def log_in(aws: Aws, registry: str) -> None:
    """Let docker, and what reads its configuration, into the registry."""
    answer = aws.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(answer).decode().partition(":")
    _docker("login", "--username", user, "--password-stdin", registry, given=password)


def push(aws: Aws, image: str, archive: Path) -> None:
    """Push the image of an archive of `docker save` under the name."""
    loaded = _docker("load", "--input", str(archive))
    found = re.search(r"Loaded image: (\S+)", loaded)
    if found is None:
        raise DeployError(f"{archive} holds no image with a name: {loaded.strip()}")
    registry = image.partition("/")[0]
    log_in(aws, registry)
    try:
        _docker("tag", found.group(1), image)
        _docker("push", "--quiet", image)
    finally:
        _docker("logout", registry)


def _parts(image: str) -> tuple[str, str]:
    name, _, tag = image.partition("/")[2].rpartition(":")
    return name, tag


def _docker(*arguments: str, given: str | None = None) -> str:
    done = subprocess.run(
        ["docker", *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DeployError(f"docker {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout
