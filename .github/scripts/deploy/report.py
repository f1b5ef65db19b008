"""What a job leaves behind: outputs for later steps, and its summary."""

import os
from pathlib import Path

from deploy.aws import Aws
from deploy.names import Task
from deploy.release import Released


def output(name: str, value: str) -> None:
    """Print a value and hand it to later steps of the job, where there is one."""
    print(f"{name}={value}", flush=True)
    _append("GITHUB_OUTPUT", f"{name}={value}\n")


def succeeded(aws: Aws, service: Task, image: str, done: Released) -> None:
    """Write the summary of a release."""
    sleeps = " (asleep: the revision first runs when autoscaling wakes the service)"
    rows = {
        "image": f"`{image}`",
        "revision": f"`{done.revision}`",
        "before": f"`{done.previous}`",
        **{f"{each.name} as well": f"`{revision}`" for each, revision in done.companions.items()},
        "running tasks": f"{done.tasks}{'' if done.tasks else sleeps}",
        "smoke test": "<br>".join(done.smoke),
        "links": _links(aws, service),
    }
    table = "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    _summarise(f"### {service.family} is deployed\n\n| | |\n| --- | --- |\n{table}")


def failed(service: Task, command: str, reason: str) -> None:
    """Write the summary of a step that failed."""
    _summarise(f"### {service.family} is not deployed\n\n`{command}` failed: {reason}\n")


def _links(aws: Aws, service: Task) -> str:
    console = f"https://{aws.region}.console.aws.amazon.com"
    group = service.log_group.replace("/", "$252F")
    links = {
        "service": f"{console}/ecs/v2/clusters/{service.cluster}/services/{service.family}"
        f"/health?region={aws.region}",
        "logs": f"{console}/cloudwatch/home?region={aws.region}"
        f"#logsV2:log-groups/log-group/{group}",
    }
    return ", ".join(f"[{name}]({url})" for name, url in links.items())


def _summarise(text: str) -> None:
    print(text, flush=True)
    _append("GITHUB_STEP_SUMMARY", text + "\n")


def _append(variable: str, text: str) -> None:
    if path := os.environ.get(variable):
        with Path(path).open("a") as file:
            file.write(text)
