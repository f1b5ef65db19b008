"""What SQS and S3 really answer, and how they are really configured, met by a real uploader."""

import base64
import gzip
import json
from collections import Counter
from contextlib import closing
from hashlib import sha256

import pytest

from tests import factories
from tests.gate import Gate
from tests.stands import s3
from tests.stands.s3 import S3
from tests.stands.server import Answer, Stand
from tests.stands.tls import make_certificates
from tests.waiting import wait_for

pytestmark = pytest.mark.end_to_end

#: What object_store would obey, and boto3 does not know.
OBJECT_STORES_OWN = {
    "AWS_SKIP_SIGNATURE": "true",
    "AWS_UNSIGNED_PAYLOAD": "true",
    "AWS_REQUEST_PAYER": "true",
    "AWS_SERVER_SIDE_ENCRYPTION": "AES256",
    "AWS_PROXY_URL": "http://127.0.0.1:1",
    "AWS_TIMEOUT": "1ms",
}
OUR_HEADERS = {
    *("host", "accept", "user-agent", "content-length", "content-type", "authorization"),
    *("x-amz-date", "x-amz-content-sha256", "x-amz-checksum-sha256"),
}


def _send(services, number=1, **changes):
    """Put messages on the queue, and return what their objects must be."""
    sent = [
        factories.accepted(client="alice", data=factories.fields(**changes)).encode()
        for _ in range(number)
    ]
    for body in sent:
        services.queue.send(factories.kombu_envelope(body))
    return {body.encode() for body in sent}


def _events(process):
    return Counter(line["event"] for line in process.lines())


def _errors(process, event="write_failed"):
    """How many lines of this event name each error."""
    return Counter(line["error"] for line in process.lines() if line["event"] == event)


@pytest.mark.parametrize("way", ["AWS_CA_BUNDLE", "ca_bundle"])
def test_a_private_store_with_a_path_and_object_lock_takes_every_message(services, tmp_path, way):
    """Its authority is trusted wherever boto3 finds it, and only boto3's variables hold."""
    bundle, server = make_certificates(tmp_path)
    config = tmp_path / "config"
    config.write_text(f"[default]\nca_bundle = {bundle}\n")
    trust = {"AWS_CONFIG_FILE": str(config)} if way == "ca_bundle" else {way: str(bundle)}
    with S3(certificate=server, prefix="/storage/v1/s3") as stand:
        stand.locked = True
        bodies = _send(services, 3)
        uploader = services.uploader(
            "--drain",
            AWS_ENDPOINT_URL_S3=f"{stand.url}/storage/v1/s3",
            **trust,
            **OBJECT_STORES_OWN,
        )
        assert uploader.wait() == 0, uploader.log.read_text()
    assert set(stand.objects.values()) == bodies
    assert all(key.startswith(f"/{services.bucket.name}/messages/") for key in stand.objects)
    for request in stand.requests:
        digest = sha256(request.body)
        assert request.headers.keys() == OUR_HEADERS
        assert request.headers["x-amz-content-sha256"] == digest.hexdigest()
        checksum = base64.b64encode(digest.digest()).decode()
        assert request.headers["x-amz-checksum-sha256"] == checksum


class Refusing(Stand):
    """A proxy that lets nobody through, and so sees where each connection would have gone."""

    def answer(self, request):
        return Answer(503)

    def hosts(self):
        return {request.path for request in self.requests if request.method == "CONNECT"}


