"""A real uploader while credentials, STS, S3 and SQS fail in turn: `make soak` does so for long."""

import os
import time
from contextlib import ExitStack, closing

import pytest

from tests import factories
from tests.gate import Gate
from tests.stands import s3
from tests.stands.credentials import Metadata, Sts
from tests.stands.s3 import S3
from tests.stands.server import Answer
from tests.waiting import wait_for

pytestmark = pytest.mark.end_to_end

#: Seconds of the soak; `make soak` sets 300.
SECONDS = float(os.environ.get("SOAK_SECONDS", "30"))
#: Log lines that a soak of five minutes may take, those of stored messages aside.
LINES_MAX = 200


def _message(services):
    message = factories.accepted(client="alice", data=factories.fields())
    services.queue.send(factories.kombu_envelope(message.encode()))
    return message


def _faults(issuer, stand, gate):
    """Yield, for ever, a function that breaks something; then everything works again."""
    while True:
        for state in ("down", "hangs", "refused", "expired"):
            yield lambda state=state: setattr(issuer, "state", state)
        for answer in (
            s3.error(503, "SlowDown"),
            s3.error(400, "KMS.DisabledException"),
            s3.error(403, "AccessDenied"),
            s3.error(400, "ExpiredToken"),
            s3.PERMANENT_REDIRECT,
            s3.HTML_OF_A_PROXY,
            Answer(507),
        ):
            yield lambda answer=answer: setattr(stand, "always", answer)
        yield gate.shut


def _pointing_at(issuer, source, scratch):
    if source == "sts":
        return issuer.environment(scratch)
    return issuer.container_environment() if source == "container" else issuer.environment()


def _own_lines(process):
    return [line for line in process.lines() if line["event"] != "message_stored"]


@pytest.mark.slow(reason="goes on at length")
@pytest.mark.parametrize("source", ["container", "instance", "sts"])
def test_everything_is_stored_and_little_is_logged(services, aws_endpoint, tmp_path, source):
    with ExitStack() as stack:
        issuer = stack.enter_context((Sts if source == "sts" else Metadata)(lifetime=8))
        stand = stack.enter_context(S3(credentials=lambda: issuer.issued))
        gate = stack.enter_context(closing(Gate(aws_endpoint, 0)))
        uploader = services.uploader(
            AWS_ACCESS_KEY_ID="",
            AWS_SECRET_ACCESS_KEY="",
            AWS_ENDPOINT_URL_SQS=gate.url,
            AWS_ENDPOINT_URL_S3=stand.url,
            S3_TIMEOUT_SECONDS="2",
            **_pointing_at(issuer, source, tmp_path),
        )
        sent = []
        until = time.monotonic() + SECONDS
        for break_something in _faults(issuer, stand, gate):
            if time.monotonic() >= until:
                break
            break_something()
            for _ in range(8):
                sent.append(_message(services))
                time.sleep(0.25)
            issuer.state, stand.always = "ok", None
            gate.open()
            time.sleep(1)
        wait_for(lambda: len(stand.objects) == len(sent), "all objects", 180)
        # One whose delete has failed comes back after its visibility timeout.
        nothing = {"visible": 0, "in_flight": 0}
        wait_for(lambda: services.queue.count() == nothing, "an empty queue", 180)
        assert uploader.popen.poll() is None
        assert uploader.stop() == 0
    bodies = {message.encode().encode() for message in sent}
    assert set(stand.objects.values()) == bodies
    assert services.queue.count() == nothing
    assert services.queue.count(dead=True) == nothing
    lines = _own_lines(uploader)
    print(f"{source}: {SECONDS:.0f} s, {len(sent)} messages stored, {len(lines)} log lines")
    assert len(lines) < LINES_MAX, [line["event"] for line in lines]
    assert "private" not in uploader.log.read_text()


@pytest.mark.parametrize("state", ["down", "hangs"])
def test_an_uploader_that_starts_without_credentials_recovers(services, state):
    """botocore would keep `None` for the life of the process."""
    message = _message(services)
    with Metadata(state=state) as metadata, S3(credentials=lambda: metadata.issued) as stand:
        uploader = services.uploader(
            AWS_ACCESS_KEY_ID="",
            AWS_SECRET_ACCESS_KEY="",
            AWS_ENDPOINT_URL_S3=stand.url,
            **metadata.environment(),
        )
        wait_for(
            lambda: any(line["event"] == "credentials_not_found" for line in uploader.lines()),
            "the log line",
        )
        assert services.manage("check_uploader").returncode == 0
        metadata.state = "ok"
        wait_for(lambda: stand.objects, "the object")
        assert uploader.stop() == 0
    assert list(stand.objects.values()) == [message.encode().encode()]
    events = [line["event"] for line in uploader.lines()]
    assert events.count("credentials_not_found") == 1


def test_a_validator_whose_credentials_expire_answers_503_and_recovers(services):
    with Metadata(lifetime=4) as metadata:
        services.validator(
            AWS_ACCESS_KEY_ID="",
            AWS_SECRET_ACCESS_KEY="",
            **metadata.container_environment(),
        )
        assert services.post(factories.fields())[0] == 202
        metadata.state = "expired"
        status, answer = wait_for(
            lambda: _unless(202, services.post(factories.fields())), "the expiry"
        )
        assert (status, answer["code"]) == (503, "queue_unavailable")
        metadata.state = "ok"
        wait_for(lambda: services.post(factories.fields())[0] == 202, "credentials")


def _unless(status, answer):
    return None if answer[0] == status else answer
