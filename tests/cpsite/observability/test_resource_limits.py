import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cpsite.observability import resource_limits


@pytest.fixture
def cgroups(tmp_path, monkeypatch):
    """A machine whose processes are in no cgroup."""
    own = tmp_path / "own"
    own.write_text("")
    monkeypatch.setattr(resource_limits.cgroup_cpus, "__defaults__", (tmp_path, own))
    monkeypatch.setattr(resource_limits.cgroup_memory, "__defaults__", (tmp_path, own))
    monkeypatch.delenv("ECS_CONTAINER_METADATA_URI_V4", raising=False)
    return tmp_path


def files(root, **texts):
    root.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (root / name.replace("_", ".", 1)).write_text(text)


@pytest.fixture
def agent(monkeypatch, cgroups):
    """The ECS agent: set `answer` to what it should return."""

    class Agent(BaseHTTPRequestHandler):
        answer = b""
        asked: list[str] = []

        def do_GET(self):
            self.asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.answer)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Agent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(
        "ECS_CONTAINER_METADATA_URI_V4", f"http://127.0.0.1:{server.server_port}/v4/container"
    )
    yield Agent
    server.shutdown()
    server.server_close()


def machine():
    return resource_limits.Limits(
        cpu_cores=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )


def test_a_task_has_its_own_limits(agent):
    agent.answer = json.dumps({"Family": "x", "Limits": {"CPU": 0.25, "Memory": 512}}).encode()
    assert resource_limits.find() == resource_limits.Limits(
        cpu_cores=0.25, memory_bytes=512 * 1024**2
    )
    assert agent.asked[-1] == "/v4/container/task"


@pytest.mark.parametrize("answer", [b"", b"no JSON", b"{}", b'{"Limits": {}}'])
def test_an_agent_that_says_nothing_is_passed_over(agent, answer):
    agent.answer = answer
    assert resource_limits.find() == machine()


def test_an_agent_that_is_not_there_is_passed_over(cgroups, monkeypatch):
    monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", "http://127.0.0.1:1/v4/container")
    assert resource_limits.find() == machine()


def test_the_narrowest_cgroup_around_us_counts(cgroups):
    (cgroups / "own").write_text("0::/outer/inner\n")
    files(cgroups / "outer" / "inner", cpu_max="max 100000\n", memory_max="209715200\n")
    files(cgroups / "outer", cpu_max="50000 100000\n", memory_max="104857600\n")
    assert resource_limits.find() == resource_limits.Limits(cpu_cores=0.5, memory_bytes=104857600)


def test_in_a_container_the_outermost_cgroup_is_its_own(cgroups):
    (cgroups / "own").write_text("0::/../../of/the/host\n")
    files(cgroups, cpu_max="25000 100000\n", memory_max="104857600\n")
    assert resource_limits.find() == resource_limits.Limits(cpu_cores=0.25, memory_bytes=104857600)


def test_cgroups_of_version_1(cgroups):
    (cgroups / "own").write_text("4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n1:name=x:/\n")
    files(cgroups / "cpu", cpu_cfs_quota_us="25000\n", cpu_cfs_period_us="100000\n")
    files(cgroups / "memory", memory_limit_in_bytes="104857600\n")
    assert resource_limits.find() == resource_limits.Limits(cpu_cores=0.25, memory_bytes=104857600)


def test_no_limit_is_the_machines(cgroups):
    (cgroups / "own").write_text("4:cpu,cpuacct:/\n3:memory:/\n")
    files(cgroups / "cpu", cpu_cfs_quota_us="-1\n", cpu_cfs_period_us="100000\n")
    files(cgroups / "memory", memory_limit_in_bytes="9223372036854771712\n")
    assert resource_limits.find() == machine()
