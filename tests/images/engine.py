"""podman with a storage of the tests' own, and containers as ECS would run them."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: As terraform/modules/task says: nothing is written but what the image declares as a volume.
HARDENED = (
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL"),
    "--security-opt=no-new-privileges",
)
CONFIGURATION = """
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "{runtime}"
[network]
network_backend = "netavark"
[containers]
# Not more than a machine without the right to raise them has.
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
"""


@dataclass(frozen=True)
class Engine:
    """podman; all that it keeps is below `storage`."""

    storage: Path

    @property
    def options(self) -> list[str]:
        """podman's options before its command."""
        return [
            *("--root", str(self.storage / "root"), "--runroot", str(self.storage / "run")),
            *("--storage-driver", "overlay"),
        ]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "CONTAINERS_CONF": str(self.storage / "containers.conf")}

    def prepare(self) -> None:
        """Write what podman reads. Fails the run where it is not installed, or not run as root."""
        if os.geteuid():
            pytest.fail("needs root: it stops processes of other users, which containers have")
        missing = [name for name in ("podman", "netavark") if not _is_installed(name)]
        runtime = next(filter(shutil.which, ("runc", "crun")), None)
        if missing or runtime is None:
            pytest.fail(f"not installed: {', '.join(missing) or 'runc'}")
        self.storage.mkdir(parents=True, exist_ok=True)
        (self.storage / "containers.conf").write_text(CONFIGURATION.format(runtime=runtime))

    def unmount(self) -> None:
        """Undo the mounts that podman keeps, so that the storage can be removed."""
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted(mounts, reverse=True):
            if mount.startswith(f"{self.storage}/"):
                subprocess.run(["umount", mount], check=True)

    def try_run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["podman", *self.options, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def __call__(self, *arguments: str) -> str:
        """Return what podman prints. Fails the test when it fails."""
        done = self.try_run(*arguments)
        if done.returncode:
            pytest.fail(f"podman {' '.join(arguments)}: {done.stdout[-4000:]}{done.stderr[-4000:]}")
        return done.stdout.strip()

    def build(self, context: Path, *options: str, tag: str, pull: bool = False) -> None:
        self(
            *("build", "--quiet", "--format", "docker", "--isolation", "chroot"),
            *("--network", "host", f"--pull={'missing' if pull else 'never'}"),
            *("--tag", tag, *options, str(context)),
        )

    def inspect(self, image: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self("image", "inspect", image))
        return found[0]

    def look(self, image: str, *command: str, options: tuple[str, ...] = ()) -> str:
        """Return what a command prints in a container that is gone afterwards."""
        return self("run", "--rm", "--network=none", *HARDENED, *options, image, *command)

    def start(
        self,
        image: str,
        *command: str,
        environment: Mapping[str, str],
        options: tuple[str, ...] = (),
    ) -> "Container":
        """Start a container on this machine's network."""
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        started = self(
            *("run", "--detach", "--network=host", *HARDENED, *options, *variables),
            *(image, *command),
        )
        return Container(self, started)


def _is_installed(name: str) -> bool:
    return bool(shutil.which(name)) or any(
        Path(directory, name).exists() for directory in ("/usr/lib/podman", "/usr/libexec/podman")
    )


@dataclass(frozen=True)
class Container:
    engine: Engine
    id: str

    def is_healthy(self) -> bool:
        """Run the image's health check, once."""
        return self.engine.try_run("healthcheck", "run", self.id).returncode == 0

    def is_running(self) -> bool:
        return self.state("Running") == "true"

    def stop(self) -> int:
        """Ask it to stop, as ECS does; return its exit code."""
        self.engine("stop", "--time=30", self.id)
        return self.exit_code()

    def wait(self) -> int:
        self.engine("wait", self.id)
        return self.exit_code()

    def exit_code(self) -> int:
        return int(self.state("ExitCode"))

    def state(self, name: str) -> str:
        return self.engine("inspect", "--format", f"{{{{.State.{name}}}}}", self.id)

    def freeze(self) -> None:
        """Stop all its processes without a word, as a hang does."""
        for pid in self.engine("top", self.id, "hpid").split()[1:]:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGSTOP)

    def logs(self) -> str:
        done = self.engine.try_run("logs", self.id)
        return done.stdout + done.stderr

    def remove(self) -> None:
        self.engine("rm", "--force", "--volumes", "--time=0", self.id)