@pytest.mark.parametrize(
    ("variables", "host"),
    [
        ({"S3_REGION": "eu-west-1"}, "lake.s3.dualstack.eu-west-1.amazonaws.com"),
        (
            {"S3_BUCKET": "arn:aws:s3:us-west-2:123456789012:accesspoint/lake"},
            "lake-123456789012.s3-accesspoint.dualstack.us-west-2.amazonaws.com",
        ),
    ],
    ids=["another region", "access point"],
)
def test_writes_go_where_boto3_would_send_them(services, tmp_path, variables, host):
    """tests/cpsite/test_storage_as_boto3.py has the whole table."""
    config = tmp_path / "config"
    config.write_text("[default]\ns3 =\n  use_dualstack_endpoint = true\n")
    with Refusing() as proxy:
        _send(services)
        environment = {
            "AWS_ENDPOINT_URL": "",
            "AWS_ENDPOINT_URL_SQS": services.environment["AWS_ENDPOINT_URL"],
            "AWS_CONFIG_FILE": str(config),
            "HTTPS_PROXY": proxy.url,
            "S3_BUCKET": "lake",
        }
        services.uploader(**environment | variables)
        wait_for(proxy.hosts, "a write")
        assert proxy.hosts() == {f"{host}:443"}


def test_the_log_names_the_kind_of_each_failure_of_s3_and_not_its_words(services):
    with S3() as stand, closing(Gate(stand.url, 0)) as gate:
        named = {
            "storage_wrong_region": s3.PERMANENT_REDIRECT,
            "storage_timed_out": Answer(hangs=True),
            "aws_403": s3.HTML_OF_A_PROXY,
            "aws_KMS.DisabledException": s3.error(400, "KMS.DisabledException"),
        }
        stand.always = s3.PERMANENT_REDIRECT
        bodies = _send(services, 2)
        uploader = services.uploader(AWS_ENDPOINT_URL_S3=gate.url, S3_TIMEOUT_SECONDS="1")
        for name, answer in named.items():
            stand.always = answer
            wait_for(lambda name=name: name in _errors(uploader), name)
        gate.shut()
        wait_for(lambda: "storage_connection_lost" in _errors(uploader), "the shut gate")
        stand.always = None
        gate.open()
        wait_for(lambda: set(stand.objects.values()) == bodies, "both objects")
        assert uploader.stop() == 0
    assert services.queue.count(dead=True) == {"visible": 0, "in_flight": 0}
    assert "rivate words" not in uploader.log.read_text()
    assert "Access blocked" not in uploader.log.read_text()


def test_a_certificate_and_a_host_that_cannot_be_trusted_or_found_are_named(services, tmp_path):
    _, server = make_certificates(tmp_path)
    with S3(certificate=server) as stand:
        _send(services)
        uploader = services.uploader(AWS_ENDPOINT_URL_S3=stand.url)
        wait_for(lambda: "storage_certificate" in _errors(uploader), "the line")
        assert uploader.stop() == 0
    assert stand.requests == []
    uploader = services.uploader(AWS_ENDPOINT_URL_S3="http://no-such-host.invalid")
    wait_for(lambda: "storage_dns" in _errors(uploader), "the line")


def _set(services, **attributes):
    services.queue.client.set_queue_attributes(QueueUrl=services.queue.url, Attributes=attributes)


def test_a_change_of_the_visibility_timeout_is_followed_while_messages_are_in_flight(services):
    _set(services, VisibilityTimeout="16")
    with S3() as stand:
        stand.always = Answer(hangs=True)
        uploader = services.uploader(AWS_ENDPOINT_URL_S3=stand.url, S3_TIMEOUT_SECONDS="1")
        _set(services, VisibilityTimeout="60")
        first = _send(services)
        # Received for 16 seconds, which the queue had at the start.
        wait_for(lambda: min(services.queue.hidden_for()) > 20, "an extension by the new timeout")
        _set(services, VisibilityTimeout="1")
        # The receive under way may have begun before that. The one after it has not.
        bodies = first | _send(services)
        wait_for(lambda: services.queue.deliveries() == [1, 1], "the second one")
        bodies |= _send(services)
        wait_for(lambda: len(services.queue.deliveries()) == 3, "the third one on the queue")
        wait_for(lambda: min(services.queue.deliveries()) == 1, "the third one")
        assert min(services.queue.hidden_for()) > 1
        stand.always = None
        wait_for(lambda: set(stand.objects.values()) == bodies, "all objects")
        assert uploader.stop() == 0
    stored = [line for line in uploader.lines() if line["event"] == "message_stored"]
    assert [line["attempts"] for line in stored] == [1, 1, 1]
    assert services.queue.count() == {"visible": 0, "in_flight": 0}


