import socket
import urllib.request

import pytest

from cpsite import metrics


def test_serves_this_process_values():
    server = metrics.serve("127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        with urllib.request.urlopen(url) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
    assert "# TYPE audit_write_failures_total counter" in text
    assert "process_cpu_seconds_total" in text


def test_several_workers_may_share_the_port():
    first = metrics.serve("127.0.0.1", 0, shared=True)
    second = metrics.serve("127.0.0.1", first.server_port, shared=True)
    for server in (first, second):
        server.shutdown()
        server.server_close()


def test_another_service_may_not_share_the_port():
    server = metrics.serve("127.0.0.1", 0)
    try:
        with pytest.raises(OSError, match="in use"):
            metrics.serve("127.0.0.1", server.server_port)
    finally:
        server.shutdown()
        server.server_close()


def test_a_port_of_somebody_else_is_an_error():
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(OSError, match="in use"),
    ):
        metrics.serve("127.0.0.1", other.getsockname()[1])
