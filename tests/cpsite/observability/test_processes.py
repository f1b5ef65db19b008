import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cpsite.observability.processes import LOOKS, ServiceProcesses
from tests.waiting import wait_for

TICKS = os.sysconf("SC_CLK_TCK")

#: Starts two children that compute and share much memory; replaces one on SIGUSR1.
MASTER = """
import os, signal, time
held = bytearray(64 * 1024 * 1024)
def child(files):
    pid = os.fork()
    if not pid:
        held = [open(os.devnull) for _ in range(files)]
        while True: sum(range(100_000))
    return pid
def replace(*_):
    global first
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    first = child(0)
first = child(0)
child(50)
signal.signal(signal.SIGUSR1, replace)
print("ready", flush=True)
while True: time.sleep(1)
"""


@pytest.fixture
def master():
    process = subprocess.Popen(
        [sys.executable, "-c", MASTER], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def samples(processes):
    return {
        sample.name: sample.value for metric in processes.collect() for sample in metric.samples
    }


def test_all_processes_count_as_one(master):
    processes = ServiceProcesses(master.pid)
    wait_for(lambda: samples(processes)["process_cpu_seconds_total"] > 0.5, "work of both children")
    found = samples(processes)
    assert found.keys() == {
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    }
    # All three processes share the same 64 MiB.
    assert 64 * 1024**2 < found["process_resident_memory_bytes"] < 128 * 1024**2
    # Of the process that has the most.
    assert 50 < found["process_open_fds"] < 70
    assert found["process_open_fds"] < found["process_max_fds"]
    started = Path(f"/proc/{master.pid}").stat().st_ctime
    assert found["process_start_time_seconds"] == pytest.approx(started, abs=5)


def test_cpu_time_outlives_the_process_that_used_it(master):
    processes = ServiceProcesses(master.pid)
    wait_for(lambda: processes.usage().cpu_seconds > 0.5, "work of both children")
    seen = [processes.usage().cpu_seconds]
    for _ in range(3):
        os.kill(master.pid, signal.SIGUSR1)
        seen += [processes.usage().cpu_seconds for _ in range(50)]
    assert seen == sorted(seen)


def write(proc, pid, *, parent, own=0, reaped=0, state="S"):
    """What /proc has of a process, in ticks."""
    directory = proc / str(pid)
    (directory / "fd").mkdir(parents=True, exist_ok=True)
    # proc(5): state, parent, then eight fields that are not used, and so on.
    fields = [state, parent, *[0] * 9, own, 0, reaped, 0, *[0] * 4, 500, 0, 7]
    (directory / "stat").write_text(f"{pid} (a (strange) name) {' '.join(map(str, fields))}\n")
    (directory / "limits").write_text(
        "Max open files            unlimited            4096  files\n"
    )


@pytest.fixture
def proc(tmp_path):
    (tmp_path / "stat").write_text("cpu 1 2 3\nbtime 1000000\n")
    (tmp_path / "self").mkdir()
    write(tmp_path, 10, parent=1, own=100, reaped=1000)
    write(tmp_path, 11, parent=10, own=200)
    write(tmp_path, 12, parent=1, own=50_000)
    return tmp_path


def test_foreign_processes_do_not_count(proc):
    usage = ServiceProcesses(10, proc=proc).usage()
    assert usage.cpu_seconds == 1300 / TICKS
    assert usage.started_at == 1_000_000 + 500 / TICKS
    assert usage.max_files == float("inf")
    # A kernel without smaps_rollup.
    assert usage.memory_bytes == 2 * 7 * os.sysconf("SC_PAGE_SIZE")


def test_a_worker_that_is_reaped_between_two_looks_counts_once(proc, monkeypatch):
    processes = ServiceProcesses(10, proc=proc)
    list_children, looks = processes._children, []

    def children():
        found = list_children()
        looks.append(found)
        if len(looks) == 1:
            write(proc, 11, parent=1)
            write(proc, 10, parent=1, own=100, reaped=1200)
        return found

    monkeypatch.setattr(processes, "_children", children)
    assert processes.usage().cpu_seconds == 1300 / TICKS
    assert len(looks) == 2


def test_a_worker_that_is_reaped_and_still_there_counts_once(proc, monkeypatch):
    """The kernel adds its time to the master's before it removes the worker."""
    write(proc, 10, parent=1, own=100, reaped=1200)
    write(proc, 11, parent=10, own=200, state="X")
    processes = ServiceProcesses(10, proc=proc)
    list_children, looks = processes._children, []

    def children():
        found = list_children()
        looks.append(found)
        write(proc, 11, parent=1)
        return found

    monkeypatch.setattr(processes, "_children", children)
    assert processes.usage().cpu_seconds == 1300 / TICKS
    assert len(looks) == 2


def test_it_does_not_look_for_ever(proc, monkeypatch):
    processes = ServiceProcesses(10, proc=proc)
    reaped = iter(range(2000, 3000))

    def children():
        write(proc, 10, parent=1, reaped=next(reaped))
        return {}

    monkeypatch.setattr(processes, "_children", children)
    processes.usage()
    assert next(reaped) == 2000 + LOOKS


def test_where_there_is_no_proc_there_is_nothing(tmp_path):
    assert samples(ServiceProcesses(10, proc=tmp_path)) == {}
