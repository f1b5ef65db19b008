"""The command, run in this process. For signals and real processes see tests/end_to_end."""

import signal
import socket

import pytest
from django.core.management import CommandError, call_command

from tests import factories
from validator.publisher import publish_message

pytestmark = pytest.mark.django_db


def _run(*arguments):
    call_command("run_uploader", "--metrics-port", "0", *arguments)


def test_it_drains_the_queue_and_stops(queue, bucket, capsys):
    for _ in range(3):
        publish_message(factories.message().encode())
    _run("--drain")
    assert len(bucket.keys()) == 1  # the same message, three times
    assert queue.count() == {"visible": 0, "in_flight": 0}


def test_the_banner_shows_the_configuration(queue, bucket, capsys, aws_endpoint):
    _run("--drain", "--concurrency", "3", "--max-messages", "7")
    banner = capsys.readouterr().out
    for text in (
        queue.url,
        f"s3://{bucket.name}/messages/",
        "3 threads",
        "after 7 messages or when the queue is empty",
        "http://127.0.0.1:",
        aws_endpoint,
    ):
        assert text in banner


def test_max_messages(queue, bucket):
    for number in range(5):
        publish_message(factories.message(data={"field1": str(number)}).encode())
    _run("--max-messages", "2")
    assert queue.count()["visible"] == 3


@pytest.mark.parametrize("option", ["--concurrency", "--max-messages"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_numbers_must_be_whole_and_positive(option, value):
    with pytest.raises(CommandError, match="whole number above 0"):
        _run(f"{option}={value}")


def test_a_busy_metrics_port_is_one_clear_line(queue, bucket):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CommandError, match=f"{port}.*UPLOADER_METRICS_PORT"):
            call_command("run_uploader", "--metrics-port", str(port))


def test_signal_handlers_are_restored(queue, bucket):
    before = [signal.getsignal(number) for number in (2, 15)]
    _run("--drain")
    assert [signal.getsignal(number) for number in (2, 15)] == before
