import http.server
import threading
import traceback
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation
from django.core.files.base import ContentFile
from django.core.files.storage import storages

from cpsite.storage import StorageUnreachable
from tests import factories
from uploader.object_keys import object_key
from uploader.storage import StoredElsewhereError, store, warm_up

KEY = "messages/2026/11/23/6b1f1d5e-0000-4000-8000-000000000001.json"


def test_the_key_follows_from_the_message_alone():
    assert object_key(factories.message()) == KEY


def test_the_key_uses_the_date_of_acceptance():
    midnight = factories.message(accepted_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert object_key(midnight).startswith("messages/2026/01/02/")


def test_the_prefix_can_be_set(settings):
    settings.S3_PREFIX = "raw/"
    assert object_key(factories.message()) == KEY.replace("messages/", "raw/", 1)


def test_the_object_is_the_message_byte_for_byte(bucket):
    body = factories.message(data=factories.fields(field1="é\x01")).encode().encode()
    store(KEY, body)
    assert bucket.keys() == [KEY]
    assert bucket.read(KEY) == body
    head = bucket.client.head_object(Bucket=bucket.name, Key=KEY)
    assert head["ContentType"] == "application/json"


def test_storing_again_writes_the_same_object(bucket):
    for _ in range(3):
        store(KEY, b"{}")
    assert bucket.keys() == [KEY]


class S3Stub(http.server.ThreadingHTTPServer):
    """Answers as a test defines, and records the requests."""

    daemon_threads = True

    def __init__(self):
        self.requests = []
        self.answers = []
        self.release = threading.Event()
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                stub.requests.append((self.path, dict(self.headers), body))
                status, text = stub.answers.pop(0) if stub.answers else (200, "")
                if status == "hang":
                    stub.release.wait(30)
                    return
                self.send_response(status)
                self.send_header("ETag", '"e"')
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args):
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def stub(monkeypatch, settings):
    server = S3Stub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
    messages = settings.STORAGES["messages"]
    options = {**messages["OPTIONS"], "bucket_name": "bucket"}
    settings.STORAGES = {**settings.STORAGES, "messages": {**messages, "OPTIONS": options}}
    yield server
    server.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


def _error(code):
    return f"<Error><Code>{code}</Code><Message>private words</Message></Error>"


def test_one_put_and_no_other_call(stub):
    body = factories.message().encode().encode()
    store(KEY, body)
    ((path, headers, sent),) = stub.requests
    assert path == f"/bucket/{KEY}"
    assert sent == body
    # S3 refuses a request that differs from what was signed.
    assert headers["x-amz-content-sha256"] == sha256(body).hexdigest()
    assert headers["content-type"] == "application/json"
    assert "Expect" not in headers
    assert headers["user-agent"].startswith("cpsite/")


@pytest.mark.parametrize("key", ["../x.json", "messages/../../x.json", "/x/../../y.json"])
def test_a_key_that_leaves_the_location_is_refused(stub, settings, key):
    options = settings.STORAGES["messages"]["OPTIONS"] | {"location": "ours"}
    settings.STORAGES = settings.STORAGES | {
        "messages": settings.STORAGES["messages"] | {"OPTIONS": options}
    }
    with pytest.raises(SuspiciousOperation):
        storages["messages"].save(key, ContentFile(b"{}"))
    with pytest.raises(ValueError, match="needs a key"):
        storages["messages"].save("", ContentFile(b"{}"))
    assert not stub.requests


def test_a_large_object_is_one_put_too(stub):
    store(KEY, b"x" * 6_000_000)
    assert len(stub.requests) == 1


def test_batches_are_declared_as_what_they_are(stub):
    store("messages/2026/11/23/b.ndjson.gz", b"")
    assert stub.requests[0][1]["content-type"] == "application/gzip"


@pytest.mark.parametrize(
    ("status", "code", "tries"),
    [
        (503, "SlowDown", 2),
        (500, "InternalError", 2),
        (403, "AccessDenied", 1),
        (404, "NoSuchBucket", 1),
        (400, "ExpiredToken", 1),
        (409, "OperationAborted", 1),
        (412, "PreconditionFailed", 1),
    ],
)
def test_each_refusal_is_boto3s_error_without_s3s_text(stub, status, code, tries):
    stub.answers = [(status, _error(code))] * tries
    with pytest.raises(ClientError) as caught:
        store(KEY, b"{}")
    assert caught.value.response["Error"]["Code"] == code
    assert len(stub.requests) == tries
    assert "private" not in "".join(traceback.format_exception(caught.value))


