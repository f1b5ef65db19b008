"""`manage.py trace`: what happened to a message."""

import gzip
import json
import uuid
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from botocore.exceptions import ClientError
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import override_settings

from cpsite.audit.management.commands import trace
from cpsite.audit.models import AuditEvent, Kind
from tests import factories

pytestmark = pytest.mark.django_db

MESSAGE = factories.message()
BODY = MESSAGE.encode().encode()
KEY = f"messages/2026/11/23/{MESSAGE.message_id}.json"


@pytest.fixture
def storage(tmp_path):
    backend = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(tmp_path), "allow_overwrite": True},
    }
    with override_settings(STORAGES={"messages": backend}, S3_BUCKET="the-bucket"):
        yield storages["messages"]


@pytest.fixture(autouse=True)
def _events():
    about = {
        "message_id": MESSAGE.message_id,
        "client": "alice",
        "accepted_at": MESSAGE.accepted_at,
        "payload_sha256": sha256(BODY).hexdigest(),
    }
    moment = MESSAGE.accepted_at
    AuditEvent.objects.create(kind=Kind.ACCEPTED, occurred_at=moment, duration_ms=7, **about)
    AuditEvent.objects.create(
        kind=Kind.FAILED,
        occurred_at=moment + timedelta(seconds=1),
        reason="aws_SlowDown",
        attempts=1,
        **about | {"payload_sha256": ""},
    )
    AuditEvent.objects.create(
        kind=Kind.STORED,
        occurred_at=moment + timedelta(seconds=31.5),
        object_key=KEY,
        attempts=2,
        duration_ms=20,
        **about,
    )


def test_it_prints_the_whole_way(storage, capsys):
    call_command("trace", str(MESSAGE.message_id))
    assert capsys.readouterr().out.splitlines() == [
        f"{MESSAGE.message_id}  stored",
        "  client   alice",
        "  accepted 2026-11-23 23:59:59.123",
        "  stored   2026-11-24 00:00:30.623, 31.5 s after it was accepted",
        f"  object   s3://the-bucket/{KEY}",
        f"  sha256   {sha256(BODY).hexdigest()}",
        "",
        "TIME (UTC)               KIND      REASON        ATTEMPTS  DURATION",
        "2026-11-23 23:59:59.123  accepted                          7 ms",
        "2026-11-24 00:00:00.123  failed    aws_SlowDown  1",
        "2026-11-24 00:00:30.623  stored                  2         20 ms",
    ]


def test_json_holds_the_same_for_programs(capsys):
    call_command("trace", str(MESSAGE.message_id), "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "stored"
    assert document["object_key"] == KEY
    assert datetime.fromisoformat(document["accepted_at"]) == MESSAGE.accepted_at
    assert [event["kind"] for event in document["events"]] == ["accepted", "failed", "stored"]
    assert document["events"][1]["reason"] == "aws_SlowDown"
    assert "verified" not in document


@pytest.mark.parametrize(
    ("key", "content"),
    [
        (KEY, BODY),
        ("messages/2026/11/23/batch.ndjson.gz", gzip.compress(b"{}\n" + BODY + b"\n{}\n")),
    ],
    ids=["object", "batch"],
)
def test_an_intact_object_is_verified(storage, capsys, key, content):
    # The first of two objects that hold it, as batches may.
    AuditEvent.objects.create(
        kind=Kind.STORED,
        occurred_at=MESSAGE.accepted_at,
        message_id=MESSAGE.message_id,
        client="alice",
        object_key=key,
        payload_sha256=sha256(BODY).hexdigest(),
    )
    storage.save(key, ContentFile(content))
    call_command("trace", str(MESSAGE.message_id), "--verify")
    assert "verified intact" in capsys.readouterr().out


@pytest.mark.parametrize("content", [BODY.replace(b"zwei", b"two"), b"", None])
def test_an_altered_or_missing_object_is_reported(storage, capsys, content):
    if content is not None:
        storage.save(KEY, ContentFile(content))
    verdict = "missing" if content is None else "altered"
    with pytest.raises(CommandError, match=verdict):
        call_command("trace", str(MESSAGE.message_id), "--verify", "--json")
    printed = capsys.readouterr().out
    assert json.loads(printed)["verified"] == verdict
    assert "zwei" not in printed


def test_a_batch_that_is_none_is_altered(storage):
    AuditEvent.objects.create(
        kind=Kind.STORED,
        occurred_at=MESSAGE.accepted_at,
        message_id=MESSAGE.message_id,
        object_key="messages/x.ndjson.gz",
        payload_sha256=sha256(BODY).hexdigest(),
    )
    storage.save("messages/x.ndjson.gz", ContentFile(b"not gzip"))
    with pytest.raises(CommandError, match="altered"):
        call_command("trace", str(MESSAGE.message_id), "--verify")


def test_a_storage_that_fails_is_no_verdict(storage, monkeypatch):
    def fail(_name):
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")

    monkeypatch.setattr(type(storage), "open", lambda _self, name: fail(name))
    with pytest.raises(CommandError, match="aws_AccessDenied"):
        call_command("trace", str(MESSAGE.message_id), "--verify")


def test_what_was_never_stored_cannot_be_verified():
    identifier = uuid.uuid4()
    AuditEvent.objects.create(
        kind=Kind.ACCEPTED, message_id=identifier, accepted_at=datetime.now(UTC)
    )
    with pytest.raises(CommandError, match="no object"):
        call_command("trace", str(identifier), "--verify")


def test_without_a_bucket_nothing_can_be_verified(settings):
    settings.S3_BUCKET = settings.MESSAGES_DIRECTORY = ""
    with pytest.raises(CommandError, match="S3_BUCKET is not set"):
        call_command("trace", str(MESSAGE.message_id), "--verify")


def test_an_unknown_message_is_an_error():
    with pytest.raises(CommandError, match="knows no message"):
        call_command("trace", str(uuid.uuid4()))


def test_what_is_no_id_is_a_usage_error():
    with pytest.raises(CommandError, match="invalid UUID"):
        call_command("trace", "message-7")


def test_an_unavailable_database_is_reported_without_its_address(monkeypatch):
    def fail(_message_id):
        raise OperationalError("postgresql://user:password@host/name")

    monkeypatch.setattr(trace, "read_history", fail)
    with pytest.raises(CommandError, match=r"cannot be read: OperationalError\.$"):
        call_command("trace", str(MESSAGE.message_id))
