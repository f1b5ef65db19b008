import threading
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError
from django.core.files.storage import storages

from tests import factories
from uploader import storage
from uploader.storage import StoredElsewhereError, object_key, store

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


def test_one_put_and_no_other_call(bucket, monkeypatch):
    calls = []
    client = storages["messages"].put_client()
    client.meta.events.register_first(
        "before-call.s3", lambda model, params, **kwargs: calls.append((model.name, params))
    )
    sent = []
    client.meta.events.register_last(
        "before-send.s3", lambda request, **kwargs: sent.append(request.headers)
    )
    store(KEY, b"{}")
    assert [name for name, _ in calls] == ["PutObject"]
    assert "Expect" not in sent[0]
    assert sent[0]["x-amz-checksum-crc32"] == b"o6a/Qw=="  # zlib.crc32(b"{}"), big-endian
    assert "x-amz-trailer" not in sent[0]


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
    storage.warm_up()
    store(KEY, b"{}")
    assert storages["messages"].exists(KEY)
    assert "X-Amz-Signature" in storages["messages"].url(KEY)


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
    storage.warm_up()
    store(KEY, b"first")
    store(KEY, b"second")
    assert [path.name for path in directory.rglob("*.json")] == [KEY.rpartition("/")[2]]
    assert (directory / KEY).read_bytes() == b"second"


def test_a_storage_that_renames_is_an_error(directory, monkeypatch):
    monkeypatch.setattr(type(storages["messages"]), "save", lambda *args: "another-name")
    with pytest.raises(StoredElsewhereError):
        store(KEY, b"{}")
