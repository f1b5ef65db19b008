import os
import socket
import urllib.request

import pytest

from cpsite.observability import metrics
from cpsite.observability.resource_limits import Limits

ALONE = metrics.Service("uploader", Limits(cpu_cores=0.25, memory_bytes=512 * 1024**2))
WORKER = metrics.Service("validator", ALONE.limits, master=os.getppid())


def test_serves_this_process_values(settings):
    settings.CPSITE_REVISION = "4a1c9e0"
    server = metrics.serve("127.0.0.1", 0, ALONE)
    try:
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        with urllib.request.urlopen(url) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
    assert "# TYPE audit_write_failures_total counter" in text
    assert text.count("# TYPE process_cpu_seconds_total counter") == 1
    assert 'cpsite_build_info{revision="4a1c9e0",service="uploader"} 1.0' in text
    assert "cpsite_cpu_limit_cores 0.25" in text
    assert "cpsite_memory_limit_bytes 5.36870912e+08" in text


@pytest.mark.parametrize("host", ["::1", "[::1]", "::", "localhost"])
def test_serves_on_ipv6_and_on_names(host):
    server = metrics.serve(host, 0, ALONE)
    try:
        name = "localhost" if host == "localhost" else "[::1]"
        with urllib.request.urlopen(f"http://{name}:{server.server_port}/metrics") as answer:
            assert answer.status == 200
    finally:
        server.shutdown()
        server.server_close()


def test_several_workers_may_share_the_port(monkeypatch, tmp_path):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    first = metrics.serve("127.0.0.1", 0, WORKER)
    second = metrics.serve("127.0.0.1", first.server_port, WORKER)
    for server in (first, second):
        server.shutdown()
        server.server_close()


def test_another_service_may_not_share_the_port():
    server = metrics.serve("127.0.0.1", 0, ALONE)
    try:
        with pytest.raises(OSError, match="in use"):
            metrics.serve("127.0.0.1", server.server_port, ALONE)
    finally:
        server.shutdown()
        server.server_close()


def test_a_port_of_somebody_else_is_an_error():
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(OSError, match="in use"),
    ):
        metrics.serve("127.0.0.1", other.getsockname()[1], ALONE)
