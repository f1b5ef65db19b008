"""How the audit log is asked for dead letters; a large one, too."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cpsite.audit.history import last_failures_of_foreign
from cpsite.dead_letters.events import events_of_id
from tests.cpsite.audit.test_large_table import _plans, _reads_all, many_events  # noqa: F401

pytestmark = pytest.mark.django_db


@pytest.mark.slow(reason="writes 20,000 events")
def test_a_large_log_is_asked_through_an_index(many_events):  # noqa: F811 - a fixture
    with CaptureQueriesContext(connection) as captured:
        last_failures_of_foreign([f"sqs-{number}" for number in range(10)])
        events_of_id("6B1F1D5E-0000-4000-8000-000000000002")
    plans = _plans(captured.captured_queries)
    assert len(plans) == 3
    for plan in plans:
        assert not _reads_all(plan)
        assert "message_id" in plan


@pytest.mark.parametrize("name", ["", "a\0b", "no-such-id", "é" * 200, "{" * 9])
def test_what_is_no_id_has_no_events(name):
    assert list(events_of_id(name)) == []
