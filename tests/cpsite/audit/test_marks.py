"""Bad figures have a mark that does not rest on colour: a sign, and a word for who hears a page."""

import re
import uuid
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from cpsite.audit.admin import marks, overview, queues
from cpsite.audit.models import AuditEvent, Kind
from tests.monitoring.configuration import groups

pytestmark = pytest.mark.django_db
LIST = "/admin/audit/auditevent/"
FRAGMENT = f"{LIST}dashboard/"
CLIENTS = f"{LIST}clients/"
SIGN = '<span aria-hidden="true">▲</span>'


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    queues._sampler.cache_clear()
    monkeypatch.setattr(queues, "WAIT_SECONDS", 60)  # the machine may be slow
    cache.clear()


def make(kind, number=1, age=5.0, **about):
    now = timezone.now() - timedelta(seconds=age)
    AuditEvent.objects.bulk_create(
        AuditEvent(kind=kind, occurred_at=now, client="alice", message_id=uuid.uuid4(), **about)
        for _ in range(number)
    )


def page(client, path=FRAGMENT):
    cache.clear()
    return " ".join(client.get(path).content.decode().split())


def test_late_is_what_the_alert_calls_late():
    (limit,) = (
        rule["expr"]
        for rule in groups()["thresholds"]
        if rule["record"] == "cpsite:threshold:message_age_seconds"
    )
    assert limit == f"vector({marks.LATE.total_seconds():.0f})"


@pytest.mark.parametrize("path", [FRAGMENT, CLIENTS, f"{CLIENTS}alice/"])
def test_what_is_well_has_no_mark(admin_client, queue, path):
    make(Kind.ACCEPTED, 60)
    make(Kind.STORED, 60)
    make(Kind.REFUSED, 4)
    assert 'class="audit-bad"' not in page(admin_client, path)


@pytest.mark.parametrize("path", [FRAGMENT, CLIENTS, f"{CLIENTS}alice/"])
def test_failures_are_marked(admin_client, path):
    make(Kind.FAILED, 2)
    text = page(admin_client, path)
    for time in ("hour", "24 hours"):
        cell = text[: text.index(f'aria-label="2 failed in the last {time}"')].rpartition("<td")[2]
        assert SIGN in cell


@pytest.mark.parametrize("path", [FRAGMENT, CLIENTS, f"{CLIENTS}alice/"])
def test_many_refusals_are_marked_with_their_share(admin_client, path):
    make(Kind.ACCEPTED, 30)
    make(Kind.REFUSED, 10)
    text = page(admin_client, path)
    mark = '<span aria-hidden="true">▲ 25%</span>'
    assert text.count(mark) == text.count("25% of the requests are refused: </span>") == 2
    make(Kind.ACCEPTED, 60)
    assert "are refused: " not in page(admin_client, path)


def test_of_what_was_not_counted_to_its_end_no_share_is_known(admin_client, monkeypatch):
    monkeypatch.setattr(overview, "COUNT_LIMIT", 8)
    make(Kind.ACCEPTED, 9)
    make(Kind.REFUSED, 8)
    assert "are refused: " not in page(admin_client)


def test_dead_letters_are_marked(admin_client, queue):
    queue.send("one that waits is not bad")
    assert SIGN not in page(admin_client)
    queue.client.send_message(QueueUrl=queue.dlq_url, MessageBody="{}")
    text = page(admin_client)
    assert text.count(SIGN) == 1
    assert re.search(r"bad: </span></span> <a [^>]*>1</a></td><td [^>]*><a [^>]*>0</a></td>", text)


@pytest.mark.parametrize(("age", "is_late"), [(200, False), (400, True)])
def test_what_waits_for_too_long_is_marked(admin_client, age, is_late):
    make(Kind.ACCEPTED, age=age)
    late = 'title="late"'
    about = AuditEvent.objects.get()
    message = f"{LIST}message/{about.message_id}/"
    about.accepted_at = about.occurred_at
    AuditEvent.objects.filter(pk=about.pk)._raw_delete("default")
    AuditEvent.objects.bulk_create([about])
    for path in (FRAGMENT, CLIENTS, f"{CLIENTS}alice/", f"{LIST}waiting/", message):
        assert (late in page(admin_client, path)) == is_late, path


def test_what_was_stored_late_is_marked(admin_client):
    message_id, now = uuid.uuid4(), timezone.now()
    about = {"message_id": message_id, "accepted_at": now - timedelta(minutes=9)}
    AuditEvent.objects.create(kind=Kind.STORED, occurred_at=now, **about)
    text = page(admin_client, f"{LIST}message/{message_id}/")
    assert "late: </span></span> 9 min after it was accepted" in text
