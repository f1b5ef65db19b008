"""Stand-ins for `terraform`, `aws`, `docker` and `curl` in an environment that was just applied.

What they hold is one JSON file. `aws` answers as AWS's command line does, `--query` and `--output`
included; anything that a script must not do is an error.
"""

import fcntl
import json
import os
import sys
from pathlib import Path
from typing import Any

import jmespath

REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
NAME = "cpsite-dev"
#: What `GET /` gives as an example.
EXAMPLE = {"order": 'o "1" \\ 2', "amount": 1.5}


def initial() -> dict[str, Any]:
    """Return an environment after its first `terraform apply`."""

    def task(family: str, image: str) -> dict[str, Any]:
        return {
            "taskDefinitionArn": f"arn:aws:ecs:eu-west-1:1:task-definition/{NAME}-{family}:1",
            "family": f"{NAME}-{family}",
            "taskRoleArn": f"arn:aws:iam::1:role/{NAME}-{family}-task",
            "executionRoleArn": f"arn:aws:iam::1:role/{NAME}-{family}-execution",
            "networkMode": "awsvpc",
            "containerDefinitions": [
                {"name": family, "image": f"{REGISTRY}/{NAME}/{image}:initial", "command": ["run"]}
            ],
            "volumes": [{"name": "tmp", "host": {}}],
            "requiresCompatibilities": ["FARGATE"],
            "compatibilities": ["EC2", "FARGATE"],
            "cpu": "256",
            "memory": "512",
            "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
            "revision": 1,
            "status": "ACTIVE",
        }

    return {
        "calls": [],
        "tags": {f"{NAME}/validator": [], f"{NAME}/uploader": []},
        "built": {},
        "tasks": {
            f"{NAME}-validator": [task("validator", "validator")],
            f"{NAME}-admin": [task("admin", "validator")],
            f"{NAME}-uploader": [task("uploader", "uploader")],
            f"{NAME}-migrate": [task("migrate", "validator")],
        },
        "services": {},
        "ran": [],
        "parameters": {},
        # What a test sets.
        "exit_code": 0,
        "goes_back": None,
        "fails": None,
        "outputs_of": NAME,
        "stored_after": 1,
    }


class Aws:
    """AWS's command line, over what `initial` describes."""

    def __init__(self, world: dict[str, Any]) -> None:
        self.world = world

    def call(self, service: str, operation: str, options: dict[str, str]) -> Any:
        method = getattr(self, f"{service}_{operation}".replace("-", "_"))
        return method(options)

    def ecr_list_images(self, options: dict[str, str]) -> Any:
        assert options["--filter"] == "tagStatus=TAGGED"
        tags = self.world["tags"][options["--repository-name"]]
        return {"imageIds": [{"imageDigest": "sha256:0", "imageTag": tag} for tag in tags]}

    def ecr_get_login_password(self, _options: dict[str, str]) -> Any:
        return "password-of-ecr"

    def ecs_describe_task_definition(self, options: dict[str, str]) -> Any:
        found = {"taskDefinition": self.world["tasks"][options["--task-definition"]][-1]}
        if options.get("--include") == "TAGS":
            found["tags"] = [{"key": "Project", "value": "cpsite"}]
        return found

    def ecs_register_task_definition(self, options: dict[str, str]) -> Any:
        given = json.loads(options["--cli-input-json"])
        read_only = {"taskDefinitionArn", "revision", "status", "compatibilities"}
        assert read_only & given.keys() == set()
        assert all(value is not None for value in given.values())
        assert given.pop("tags") == [{"key": "Project", "value": "cpsite"}]
        revisions = self.world["tasks"][given["family"]]
        arn = revisions[-1]["taskDefinitionArn"].rpartition(":")[0]
        revisions.append(given | {"taskDefinitionArn": f"{arn}:{len(revisions) + 1}"})
        return {"taskDefinition": revisions[-1]}

    def ecs_describe_services(self, options: dict[str, str]) -> Any:
        assert options["--cluster"] == NAME
        service = options["--services"]
        network = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": [service]}}
        running = self.world["services"].get(service)
        if service == self.world["goes_back"]:
            running = self.world["tasks"][service][0]["taskDefinitionArn"]
        return {"services": [{"networkConfiguration": network, "taskDefinition": running}]}

    def ecs_run_task(self, options: dict[str, str]) -> Any:
        assert options["--launch-type"] == "FARGATE"
        network = json.loads(options["--network-configuration"])["awsvpcConfiguration"]
        overrides = json.loads(options["--overrides"])
        (group,) = network["securityGroups"]
        self.world["ran"].append([options["--task-definition"], group, overrides])
        return {"tasks": [{"taskArn": f"arn:aws:ecs:eu-west-1:1:task/{NAME}/1"}], "failures": []}

    def ecs_wait(self, options: dict[str, str]) -> Any:
        assert options["--cluster"] == NAME
        return ""

    def ecs_describe_tasks(self, _options: dict[str, str]) -> Any:
        container = {"name": "migrate"}
        if self.world["exit_code"] is not None:
            container["exitCode"] = self.world["exit_code"]
        return {"tasks": [{"containers": [container], "stoppedReason": "Essential container"}]}

    def logs_tail(self, options: dict[str, str]) -> Any:
        return f"the log of {options['LOG']}"

    def ecs_update_service(self, options: dict[str, str]) -> Any:
        assert options["--cluster"] == NAME
        self.world["services"][options["--service"]] = options["--task-definition"]
        return {"service": {"taskDefinition": options["--task-definition"]}}

    def ssm_put_parameter(self, options: dict[str, str]) -> Any:
        assert "--overwrite" in options
        self.world["parameters"][options["--name"]] = options["--value"]
        return {"Version": 2, "Tier": "Standard"}


