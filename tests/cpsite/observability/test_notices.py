import logging

from cpsite.observability.notices import SECONDS, Notices


def _lines(caplog):
    return [(line.getMessage(), line.error, line.times) for line in caplog.records]


def test_what_lasts_is_one_line_a_minute_with_the_number_since(caplog):
    now = 0.0
    notices = Notices(logging.getLogger("x"), clock=lambda: now)
    for second in range(301):
        now = float(second)
        for _ in range(50):
            notices.warning("write_failed", error="SlowDown")
    assert len(_lines(caplog)) == 1 + 300 // SECONDS
    assert _lines(caplog)[1] == ("write_failed", "SlowDown", 50 * SECONDS)


def test_each_event_and_cause_has_a_line_of_its_own(caplog):
    notices = Notices(logging.getLogger("x"), clock=lambda: 0.0)
    for event in ("a", "b"):
        for error in ("c", "d"):
            notices.warning(event, error=error, times=3)
            notices.warning(event, error=error, times=3)
    assert _lines(caplog) == [("a", "c", 3), ("a", "d", 3), ("b", "c", 3), ("b", "d", 3)]
