"""The admin's questions must be answered through an index, or a large log makes it unusable.

`bench/audit_admin.py` measures the same pages with a million rows.
"""

import re
import uuid
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cpsite.audit import oldest_waiting, unstored
from cpsite.audit.admin import clients_page
from cpsite.audit.models import AuditEvent, Kind

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.slow(reason="writes 20,000 events"),
]
LIST = "/admin/audit/auditevent/"
ROWS = 20_000
FEW = 50


@pytest.fixture
def many_events(monkeypatch):
    # The evening of today: soon after midnight the events would lie in two partitions, and
    # PostgreSQL rightly reads a small one whole.
    now = timezone.now().replace(hour=18, minute=0)
    monkeypatch.setattr(timezone, "now", lambda: now)
    kinds = [Kind.ACCEPTED, Kind.STORED, Kind.REFUSED, Kind.FAILED]
    AuditEvent.objects.bulk_create(
        (
            AuditEvent(
                kind=kinds[number % 4],
                message_id=uuid.UUID(int=number // 2),
                client=f"client-{number % 7}",
                reason=f"reason_{number % 5}" if number % 4 > 1 else "",
                actor="operator" if number % 1_000 == 0 else None,
                source_ip=f"10.0.{number % 50}.7" if number % 2 == 0 else None,
                request_id=f"request-{number}" if number % 2 == 0 else None,
                object_key=f"messages/{number // 500}.ndjson.gz" if number % 4 == 1 else "",
                occurred_at=now - timedelta(seconds=number),
            )
            for number in range(ROWS)
        ),
        batch_size=1_000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _plans(queries):
    """Return the plans of the captured SELECTs on the log."""
    found = []
    for query in queries:
        sql = query["sql"]
        if "audit_auditevent" not in sql or not sql.lstrip().startswith("SELECT"):
            continue
        prefix = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
        with connection.cursor() as cursor:
            cursor.execute(prefix + sql)
            found.append(" | ".join(str(row[-1]) for row in cursor.fetchall()))
    return found


def _reads_all(plan):
    """Return whether a plan reads all of a table, or of a partition that is not empty."""
    with connection.cursor() as cursor:
        scanned = {
            table
            for table in re.findall(r"Seq Scan on (\w+)", plan)
            if cursor.execute(f"SELECT 1 FROM {table} LIMIT 1") and cursor.fetchone()
        }
    return bool(scanned) or "SCAN audit_auditevent |" in plan + " |"


def _sorts(plan):
    """Return whether a plan sorts more than a few rows, or a few messages' events."""
    # "Sort Key" alone is how ordered partitions are merged. Where an index of a few rows is spread
    # over partitions, PostgreSQL may sort them.
    numbers = re.findall(r"\bSort  \(cost=\S+ rows=(\d+)", plan)
    sorts = any(int(number) > FEW for number in numbers) or "TEMP B-TREE FOR ORDER BY" in plan
    return sorts and "Index Cond: (message_id" not in plan


ID_PREFIX = "q=0000000"
BATCH = "q=messages/7.ndjson.gz"
QUESTIONS = [
    "",
    "kind__exact=refused",
    "client=client-3",
    "reason=reason_2",
    f"q={uuid.UUID(int=77)}",
    "q=client-3",
    "q=reason_2",
    "q=operator",
    ID_PREFIX,
    BATCH,
    "q=10.0.4.7",
    "q=request-4",
    "q=CLIENT-3",
    "q=of nothing",
    "p=100",
    "since=15m",
    "since=1h",
    "since=24h",
    "since=today",
    "from=2026-01-01T00:00&until=2099-01-01T00:00",
    "until=2000-01-01T00:00",
    "kind__exact=refused&since=1h",
    "kind__exact=failed&since=24h",
    "client=client-3&since=1h",
    "reason=reason_2&since=24h",
    "q=10.0.4.7&client=&kind__exact=refused&since=24h",
    "client=client-3&reason=reason_2&since=24h",
    f"message_id={uuid.UUID(int=77)}",
    "waiting",
    "waiting, further back",
    "message",
    "clients",
    "clients, further",
    "client",
]
PATHS = {
    "waiting": "waiting/",
    "waiting, further back": "waiting/?after=32503680000.000000-1",
    "message": f"message/{uuid.UUID(int=77)}/",
    "clients": "clients/",
    "clients, further": "clients/?after=client-1",
    "client": "clients/client-3/",
}


def test_every_question_uses_an_index(admin_client, many_events, monkeypatch):
    # As small a part of this table as it is of a large one.
    monkeypatch.setattr(unstored, "SCAN_LIMIT", 100)
    monkeypatch.setattr(unstored, "FOUND_LIMIT", 10)
    monkeypatch.setattr(unstored, "_CHUNK", 10)
    monkeypatch.setattr(clients_page, "EVENTS_OF_MANY", 20)
    monkeypatch.setattr(clients_page, "EVENTS_OF_ONE", 100)
    for question in QUESTIONS:
        with CaptureQueriesContext(connection) as captured:
            answer = admin_client.get(LIST + PATHS.get(question, f"?{question}"), follow=True)
            assert answer.status_code == 200
        plans = _plans(captured.captured_queries)
        assert plans
        for plan in plans:
            # Counting is bounded; apart from that no plan may read or sort the whole table.
            bounded = "Limit" in plan and "Aggregate" in plan
            # The messages of one beginning of an id, and of a batch, are few, and found by it.
            sorts = _sorts(plan) and question not in (ID_PREFIX, BATCH)
            assert bounded or not (_reads_all(plan) or sorts), f"{question}: {plan}"


@pytest.mark.parametrize("path", ["clients/", "clients/client-3/"])
def test_the_last_requests_of_silent_clients_are_found_through_an_index(
    admin_client, many_events, monkeypatch, path
):
    # As small a part of this table as it is of a large one.
    monkeypatch.setattr(clients_page, "EVENTS_OF_SILENT", 20)
    later = timezone.now() + timedelta(days=2)
    monkeypatch.setattr(timezone, "now", lambda: later)
    with CaptureQueriesContext(connection) as captured:
        page = admin_client.get(LIST + path).content.decode()
    assert "days ago" in page
    asked = [query for query in captured.captured_queries if "silent.name" in query["sql"]]
    (plan,) = _plans(asked)
    assert "Index" in plan or "USING INDEX" in plan, plan
    assert not _reads_all(plan), plan
    assert not _sorts(plan), plan


def test_the_events_of_a_batch_are_found_by_its_key(admin_client, many_events):
    """Not by going through the index by time, which PostgreSQL takes for the first one of few."""
    with CaptureQueriesContext(connection) as captured:
        assert admin_client.get(f"{LIST}?{BATCH}").status_code == 200
    plans = _plans([query for query in captured.captured_queries if ".ndjson" in query["sql"]])
    assert len(plans) >= 3
    for plan in plans:
        assert "object_key_idx" in plan or "audit_object_key" in plan, plan


def test_a_message_page_uses_an_index_and_a_list_few_queries(admin_client, many_events):
    event = AuditEvent.objects.order_by("id")[77]
    with CaptureQueriesContext(connection) as captured:
        assert admin_client.get(f"{LIST}{event.pk}/change/").status_code == 200
    for plan in _plans(captured.captured_queries):
        assert "Index" in plan or "USING INDEX" in plan or "PRIMARY KEY" in plan, plan
    with CaptureQueriesContext(connection) as captured:
        admin_client.get(LIST)
    assert len(captured) < 40


@pytest.mark.parametrize("is_stored", [True, False])
def test_since_when_messages_wait_is_asked_through_indexes(many_events, monkeypatch, is_stored):
    """The validator asks it four times a minute. Without an uploader nothing is ever stored."""
    # As small a part of this table as it is of a large one.
    for name in ("STORED_EVENTS", "CHUNK", "SCAN_LIMIT"):
        monkeypatch.setattr(oldest_waiting, name, 10)
    if not is_stored:
        AuditEvent.objects.filter(kind=Kind.STORED)._raw_delete("default")
    with CaptureQueriesContext(connection) as captured, suppress(oldest_waiting.OldestUnknown):
        oldest_waiting.oldest_waiting(timezone.now())
    plans = _plans(captured.captured_queries)
    assert len(plans) == 3
    for plan in plans:
        assert "Index" in plan or "USING INDEX" in plan, plan
        assert not _reads_all(plan), plan
        assert not _sorts(plan), plan
        assert "TEMP B-TREE" not in plan, plan
