"""A base image of our own where none can be pulled: IMAGES_BASE=stand-in.

A minimal Debian from the mirror that this machine installs from, with what the official image of
Python holds besides: Python 3.13 in /usr/local, pip with it. The interpreter is copied from this
machine. It proves the Dockerfile's steps, and nothing about the official image.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.images.engine import Engine

#: What Python's own image installs, and the libraries that its interpreter is linked with.
PACKAGES = (
    *("ca-certificates", "netbase", "tzdata"),
    *("libbz2-1.0", "libexpat1", "libffi8", "liblzma5", "libncursesw6", "libreadline8"),
    *("libsqlite3-0", "libssl3", "libuuid1", "zlib1g"),
)
#: Left out of the interpreter: what Python's own image leaves out as well.
UNUSED = ("__pycache__", "site-packages", "test", "idlelib", "tkinter", "*.a")
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"

DOCKERFILE = """
FROM scratch
ADD root/ /
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
CMD ["python3"]
"""


def build(engine: Engine, tag: str, scratch: Path) -> None:
    """Build the stand-in and give it the name of the image that it stands in for."""
    root = scratch / "root"
    _install_debian(root)
    _copy_python(_find_python(), root / "usr" / "local")
    # Whatever this machine trusts: there may be a proxy between it and the packages.
    shutil.copyfile(f"/{CERTIFICATES}", root / CERTIFICATES)
    _run("chroot", str(root), "sh", "-c", "ldconfig && python -m ensurepip >/dev/null")
    (root / "etc" / "pip.conf").write_text(_pip_configuration())
    (scratch / "Dockerfile").write_text(DOCKERFILE)
    engine.build(scratch, tag=tag)
    shutil.rmtree(root)


def _install_debian(root: Path) -> None:
    suite, mirror = _mirror()
    _run("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, root, mirror)
    for directory in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc"):
        shutil.rmtree(root / directory)


def _mirror() -> tuple[str, str]:
    """Return the suite and the mirror that this machine installs from."""
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if line
    )
    suite = release["VERSION_CODENAME"].strip('"')
    listed = _run("apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)").split("\n")
    for line in listed:
        codename, _, mirror = line.partition(" ")
        if codename == suite:
            return suite, mirror
    pytest.fail(f"apt knows no mirror of {suite}")


def _find_python() -> Path:
    """Return the prefix of a Python 3.13 on this machine."""
    installed = sorted(Path.home().glob(".pyenv/versions/3.13*/bin/python3.13"))
    for found in (shutil.which("python3.13"), *map(str, installed)):
        if found and (prefix := _prefix(found)) is not None:
            return prefix
    pytest.fail("the stand-in's Python is copied from this machine, which has no python3.13")


def _prefix(python: str) -> Path | None:
    """Return where an interpreter is installed, or None for a wrapper that starts none."""
    code = "import sys; print(sys.base_prefix)"
    answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return Path(answer.stdout.strip()) if answer.returncode == 0 else None


def _copy_python(prefix: Path, target: Path) -> None:
    ignored = shutil.ignore_patterns(*UNUSED)
    for directory in ("bin", "lib"):
        (target / directory).mkdir(parents=True, exist_ok=True)
        for path in (prefix / directory).glob("*python*"):
            if path.is_dir():
                shutil.copytree(path, target / directory / path.name, ignore=ignored, symlinks=True)
            elif path.suffix != ".a":
                shutil.copy2(path, target / directory / path.name, follow_symlinks=False)
    (target / "lib" / "python3.13" / "site-packages").mkdir()


def _pip_configuration() -> str:
    """Return where this machine's pip takes packages from, as far as it is not files of its own."""
    listed = _run(sys.executable, "-m", "pip", "config", "list")
    pairs = dict(line.split("=", 1) for line in listed.splitlines())
    found = {name.rpartition(".")[2]: value.strip("'\"") for name, value in pairs.items()}
    lines = ["[global]", f"cert = /{CERTIFICATES}"]
    if "index-url" in found:
        lines.append(f"index-url = {found['index-url']}")
    return "\n".join([*lines, ""])


def _run(*command: str | Path) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}
        )
    except subprocess.CalledProcessError as exc:
        pytest.fail(f"{command[0]} failed: {exc.stdout[-2000:]}{exc.stderr[-2000:]}")
    return done.stdout