def as_text(found: Any) -> str:
    """Return what `--output text` prints."""
    if isinstance(found, list):
        return "\t".join(as_text(item) for item in found)
    return "None" if found is None else str(found)


#: Options of AWS's command line that take no value.
_FLAGS = {"--no-cli-pager", "--overwrite", "--force-new-deployment"}


def aws(world: dict[str, Any], arguments: list[str]) -> str:
    options: dict[str, str] = {}
    words: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            words.append(word)
        elif word not in _FLAGS:
            options[word] = left.pop(0)
        else:
            options[word] = ""
    assert options["--region"] == "eu-west-1"
    service, operation, *rest = words
    if service == "logs":
        options["LOG"] = rest[0]
    if operation == world["fails"]:
        sys.exit("An error occurred (AccessDenied)")
    found = Aws(world).call(service, operation, options)
    if operation in ("wait", "tail"):
        return str(found)
    if "--query" in options:
        found = jmespath.search(options["--query"], found)
    # The format that a user has chosen for the command line is none that a script can read.
    return as_text(found) if options["--output"] == "text" else json.dumps(found)


def terraform(world: dict[str, Any], arguments: list[str]) -> str:
    chdir, output, raw, name = arguments
    assert (chdir, output, raw) == ("-chdir=terraform", "output", "-raw")
    return {
        "ecr_validator_repository_url": f"{REGISTRY}/{world['outputs_of']}/validator",
        "ecr_uploader_repository_url": f"{REGISTRY}/{world['outputs_of']}/uploader",
        "alb_dns_name": "api.example.com",
        "api_token_command": "echo a-token",
    }[name]


def docker(world: dict[str, Any], arguments: list[str], given: bytes) -> str:
    if arguments[0] == "login":
        assert arguments[1:] == ["--username", "AWS", "--password-stdin", REGISTRY]
        assert given.decode().strip() == "password-of-ecr"
    elif arguments[0] == "build":
        assert arguments[-1] == "-"
        assert os.environ["BUILDX_NO_DEFAULT_ATTESTATIONS"] == "1"
        tag = arguments[arguments.index("--tag") + 1]
        world["built"][tag] = ["not committed" in given.decode(errors="replace"), arguments[1:]]
    elif arguments[0] == "push":
        repository, _, tag = arguments[1].partition("/")[2].rpartition(":")
        assert arguments[1] in world["built"]
        # Tags are immutable.
        assert tag not in world["tags"][repository], "tag invalid: the tag already exists"
        world["tags"][repository].append(tag)
    else:
        raise AssertionError(arguments)
    return ""


def curl(world: dict[str, Any], arguments: list[str]) -> str:
    url = arguments[-1]
    if "--data" not in arguments and url.endswith(".example.com/"):
        return json.dumps(
            {"service": "cpsite", "example": json.dumps(EXAMPLE), "max_body_bytes": 1}
        )
    token = next(a for a in arguments if a.startswith("Authorization: Bearer ")).split()[-1]
    if url.endswith("/messages/an-id/"):
        world["stored_after"] -= 1
        status = "stored" if world["stored_after"] < 0 else "queued"
        return json.dumps({"message_id": "an-id", "status": status})
    data = json.loads(arguments[arguments.index("--data") + 1])["data"]
    if token != "a-token":
        return '{"code": "unknown_token"}\n401'
    if data != EXAMPLE:
        return '{"code": "invalid"}\n400'
    return '{"message_id": "an-id", "status": "queued"}\n202'


def main() -> None:
    tool, *arguments = Path(sys.argv[0]).name, *sys.argv[1:]
    # Before the lock: what is read may come from another stand-in.
    given = sys.stdin.buffer.read() if tool == "docker" and arguments[0] != "push" else b""
    with Path(os.environ["WORLD"]).open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        world = json.load(file)
        world["calls"].append([tool, *arguments])
        if tool == "docker":
            printed = docker(world, arguments, given)
        else:
            printed = {"aws": aws, "terraform": terraform, "curl": curl}[tool](world, arguments)
        file.seek(0)
        file.truncate()
        json.dump(world, file)
    sys.stdout.write(f"{printed}\n")
