"""Which reasons a dead letter can have, by the audit log; on a large one, too."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cpsite.audit.models import AuditEvent, Kind
from cpsite.dead_letters import reasons
from tests.cpsite.audit.test_large_table import (  # noqa: F401 - a fixture
    _plans,
    _reads_all,
    _sorts,
    many_events,
)

pytestmark = pytest.mark.django_db


def test_reasons_are_those_of_failures_and_two_more():
    for kind, reason in (
        (Kind.FAILED, "aws_SlowDown"),
        (Kind.FAILED, "aws_SlowDown"),
        (Kind.FAILED, "internal_error"),
        (Kind.REFUSED, "internal_error"),
        (Kind.REFUSED, "token_unknown"),
        (Kind.READ, "body_shown"),
    ):
        AuditEvent.objects.create(kind=kind, reason=reason)
    known = ["aws_SlowDown", "internal_error", "undecodable", "unknown"]
    assert reasons.known_reasons() == known
    assert all(map(reasons.is_known, known))
    for other in ("token_unknown", "body_shown", "", "AWS_SLOWDOWN"):
        assert not reasons.is_known(other)


def test_without_any_event_there_are_two():
    assert reasons.known_reasons() == ["undecodable", "unknown"]


@pytest.mark.slow(reason="writes 20,000 events")
def test_a_large_log_is_asked_through_an_index(many_events, monkeypatch):  # noqa: F811
    # As small a part of this table as they are of a large one.
    monkeypatch.setattr(reasons, "RECENT", 100)
    monkeypatch.setattr(reasons, "OF_ONE", 100)
    with CaptureQueriesContext(connection) as captured:
        assert "reason_3" in reasons.known_reasons()
        assert reasons.is_known("reason_3")
        assert not reasons.is_known("nonsense")
    plans = _plans(captured.captured_queries)
    assert len(plans) == 3
    for plan in plans:
        assert not _reads_all(plan)
        assert not _sorts(plan)
        assert "TEMP B-TREE" not in plan
