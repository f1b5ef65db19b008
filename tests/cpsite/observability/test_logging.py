import json
import logging

import pytest

from cpsite.observability import logging as our_logging
from cpsite.observability.logging import RequestIdFilter, TextFormatter, json_formatter, request_id


def _record(**extra):
    logger = logging.getLogger("uploader.worker")
    record = logger.makeRecord(
        logger.name, logging.INFO, __file__, 1, "message_stored", (), None, extra=extra
    )
    RequestIdFilter().filter(record)
    return record


@pytest.fixture
def _in_request():
    token = request_id.set("req-1")
    yield
    request_id.reset(token)


@pytest.mark.usefixtures("_in_request")
def test_json_is_one_object_with_event_fields_and_request_id():
    line = json_formatter().format(_record(message_id="m-1", attempts=2))
    found = json.loads(line)
    assert "\n" not in line
    assert found.pop("timestamp").endswith("+00:00")
    assert found == {
        "event": "message_stored",
        "level": "INFO",
        "logger": "uploader.worker",
        "request_id": "req-1",
        "message_id": "m-1",
        "attempts": 2,
    }


@pytest.mark.usefixtures("_in_request")
def test_text_shows_the_same_fields():
    line = TextFormatter().format(_record(message_id="m-1"))
    assert line.endswith("uploader.worker message_stored message_id=m-1 request_id=req-1")


def test_text_leaves_out_what_is_not_known():
    assert TextFormatter().format(_record(client=None)).endswith("message_stored")


def test_neither_format_shows_the_request_that_django_attaches():
    record = _record(request="GET / with headers")
    assert "headers" not in json_formatter().format(record)
    assert "headers" not in TextFormatter().format(record)


def test_a_record_keeps_the_request_id_that_it_has():
    record = _record(request_id="given")
    assert record.request_id == "given"


def test_of_djangos_request_lines_only_crashes_are_kept():
    keep = our_logging.ExceptionsOnly().filter
    record = _record()
    assert not keep(record)
    record.exc_info = (ValueError, ValueError(), None)
    assert keep(record)
