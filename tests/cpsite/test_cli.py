"""A process whose output is no longer read: in real processes, with real pipes."""

import os
import subprocess
import sys

import pytest

from cpsite.cli import UNREAD, readers_may_leave

BEGIN = "import os, socket, sys; from cpsite.cli import readers_may_leave\n"


def run(code, *, reader="nobody"):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", BEGIN + code]
    if reader == "closed":
        command = ["bash", "-c", 'exec "$@" >&-', "bash", *command]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "with readers_may_leave(): print('short')",
        "with readers_may_leave(): print('x' * 1_000_000); sys.exit('goes on')",
        "with readers_may_leave(): print('now', flush=True); sys.exit('goes on')",
        "with readers_may_leave(): sys.stdout.writelines(['x' * 1_000_000]); sys.exit('goes on')",
        "with readers_may_leave(): print('before'); sys.exit(0)",
    ],
)
def test_a_command_ends_quietly(code):
    assert run(code) == (UNREAD, "")


def test_it_cleans_up_before():
    code = """
with readers_may_leave():
    try:
        print('now', flush=True)
    except OSError:
        sys.exit('taken for an error of a call')
    finally:
        print('cleaned up', file=sys.stderr)
"""
    assert run(code) == (UNREAD, "cleaned up\n")


def test_what_serves_goes_on():
    code = """
with readers_may_leave(exit_code=None):
    for _ in range(3):
        print('banner', flush=True)
    print('served', file=sys.stderr)
"""
    assert run(code) == (0, "served\n")


def test_another_broken_pipe_stays_an_error():
    code = """
ours, theirs = socket.socketpair()
theirs.close()
with readers_may_leave():
    ours.send(b'x')
"""
    status, errors = run(code)
    assert status == 1
    assert "BrokenPipeError" in errors


def test_a_process_without_standard_output_works():
    code = "with readers_may_leave(): print('to nobody'); sys.exit(3)"
    assert run(code, reader="closed") == (3, "")


def test_afterwards_the_streams_are_what_they_were(capsys):
    before = sys.stdout, sys.stderr
    with readers_may_leave():
        print("hello")
        print("error", file=sys.stderr)
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("hello\n", "error\n")
