import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from cpsite.audit.models import AppendOnlyError, AuditEvent, Kind

pytestmark = pytest.mark.django_db


def test_an_event_cannot_be_changed():
    event = AuditEvent.objects.create(kind=Kind.ACCEPTED)
    event.client = "mallory"
    with pytest.raises(AppendOnlyError):
        event.save()
    with pytest.raises(AppendOnlyError):
        AuditEvent.objects.update(client="mallory")
    assert AuditEvent.objects.get().client == ""


def test_an_event_cannot_be_deleted():
    event = AuditEvent.objects.create(kind=Kind.ACCEPTED)
    with pytest.raises(AppendOnlyError):
        event.delete()
    with pytest.raises(AppendOnlyError):
        AuditEvent.objects.all().delete()
    assert AuditEvent.objects.count() == 1


def test_of_message_tells_its_story_in_order():
    message_id, now = uuid.uuid4(), timezone.now()
    for minutes, kind in ((2, Kind.STORED), (0, Kind.ACCEPTED), (1, Kind.FAILED)):
        AuditEvent.objects.create(
            kind=kind, message_id=message_id, occurred_at=now + timedelta(minutes=minutes)
        )
    AuditEvent.objects.create(kind=Kind.ACCEPTED, message_id=uuid.uuid4())
    story = AuditEvent.objects.of_message(message_id)
    assert [event.kind for event in story] == ["accepted", "failed", "stored"]


def test_prune_batch_takes_the_oldest_first():
    now = timezone.now()
    for days in (1, 5, 3, 4):
        AuditEvent.objects.create(kind=Kind.STORED, occurred_at=now - timedelta(days=days))
    before = now - timedelta(days=2)
    assert AuditEvent.objects.prune_batch(before=before, limit=2) == 2
    left = AuditEvent.objects.order_by("occurred_at")
    assert [(now - event.occurred_at).days for event in left] == [3, 1]
    assert AuditEvent.objects.prune_batch(before=before, limit=2) == 1
    assert AuditEvent.objects.prune_batch(before=before, limit=2) == 0


def test_an_event_reads_as_what_happened_to_what():
    message_id = uuid.uuid4()
    assert str(AuditEvent(kind=Kind.STORED, message_id=message_id)) == f"stored {message_id}"
    assert str(AuditEvent(kind=Kind.REFUSED, reason="token_unknown")) == "refused token_unknown"