def test_a_refusal_without_a_code_is_named_by_its_status(stub):
    stub.answers = [(403, "")]
    with pytest.raises(ClientError, match="403"):
        store(KEY, b"{}")


def test_a_server_error_is_tried_again(stub):
    stub.answers = [(503, _error("SlowDown"))]
    store(KEY, b"{}")
    assert len(stub.requests) == 2


def test_a_storage_that_hangs_does_not_hang_us(stub, settings):
    messages = settings.STORAGES["messages"]
    config = Config(
        connect_timeout=1, read_timeout=0.5, retries={"mode": "standard", "total_max_attempts": 2}
    )
    options = {**messages["OPTIONS"], "client_config": config}
    settings.STORAGES = {**settings.STORAGES, "messages": {**messages, "OPTIONS": options}}
    stub.answers = [("hang", "")] * 2
    with pytest.raises(StorageUnreachable):
        store(KEY, b"{}")
    assert len(stub.requests) <= 2


def test_a_storage_that_is_not_there_is_unreachable(monkeypatch, stub):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with pytest.raises(StorageUnreachable):
        store(KEY, b"{}")


def test_an_object_parameter_that_would_be_ignored_is_an_error(stub, settings):
    messages = settings.STORAGES["messages"]
    options = {**messages["OPTIONS"], "object_parameters": {"ACL": "public-read"}}
    settings.STORAGES = {**settings.STORAGES, "messages": {**messages, "OPTIONS": options}}
    with pytest.raises(ImproperlyConfigured, match="ACL"):
        store(KEY, b"{}")


def test_object_parameters_of_the_storage_hold(bucket, settings):
    messages = settings.STORAGES["messages"]
    options = {**messages["OPTIONS"], "object_parameters": {"ServerSideEncryption": "AES256"}}
    settings.STORAGES = {**settings.STORAGES, "messages": {**messages, "OPTIONS": options}}
    store(KEY, b"{}")
    head = bucket.client.head_object(Bucket=bucket.name, Key=KEY)
    assert head["ServerSideEncryption"] == "AES256"
    assert head["ContentType"] == "application/json"


def test_a_refusal_reaches_the_caller(bucket):
    bucket.client.delete_bucket(Bucket=bucket.name)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        store(KEY, b"{}")


def test_all_threads_share_one_client(bucket):
    created = []
    real = storages["messages"]._create_session
    storages["messages"]._create_session = lambda: created.append(1) or real()
    threads = [threading.Thread(target=store, args=(f"k{n}", b"{}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bucket.keys()) == 8
    assert len(created) == 1


def test_links_of_the_storage_still_work(bucket):
    warm_up()
    store(KEY, b"{}")
    assert storages["messages"].exists(KEY)
    assert "X-Amz-Signature" in storages["messages"].url(KEY)


def test_endpoints_that_boto3_is_told_to_ignore_are_ignored(stub, monkeypatch):
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    found = storages["messages"]
    target = found.target(found._create_session())
    assert target.url == "https://bucket.s3.us-east-1.amazonaws.com"


@pytest.fixture
def directory(settings, tmp_path):
    settings.STORAGES = settings.STORAGES | {
        "messages": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path), "allow_overwrite": True},
        }
    }
    return tmp_path


def test_a_directory_can_take_the_place_of_the_bucket(directory):
    warm_up()
    store(KEY, b"first")
    store(KEY, b"second")
    assert [path.name for path in directory.rglob("*.json")] == [KEY.rpartition("/")[2]]
    assert (directory / KEY).read_bytes() == b"second"


def test_a_storage_that_renames_is_an_error(directory, monkeypatch):
    monkeypatch.setattr(type(storages["messages"]), "save", lambda *args: "another-name")
    with pytest.raises(StoredElsewhereError):
        store(KEY, b"{}")