def test_messages_that_sqs_has_no_more_are_logged_once_and_stored(services):
    """As after a purge, or when the retention of the queue is over."""
    _set(services, VisibilityTimeout="10")
    with S3() as stand:
        stand.always = Answer(hangs=True)
        bodies = _send(services, 30)
        uploader = services.uploader(
            "--concurrency", "30", AWS_ENDPOINT_URL_S3=stand.url, S3_TIMEOUT_SECONDS="1"
        )
        wait_for(lambda: min(services.queue.deliveries()) == 1, "all in flight")
        services.queue.client.purge_queue(QueueUrl=services.queue.url)
        wait_for(lambda: _events(uploader)["visibility_not_extended"], "the refusal")
        tried = len(stand.requests)
        # Each is tried twice more, while its visibility would be due again.
        wait_for(lambda: len(stand.requests) > tried + 60, "further attempts")
        stand.always = None
        wait_for(lambda: set(stand.objects.values()) == bodies, "all objects")
        assert uploader.stop() == 0
    assert set(_errors(uploader, "visibility_not_extended").values()) == {1}
    assert len(uploader.lines()) - len(bodies) < 30


def test_poison_on_a_queue_without_dead_letters_comes_ever_more_rarely(services):
    _set(services, RedrivePolicy="")
    for number in range(13):
        services.queue.send(f"poison {number}")
    uploader = services.uploader()
    wait_for(lambda: min(services.queue.deliveries()) >= 2, "each of them twice")
    # Five seconds at first, ten then.
    wait_for(
        lambda: any(5 < seconds <= 10 for seconds in services.queue.hidden_for()),
        "a longer pause",
    )
    assert uploader.stop() == 0
    assert services.audit() == [("failed", "undecodable")] * 13
    events = _events(uploader)
    assert events["queue_without_dead_letters"] == 1
    assert events["message_failed"] == events["message_undecodable"] == 13


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        (
            {
                "S3_BUCKET": "s3://lake",
                "SQS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/q",
                "SQS_DLQ_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/q",
            },
            [
                "S3_BUCKET is not the name of a bucket",
                "SQS_DLQ_URL and SQS_QUEUE_URL name the same queue",
                "SQS_QUEUE_URL is at sqs.eu-west-1.amazonaws.com, but the client will call",
            ],
        ),
        (
            {"SQS_QUEUE_URL": "http://127.0.0.1/123456789012/q.fifo"},
            ["SQS_QUEUE_URL names a FIFO queue"],
        ),
    ],
    ids=["several", "a FIFO queue"],
)
def test_a_queue_or_bucket_that_cannot_work_is_refused_with_the_fix(services, variables, named):
    uploader = services.uploader(**variables)
    assert uploader.wait() == 1
    text = uploader.log.read_text()
    assert all(problem in text for problem in named)
    assert text.count("HINT: ") >= len(named)
    assert "Traceback" not in text


def test_every_message_of_a_batch_is_one_line_for_every_reader(services):
    """`splitlines` takes these characters for ends of lines, and JSON does not."""
    bodies = _send(services, 2, field1="one\x85two\u2028three\u2029")
    with S3() as stand:
        uploader = services.uploader("--layout", "batch", "--drain", AWS_ENDPOINT_URL_S3=stand.url)
        assert uploader.wait() == 0
    (batch,) = stand.objects.values()
    lines = gzip.decompress(batch).decode().splitlines()
    assert {line.encode() for line in lines} == bodies
    assert {json.loads(line)["data"]["field1"] for line in lines} == {"one\x85two\u2028three\u2029"}
